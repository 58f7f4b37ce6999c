//! Code shared by the commands that write an image: progress, stopping on a signal, and the list of holes.

use memdump_acquire::{Destination, Human, JobOptions, Monitor};
use memdump_image::format::FORMATS;
use memdump_image::{Hole, Space, Summary};

use crate::args::{ProgressStyle, WriteArgs};
use crate::exit::UsageError;
use crate::progress::Progress;
use crate::signals::StopFlag;

/// The largest number of holes that the summary shows one by one.
const SHOWN_HOLES: usize = 10;

/// The monitor of a job: it shows progress, and stops the job on a signal.
pub(super) struct Attended<'a> {
    stop: &'a StopFlag,
    style: ProgressStyle,
    quiet: bool,
    progress: Progress,
}

impl<'a> Attended<'a> {
    pub(super) fn new(args: &WriteArgs, stop: &'a StopFlag) -> Self {
        Self { stop, style: args.progress, quiet: args.quiet, progress: Progress::Silent }
    }
}

impl Monitor for Attended<'_> {
    fn begins(&mut self, total: u64) {
        self.progress = Progress::new(self.style, self.quiet, total);
    }

    fn advance(&mut self, bytes: u64) {
        self.progress.advance(bytes);
    }

    fn ends(&mut self) {
        self.progress.clear();
    }

    fn wants_stop(&self) -> bool {
        self.stop.is_set()
    }
}

/// Prints a message on standard error, unless `--quiet` was given.
pub(super) fn say(args: &WriteArgs, message: std::fmt::Arguments<'_>) {
    if !args.quiet {
        eprintln!("memdump: {message}");
    }
}

/// Lists the memory that is not in the image. Memory that was left out on request is only counted by its use. `list` names the place
/// where all holes are listed.
pub(super) fn say_holes(args: &WriteArgs, missing: &[Hole], summary: &Summary, list: &str) {
    let missing: Vec<_> = missing.iter().filter(|hole| !hole.cause.is_excluded()).collect();
    for hole in missing.iter().take(SHOWN_HOLES) {
        let len = Human(hole.extent.len());
        say(args, format_args!("not in it: {len} at {}: {}", hole.extent, hole.cause));
    }
    let unshown = missing.len().saturating_sub(SHOWN_HOLES) as u64 + summary.holes.unlisted();
    if unshown > 0 {
        say(args, format_args!("not in it: {unshown} more holes ({list} lists them)"));
    }
    for (cause, bytes) in summary.holes.by_cause() {
        if cause.is_excluded() || unshown > 0 {
            say(args, format_args!("not in it, in all: {}: {cause}", Human(bytes)));
        }
    }
}

/// Refuses a format that cannot hold addresses of `space`. `option` is the option that selected these addresses.
pub(super) fn check_space(job: &JobOptions, space: Space, option: &str) -> Result<(), UsageError> {
    job.check_space(space).map_err(|error| {
        let fitting = FORMATS.iter().filter(|format| (format.holds)(space));
        let fitting: Vec<&str> = fitting.map(|format| format.name).collect();
        UsageError(format!("--{error}; {option}use --format {}", fitting.join(" or ")))
    })
}

/// The destination of that name.
pub(super) fn destination(target: &std::ffi::OsStr) -> Result<Destination, UsageError> {
    Destination::parse(target).map_err(|error| UsageError(error.to_string()))
}
