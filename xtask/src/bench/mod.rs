//! `cargo xtask bench`: how fast, beside the peers, in one run, as ratios. Not a test: a number that falls short is told, and fails
//! nothing.

mod physical;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Physical memory: against dd, AVML and memdump 1.01, to nothing, to a disk and through a port
    Physical {
        /// How often each is run; the median counts
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

/// Measures, and writes the table into `docs/benchmarks.md`.
pub(crate) fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Physical { rounds } => physical::run(rounds),
    }
}
