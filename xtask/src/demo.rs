//! `cargo xtask demo`: see it work, in a dozen lines.

use anyhow::{Context, Result, ensure};

use crate::lab::guest::Guest;
use crate::lab::image::Format;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::{cell, payload};
use crate::setup;
use crate::suites::opening::with_drgn;

/// The cell that is shown.
const CELL: &str = "elf@6.12-1g";

/// Boots a guest, takes its memory, proves it right, opens it, and says what to run on a real machine.
pub(crate) fn run() -> Result<()> {
    println!("memdump: takes the memory of a Linux machine. This shows it on a virtual one.\n");
    println!(
        "set-up: QEMU and two of Debian's kernels, in a cache; each is announced below, with the way to do it by hand"
    );
    setup::apt(&["qemu-system-x86"])?;
    let programs = payload::build()?;

    let cells: Vec<_> = cell::all().into_iter().filter(|cell| cell.name() == CELL).collect();
    ensure!(!cells.is_empty(), "there is no cell {CELL}");
    let machine: Machine = cells[0].machine;
    println!(
        "1. a machine with {} MiB boots and fills half of its memory with a known pattern",
        machine.mib
    );
    let outcomes = cell::run_all(&cells, &programs, |_| {});
    let outcome = outcomes.first().context("the cell was not run")?;
    let verdict = outcome.verdict.as_ref().context("the image was not compared")?;
    let total = verdict.total();
    println!("2. in it:  {}", outcome.command);
    println!(
        "           {:.1} s, {:.1} MiB of its own memory",
        outcome.seconds,
        outcome.peak_kib as f64 / 1024.0
    );
    println!("3. against the hypervisor's view of the same memory, page by page:");
    println!(
        "           {} pages right, {} wrong, {} missing, {} changed meanwhile",
        total.ok, total.wrong, total.missing, total.changed
    );
    println!(
        "           {} pages of the pattern right, {} not",
        verdict.patterned, verdict.patterned_bad
    );
    ensure!(
        outcome.failures.is_empty(),
        "that is not as it should be: {}",
        outcome.failures.join("; ")
    );

    println!(
        "4. opened by drgn, with the kernel's debug information (some 300 MB to fetch the first time):"
    );
    let mut guest = Guest::boot(Machine::new("demo", Series::V6_12, 1024), &programs)?;
    let image = guest.acquire(Format::Elf.name())?;
    println!("           {}", with_drgn(&mut guest, "elf", &image)?);

    println!("\nOn a real machine, as root:\n");
    println!("    memdump check                        # what it allows; reads no memory");
    println!("    memdump -o vmcore --format elf       # for crash and drgn");
    println!("    memdump -o ram.lime --format lime    # for Volatility 3");
    Ok(())
}
