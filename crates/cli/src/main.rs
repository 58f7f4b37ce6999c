//! The command `memdump`: it turns arguments into library calls, and results into messages, progress and exit statuses.
//!
//! Anything that a user of the libraries would miss belongs in `memdump-acquire` instead.

mod advice;
mod args;
mod commands;
mod exit;
mod log;
mod options;
mod pager;
mod progress;
mod recorded;
mod signals;
mod size;
mod style;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::for_clap(&error),
    };
    let result = match &cli.command {
        None => commands::dump::run(&cli.dump),
        Some(Command::Process(args)) => commands::process::run(args),
        Some(Command::Convert(args)) => commands::convert::run(args),
        Some(Command::Info(args)) => commands::info::run(args),
        Some(Command::Verify(args)) => commands::verify::run(args),
        Some(Command::Map(args)) => commands::map::run(args),
        Some(Command::Hexdump(args)) => commands::hexdump::run(args),
        Some(Command::Diff(args)) => commands::diff::run(args),
        Some(Command::Check(args)) => commands::check::run(args),
        Some(Command::Strings(args)) => commands::strings::run(args),
        Some(Command::Search(args)) => commands::search::run(args),
        Some(Command::Generate { what }) => commands::generate::run(*what),
    };
    result.unwrap_or_else(|error| exit::report(&error)).into()
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}
