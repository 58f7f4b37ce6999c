//! The options of a search with rules, its events and its report.

use std::collections::BTreeSet;
use std::io;

use super::limits::MAX_CONTEXT;
use crate::scan::{self, Flow, Summary};

/// A place where a rule was found.
#[derive(Clone, Copy, Debug)]
pub struct RuleMatch<'a> {
    /// The address of the match; that of the unit if the rule has no match.
    pub addr: u64,
    /// The rule's name.
    pub rule: &'a str,
    /// The pattern's name (`$a`); none if the rule's condition holds without a match.
    pub pattern: Option<&'a str>,
    /// The bytes before a match: [`Options::context`] of them, or as many as there are in the region.
    pub before: &'a [u8],
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The bytes after it.
    pub after: &'a [u8],
}

/// An event of the search. Matches come in the order of their addresses.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The next match.
    Match(RuleMatch<'a>),
    /// The number of bytes of memory that were searched since the last such event.
    Progress(u64),
}

/// The receiver of the events.
pub type Sink<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<Flow> + Send);

/// The options of a search.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The number of threads, at least 1. Each keeps a window of memory, and what was found in it.
    pub threads: usize,
    /// The number of bytes that are shown before and after a match, at most [`MAX_CONTEXT`].
    pub context: usize,
}

impl Options {
    /// Each thread has a window of 32 MiB in memory.
    const MAX_DEFAULT_THREADS: usize = 4;

    /// Sets the number of threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the number of bytes that are shown before and after a match.
    #[must_use]
    pub fn context(mut self, context: usize) -> Self {
        self.context = context.min(MAX_CONTEXT);
        self
    }
}

impl Default for Options {
    /// A thread for each CPU, at most 4; nothing is shown around matches.
    fn default() -> Self {
        let threads = scan::Options::default().threads.min(Self::MAX_DEFAULT_THREADS);
        Self { threads, context: 0 }
    }
}

/// The memory that a search has seen, and the patterns with too many matches.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The memory.
    pub summary: Summary,
    /// Patterns, by rule and name, that have [`MAX_MATCHES`](super::MAX_MATCHES) matches in a window: there may be more.
    pub abundant: BTreeSet<(String, String)>,
}
