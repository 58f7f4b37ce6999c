//! The workspace's own tasks: `cargo xtask --help` lists them. Not shipped; knows nothing that the command itself should
//! know.

mod bench;
mod command;
mod consumers;
mod demo;
mod fuzz;
mod lab;
mod scratch;
mod setup;
mod suites;
mod test;
mod vm;

use std::process::ExitCode;

use clap::Parser;

use suites::debuggers_open_cores;
use test::Tier;

/// The workspace's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// See it work: a virtual machine is dumped, and the image proved right
    Demo,
    /// Install the programs that `cargo test` calls
    Setup,
    /// Run every test, with all the set-up that it needs: most of an hour
    Test {
        /// Leave out what needs a virtual machine: some minutes
        #[arg(long)]
        quick: bool,
    },
    /// The virtual machine laboratory
    #[command(subcommand)]
    Vm(vm::Vm),
    /// Cores of real processes, opened by gdb, eu-stack, lldb and drgn
    Process {
        /// The one target to look at
        #[arg(long)]
        only: Option<String>,
    },
    /// The recipes of docs/recipes.md, with the real programs, and ways to fail
    Recipes,
    /// Images of a guest, opened by crash, drgn, makedumpfile, AVML and Volatility
    Opened,
    /// Images converted to every format and back, AVML's too, and one without the pages that debuggers do not need
    Converted,
    /// The kernel's own dump of a guest that crashed, converted to every format and opened by crash and drgn
    Vmcore,
    /// strings, hexdump and search on a guest's image, beside the programs of the same names, and in the guest itself
    Looked,
    /// Feed the readers of images with damaged ones
    Fuzz {
        /// Seconds in all, shared by the targets
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The one target to run
        #[arg(long, value_parser = fuzz::TARGETS)]
        target: Option<String>,
    },
    /// Measure, beside the peers
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Demo => demo::run(),
        Task::Setup => setup::programs_of_tests(),
        Task::Test { quick: true } => test::run(Tier::Quick),
        Task::Test { quick: false } => test::run(Tier::Full),
        Task::Vm(task) => vm::run(task),
        Task::Process { only: None } => test::only("process"),
        Task::Process { only: Some(only) } => debuggers_open_cores::run(&only),
        Task::Recipes => test::only("recipes"),
        Task::Opened => test::only("opened"),
        Task::Converted => test::only("converted"),
        Task::Vmcore => test::only("vmcore"),
        Task::Looked => test::only("looked"),
        Task::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
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
