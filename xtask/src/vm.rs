//! `cargo xtask vm`: the laboratory by hand.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

use crate::command;
use crate::lab::cell::{self, Cell, Outcome};
use crate::lab::guest::{self, Guest};
use crate::lab::machine::Machine;
use crate::lab::{payload, report};
use crate::setup;

/// The page that `matrix` writes.
const PROOF: &str = "docs/proof.md";

/// Tasks of the laboratory.
#[derive(Debug, Subcommand)]
pub(crate) enum Vm {
    /// List the cells and what each shows
    List,
    /// Run cells by name; a part of a name stands for all that contain it
    Run {
        /// Names, such as `lime@6.1-1g` or `kernel@`
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Run the cells that differ in kind
    Quick,
    /// Run every cell and write docs/proof.md
    Matrix,
    /// Boot a machine, run a command in it and print what it prints
    Exec {
        /// The machine's name
        machine: String,
        /// The command, for the guest's shell
        command: String,
    },
    /// Boot a machine with its console here
    Shell {
        /// The machine's name
        #[arg(default_value = "6.12-1g")]
        machine: String,
    },
}

/// Does it.
pub(crate) fn run(task: Vm) -> Result<()> {
    match task {
        Vm::List => {
            for cell in cell::all() {
                let quick = if cell.quick { "quick" } else { "" };
                println!("{:30} {quick:6} {}", cell.name(), cell.scenario.shows);
            }
            Ok(())
        }
        Vm::Run { names } => {
            let wanted = |cell: &Cell| names.iter().any(|name| cell.name().contains(name));
            demand_all_passed(&run_cells(wanted)?)
        }
        Vm::Quick => demand_all_passed(&run_cells(|cell| cell.quick)?),
        Vm::Matrix => matrix(),
        Vm::Exec { machine, command } => {
            let machine = named(&machine)?;
            prepare()?;
            let done = Guest::boot(machine, &payload::build()?)?.run(&command)?;
            print!("{}", done.stdout);
            eprint!("{}", done.stderr);
            ensure!(done.status == 0, "it ended with status {}", done.status);
            Ok(())
        }
        Vm::Shell { machine } => {
            let machine = named(&machine)?;
            prepare()?;
            guest::console(machine, &payload::build()?)
        }
    }
}

fn named(name: &str) -> Result<Machine> {
    cell::machines()
        .find(|machine| machine.name == name)
        .with_context(|| format!("no machine is called {name}; see `cargo xtask vm list`"))
}

fn prepare() -> Result<()> {
    setup::apt(&["qemu-system-x86"])
}

fn run_cells(wanted: impl Fn(&Cell) -> bool) -> Result<Vec<Outcome>> {
    let cells: Vec<_> = cell::all().into_iter().filter(wanted).collect();
    ensure!(!cells.is_empty(), "no cell is called so; see `cargo xtask vm list`");
    prepare()?;
    let programs = payload::build()?;
    let started = Instant::now();
    let outcomes =
        cell::run_all(&cells, &programs, |outcome| println!("{}", report::line(outcome)));
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    println!("{} cells, {failed} failed, {:.0} s", outcomes.len(), started.elapsed().as_secs_f64());
    Ok(outcomes)
}

fn demand_all_passed(outcomes: &[Outcome]) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    ensure!(failed == 0, "{failed} of {} cells failed", outcomes.len());
    Ok(())
}

/// Runs every cell and writes the page that shows them.
fn matrix() -> Result<()> {
    let outcomes = run_cells(|_| true)?;
    let mut version = Command::new("qemu-system-x86_64");
    let version = command::run(version.arg("--version"), Duration::from_secs(10))?;
    let page = report::page(&outcomes, version.lines().next().unwrap_or_default());
    let path = payload::workspace().join(PROOF);
    fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    println!("written: {PROOF}");
    demand_all_passed(&outcomes)
}
