//! Converts an image to another format, and prints the memory that the new image lacks: `convert IN OUT FORMAT`.

use std::env;
use std::error::Error;

use memdump_acquire::{Destination, InputImage, InputOptions, JobOptions, Source, Unattended};
use memdump_image::format::Format;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: convert IN OUT FORMAT";
    let mut arguments = env::args_os().skip(1);
    let input = arguments.next().ok_or(usage)?;
    let output = Destination::parse(&arguments.next().ok_or(usage)?)?;
    let name = arguments.next().ok_or(usage)?;
    let format = name.to_str().and_then(Format::by_name).ok_or("unknown format")?;

    // The format and compression of the old image are recognized by its bytes.
    let image = InputImage::open(&input, &InputOptions::new())?;
    let options = JobOptions::new(format, output);
    options.check_space(image.map().space())?;
    let job = options.open()?;
    let report = job.run(Source::image(&image), &mut Unattended)?.finish(&|| false)?;

    println!("{} bytes copied", report.summary.bytes);
    for hole in &report.missing {
        println!("missing: {:#x}-{:#x} {}", hole.extent.start(), hole.extent.end(), hole.cause);
    }
    Ok(())
}
