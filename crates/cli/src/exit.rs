//! The exit statuses, and the errors that end the program.

use std::fmt;
use std::io;
use std::process::ExitCode;

use memdump_acquire::ErrorKind;

use crate::advice;

/// The statuses of every subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Complete = 0,
    /// It failed: there is no image, or one with a partial name.
    Failed = 1,
    /// The command line is wrong. Nothing was done.
    Usage = 2,
    /// An image was written, but memory is missing from it.
    Incomplete = 3,
}

/// A command line that parses but makes no sense. The message is one line and shows a valid value.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Prints an error. Each line begins with the program's name.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe)
    };
    if error.downcast_ref::<ListingClosed>().is_some() && error.chain().any(broken_pipe) {
        return Exit::Failed;
    }
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors include their cause in their own text.
        if !message.contains(&cause) {
            let separator = if message.is_empty() { "" } else { ": " };
            message.push_str(&format!("{separator}{cause}"));
        }
    }
    let acquire = error.chain().find_map(|cause| cause.downcast_ref::<memdump_acquire::Error>());
    let message = advice::advise(message, error.chain());
    for line in message.lines() {
        eprintln!("memdump: {line}");
    }
    let is_request = acquire.is_some_and(|error| error.kind() == ErrorKind::Request);
    if error.is::<UsageError>() || is_request { Exit::Usage } else { Exit::Failed }
}

/// The error of a listing that could not be written. If its reader has gone, it is not reported.
#[derive(Debug)]
pub(crate) struct ListingClosed;

impl fmt::Display for ListingClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

/// The exit code for an error of clap: success for help and version, wrong usage for everything else.
pub(crate) fn for_clap(error: &clap::Error) -> ExitCode {
    // If the message cannot be printed, the exit status still tells.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Complete.into() }
}
