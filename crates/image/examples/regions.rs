//! Prints the regions of a memory image, and what it says of its machine: `cargo run -p memdump-image --example regions -- IMAGE`.

use std::env;
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use memdump_image::format::{self, OpenMode, OpenedImage};
use memdump_image::known_holes;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: regions IMAGE")?;
    let file = Arc::new(File::open(path)?);
    let OpenedImage { format, image, .. } = format::open(file, OpenMode::Salvage)?;
    let map = image.space.map();

    println!("format: {}, addresses: {}", format.name, map.space());
    if let Some(release) = &image.facts.release {
        println!("kernel: {release}");
    }
    for region in map.regions() {
        println!(
            "{} {:>12} bytes  {} {}",
            region.extent,
            region.extent.len(),
            region.kind,
            region.label
        );
    }
    let (_, holes) = known_holes(&*image.space, map);
    for (cause, bytes) in holes.by_cause() {
        println!("missing: {bytes} bytes: {cause}");
    }
    for problem in image.problems.listed() {
        println!("problem: {problem}");
    }
    Ok(())
}
