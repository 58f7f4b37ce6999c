//! `cargo xtask vm`: the laboratory by hand.

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

use crate::lab::guest::{self, Guest};
use crate::lab::machine::Machine;
use crate::lab::{cell, payload, report};
use crate::setup;

/// What to do in the laboratory.
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
    /// Run every cell
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
        Vm::Run { names } => run_cells(|cell| names.iter().any(|name| cell.name().contains(name))),
        Vm::Quick => run_cells(|cell| cell.quick),
        Vm::Matrix => run_cells(|_| true),
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

fn run_cells(wanted: impl Fn(&cell::Cell) -> bool) -> Result<()> {
    let cells: Vec<_> = cell::all().into_iter().filter(wanted).collect();
    ensure!(!cells.is_empty(), "no cell is called so; see `cargo xtask vm list`");
    prepare()?;
    let programs = payload::build()?;
    let outcomes =
        cell::run_all(&cells, &programs, |outcome| println!("{}", report::line(outcome)))?;
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    ensure!(failed == 0, "{failed} of {} cells failed", outcomes.len());
    println!("{} cells passed", outcomes.len());
    Ok(())
}
