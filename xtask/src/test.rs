//! `cargo xtask test`: every test there is, with all the set-up that it needs.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::lab::kernel::Series;
use crate::lab::{cell, despite_the_emulator, payload, report};
use crate::{converted, fuzz, looked, opened, process, recipes, setup, vmcore};

/// How long is fuzzed: enough for what was found before, and for the coarsest of mistakes.
const FUZZ_SECONDS: u64 = 20;

/// Runs everything; ends with the line `N passed, N failed`.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    setup::apt(&["binutils", "bsdextrautils", "g++", "qemu-system-x86", "ripgrep", "yara"])?;
    step("tests that need no machine: cargo test --workspace --all-features");
    let tested =
        cargo(&["test", "--workspace", "--all-features", "--no-fail-fast", "--quiet", "--locked"]);
    let mut passed = 0;
    let mut failed = Vec::new();
    let mut note = |name: &str, result: Result<()>| match result {
        Ok(()) => passed += 1,
        Err(error) => {
            eprintln!("FAIL {name}: {error:#}");
            failed.push(name.to_owned());
        }
    };
    note("cargo test", tested);

    step("damaged images: cargo xtask fuzz");
    note("fuzz", fuzz::run(FUZZ_SECONDS, None));

    let programs = payload::build()?;
    let memdump = payload::memdump(&programs)?;
    step("recipes, with the real programs");
    note("recipes", recipes::check(&memdump));

    step("processes, and the programs that open their cores");
    note("processes", process::check(&programs, None).map(drop));

    step("the laboratory: cells that differ in kind");
    let quick: Vec<_> = cell::all().into_iter().filter(|cell| cell.quick).collect();
    let outcomes =
        cell::run_all(&quick, &programs, |outcome| println!("{}", report::line(outcome)));
    for outcome in outcomes {
        let result = match outcome.failures.is_empty() {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{}", outcome.failures.join("; "))),
        };
        note(&outcome.cell, result);
    }

    step("images, opened by those who read them");
    for series in [Series::V6_1, Series::V6_12] {
        let name = format!("consumers of {}", series.name());
        note(&name, in_a_guest(|| opened::check(series, &programs)));
    }

    step("images converted, by the command here");
    note("conversions", in_a_guest(|| converted::check(&programs)));

    step("the kernel's own dump of a guest that crashed");
    note("vmcore", in_a_guest(|| vmcore::check(&programs)));

    step("memory looked into, beside the programs that people use for it");
    note("looked into", in_a_guest(|| looked::check(&programs)));

    println!("\nall of it took {:.0} s", started.elapsed().as_secs_f64());
    println!("{passed} passed, {} failed", failed.len());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Prints what `check` proves of a guest that it boots.
fn in_a_guest(check: impl FnMut() -> Result<Vec<String>>) -> Result<()> {
    despite_the_emulator(check)?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Runs cargo in the workspace.
fn cargo(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = command.args(arguments).current_dir(payload::workspace()).status();
    let status = status.context("start cargo")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(())
}

fn step(what: &str) {
    println!("\n== {what}");
}
