//! Dumps the memory of a process to a core that gdb opens: `dump_process PID OUT`.

use std::env;
use std::error::Error;

use memdump_acquire::manifest::ManifestOptions;
use memdump_acquire::{Destination, JobOptions, Source, Unattended};
use memdump_live::process::{Options, Pause, Process};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: dump_process PID OUT";
    let pid = env::args().nth(1).ok_or(usage)?.parse()?;
    let output = Destination::parse(&env::args_os().nth(2).ok_or(usage)?)?;

    // Everything that can be refused is refused here, before the process is paused.
    let options = JobOptions::core(output).manifest(ManifestOptions::beside());
    let job = options.open()?;

    let held = Process::find(pid)?.hold(Pause::Stop)?;
    let mut capture = held.capture(&Options::default())?;
    // The process runs on when `run` returns. Hashes for the manifest are computed in `finish`.
    let done = job.run(Source::process(&mut capture), &mut Unattended)?;
    let report = done.finish(&|| false)?;

    println!("{} bytes copied, {} bytes written", report.summary.bytes, report.receipt.size);
    for hole in &report.missing {
        println!("missing: {:#x}-{:#x} {}", hole.extent.start(), hole.extent.end(), hole.cause);
    }
    Ok(())
}
