//! Shows or counts matches, and ends a search, whatever it searches for.

use std::io;

use memdump_inspect::scan::{Flow, ScanError, Summary};

use super::super::look::{self, Moving};
use super::super::print;
use super::super::target::Target;
use super::lines::{Hit, Lines};
use crate::args::SearchArgs;
use crate::exit::Exit;
use crate::signals::StopFlag;

/// Shows or counts matches.
pub(super) struct Hits<'a> {
    args: &'a SearchArgs,
    target: &'a Target,
    lines: Lines<'a>,
    moving: Moving<'a>,
    found: u64,
}

impl<'a> Hits<'a> {
    /// `is_named` says if lines for people name the pattern.
    pub(super) fn new(
        args: &'a SearchArgs,
        target: &'a Target,
        stop: &'a StopFlag,
        is_named: bool,
    ) -> Self {
        let lines = Lines::new(args, target.map(), is_named);
        let moving = Moving::new(target, &args.show, stop);
        Self { args, target, lines, moving, found: 0 }
    }

    /// Takes the next match.
    pub(super) fn add(&mut self, hit: &Hit<'_>) -> io::Result<Flow> {
        self.found += 1;
        if !self.args.count {
            self.lines.add(hit)?;
        }
        Ok(Flow::stop_if(self.args.max.is_some_and(|max| self.found >= max)))
    }

    /// So many more bytes are done.
    pub(super) fn advance(&mut self, bytes: u64) -> io::Result<Flow> {
        self.moving.advance(bytes)
    }

    /// Ends the listing.
    pub(super) fn done<T>(&mut self, result: Result<T, ScanError>) -> anyhow::Result<T> {
        self.moving.clear();
        let flushed = self.lines.flush().map_err(ScanError::Deliver);
        self.moving.done(result.and_then(|seen| flushed.map(|()| seen)), self.target)
    }

    /// Prints the counts, if they are wanted, and the summary, and gives the exit status.
    pub(super) fn conclude(
        &self,
        summary: &Summary,
        counts: impl FnOnce() -> String,
    ) -> anyhow::Result<Exit> {
        let Self { args, target, found, .. } = self;
        if args.count {
            print(&counts())?;
        }
        if args.show.json {
            print(&look::summary_line(target, summary, *found))?;
        }
        Ok(look::conclude(target, summary, *found, args.show.quiet))
    }
}
