//! Lists the mappings of a process, with how much of each is in memory: `cargo run --example mappings -- PID`.

use std::error::Error;

use memdump_live::process::{Filter, Process};

fn main() -> Result<(), Box<dyn Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: mappings PID")?.parse()?;
    let process = Process::find(pid)?;
    println!("process {pid} ({})", process.name());
    for mapped in process.list(&Filter::default())?.mapped {
        let region = mapped.region;
        let (kib, label) = (mapped.resident / 1024, &region.label);
        println!("{} {:>9} KiB  {} {label}", region.extent, kib, region.kind);
    }
    Ok(())
}
