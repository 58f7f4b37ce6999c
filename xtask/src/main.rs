//! The workspace's own tasks: `cargo xtask vm` and those that follow. Not shipped, knows nothing that the command itself should know.

mod bench;
mod command;
mod lab;
mod setup;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// The workspace's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// The virtual machine laboratory
    #[command(subcommand)]
    Vm(vm::Vm),
    /// Measure, beside the peers
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Vm(task) => vm::run(task),
        Task::Bench(bench) => bench::run(bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
