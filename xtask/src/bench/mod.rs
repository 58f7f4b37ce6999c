//! `cargo xtask bench`: how fast, beside the peers, in one run, as ratios. Not a test: a number that falls short is told, and fails
//! nothing.

mod images;
mod inspect;
mod physical;
mod process;
mod turns;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::lab::payload;

/// Things to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Physical memory: against dd, AVML and memdump 1.01, to nothing, to a disk and through a port
    Physical {
        /// Runs of each; the median counts
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Images: conversions against AVML and makedumpfile, hashes against openssl and b3sum
    Images {
        /// Runs of each; the median counts
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Another build of the command: only the two builds are measured, in turn, and nothing is published
        #[arg(long, value_name = "PROGRAM")]
        before: Option<PathBuf>,
    },
    /// Processes: against gcore, a dd loop and the kernel's own core
    Process {
        /// Runs of each; the median counts
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Looking into memory: against strings, hexdump and ripgrep
    Inspect {
        /// Runs of each; the median counts
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Another build of the command: only the two builds are measured, in turn, and nothing is published
        #[arg(long, value_name = "PROGRAM")]
        before: Option<PathBuf>,
    },
}

/// Measures, and writes the table into `docs/benchmarks.md`.
pub(crate) fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Physical { rounds } => physical::run(rounds),
        Bench::Images { rounds, before } => images::run(rounds, before),
        Bench::Process { rounds } => process::run(rounds),
        Bench::Inspect { rounds, before } => inspect::run(rounds, before),
    }
}

/// Puts a table into its place in `docs/benchmarks.md`, and prints it.
fn publish(place: &str, table: &str) -> Result<()> {
    print!("{table}");
    let path = payload::workspace().join("docs/benchmarks.md");
    let text = fs::read_to_string(&path).context("read docs/benchmarks.md")?;
    let (open, close) = (format!("<!-- {place} -->\n"), format!("<!-- /{place} -->"));
    let start = text.find(&open).context("docs/benchmarks.md has no place for it")? + open.len();
    let end = text.find(&close).context("docs/benchmarks.md has no place for it")?;
    fs::write(&path, format!("{}{table}{}", &text[..start], &text[end..])).context("write it")
}
