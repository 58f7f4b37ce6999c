//! Shared by the commands that look into a target: progress, the summary, exit statuses.

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use memdump_image::Hole;
use memdump_inspect::scan::{self, Flow, ScanError, Summary};
use serde_json::{Value, json};

use super::target::Target;
use crate::args::{ProgressStyle, ShowArgs};
use crate::exit::{self, Exit, ListingClosed, UsageError};
use crate::progress::Progress;
use crate::signals::StopFlag;
use memdump_acquire::Human;

/// The number of holes that are shown one by one.
const SHOWN_HOLES: usize = 10;

/// Runs a command that finds things. What could not be looked at must not pass for "nothing found", so that failures
/// have the status of memory that could not be read.
pub(super) fn run(command: impl FnOnce() -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    command().or_else(|error| {
        if error.is::<UsageError>() || error.is::<ListingClosed>() {
            return Err(error);
        }
        exit::report(&error);
        Ok(Exit::Incomplete)
    })
}

/// As many threads as were asked for.
pub(super) fn options(threads: Option<u8>) -> scan::Options {
    let default = scan::Options::default();
    default.threads(threads.map_or(default.threads, usize::from))
}

/// A moving line on standard error, where that is a terminal and output is not: the two would mix.
///
/// A signal ends the scan in order, so that a process that was paused or forked for it is let go.
pub(super) struct Moving<'a> {
    progress: Progress,
    stop: &'a StopFlag,
}

impl<'a> Moving<'a> {
    pub(super) fn new(target: &Target, show: &ShowArgs, stop: &'a StopFlag) -> Self {
        let is_mixed = io::stdout().is_terminal();
        let style = if is_mixed { ProgressStyle::Never } else { show.progress };
        let progress = Progress::new(style, show.quiet, target.view().total());
        Self { progress, stop }
    }

    /// So many bytes more are done; an error where a signal asks to stop.
    pub(super) fn advance(&mut self, done: u64) -> io::Result<Flow> {
        self.progress.advance(done);
        self.stop.check().map(|()| Flow::Continue)
    }

    pub(super) fn clear(&self) {
        self.progress.clear();
    }

    /// The result of a search, with an error that names the target.
    pub(super) fn done<T>(
        &self,
        result: Result<T, ScanError>,
        target: &Target,
    ) -> anyhow::Result<T> {
        match result {
            Err(_) if self.stop.is_set() => bail!("stopped by a signal"),
            Err(error @ ScanError::Deliver(_)) => Err(error).context(ListingClosed),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", target.name)),
            Ok(seen) => Ok(seen),
        }
    }
}

/// Watches for signals; to be called before a target is opened.
pub(super) fn watch() -> anyhow::Result<StopFlag> {
    StopFlag::install().context("cannot watch for signals")
}

/// Says beforehand what should be known of the target.
pub(super) fn introduce(target: &Target, quiet: bool) {
    tracing::info!("{}: {} to look at", target.name, Human(target.view().total()));
    for note in target.notes.iter().filter(|_| !quiet) {
        eprintln!("memdump: {note}");
    }
}

/// The memory that could not be searched.
pub(super) fn missing(target: &Target, summary: &Summary) -> Vec<Hole> {
    let mut missing = target.omitted.clone();
    missing.extend(summary.holes.listed());
    missing
}

/// Says what could not be looked at, and gives the exit status.
pub(super) fn conclude(target: &Target, summary: &Summary, found: u64, quiet: bool) -> Exit {
    let missing = missing(target, summary);
    let is_incomplete = missing.iter().any(|hole| !hole.cause.is_inherent());
    if !quiet {
        for hole in missing.iter().filter(|hole| !hole.cause.is_inherent()).take(SHOWN_HOLES) {
            let len = Human(hole.extent.len());
            eprintln!("memdump: not looked at: {len} at {}: {}", hole.extent, hole.cause);
        }
        let count = missing.iter().filter(|hole| !hole.cause.is_inherent()).count();
        let unshown = count.saturating_sub(SHOWN_HOLES) as u64 + summary.holes.unlisted();
        if unshown > 0 {
            eprintln!("memdump: not looked at: {unshown} more holes (--json lists them)");
        }
        if is_incomplete {
            eprintln!("memdump: some of the memory could not be looked at (exit status 3)");
        }
    }
    match (is_incomplete, found) {
        (true, _) => Exit::Incomplete,
        (false, 0) => Exit::Failed,
        (false, _) => Exit::Complete,
    }
}

/// The last line of `--json`.
pub(super) fn summary_line(target: &Target, summary: &Summary, found: u64) -> String {
    format!("{}\n", json!({ "summary": self::summary(target, summary, found) }))
}

/// The summary in the last line of `--json`.
pub(super) fn summary(target: &Target, summary: &Summary, found: u64) -> Value {
    let hole = |hole: &Hole| -> Value {
        json!({
            "start": hole.extent.start(),
            "end": hole.extent.end(),
            "cause": hole.cause.name(),
        })
    };
    json!({
        "target": target.name,
        "found": found,
        "read": summary.bytes,
        "zero": summary.zero,
        "holes": missing(target, summary).iter().map(hole).collect::<Vec<_>>(),
        "unlisted_holes": summary.holes.unlisted(),
    })
}
