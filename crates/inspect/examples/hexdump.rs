//! Prints a hexdump of a memory image of any format:
//!
//! ```text
//! cargo run -p memdump-inspect --example hexdump -- core.1234 | less
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use memdump_image::View;
use memdump_image::format::{self, OpenMode};
use memdump_inspect::hexdump::{Event, Options, hexdump};
use memdump_inspect::scan::Flow;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: hexdump IMAGE")?;
    let image = format::open(Arc::new(File::open(path)?), OpenMode::Strict)?.image;
    let page_size = image.facts.vmcoreinfo.as_ref().and_then(|info| info.page_size());
    let view = View::new(&*image.space, page_size.unwrap_or(4096));

    let mut stdout = io::stdout();
    hexdump(&view, None, &Options::default().by_region(true), &mut |event| {
        match event {
            Event::Lines(lines) => stdout.write_all(lines)?,
            Event::Region(region) => writeln!(stdout, "-- {} {}", region.kind, region.label)?,
            Event::Hole(hole) => writeln!(stdout, "-- missing {}: {}", hole.extent, hole.cause)?,
            _ => {}
        }
        Ok(Flow::Continue)
    })?;
    Ok(())
}
