//! The search for bytes, texts, expressions, numbers and pointers.
//!
//! Patterns of bytes are found at every address at which they stand, also where two overlap. Memory that is known to be
//! zero as it was never touched is not searched; what begins in it and ends in other memory is found.

mod matcher;
mod pattern;

use std::collections::BTreeMap;
use std::io;

use memdump_image::View;

use crate::scan::{self, Content, Flow, Look, Part, ScanError, Summary, Window};
use matcher::Matcher;
pub use pattern::{Pattern, PatternError, What, parse_integer};

/// A place where a pattern was found.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The address of its first byte.
    pub addr: u64,
    /// The index of the pattern.
    pub pattern: usize,
    /// The bytes before it: [`Options::context`] of them, or as many as there are.
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
    Match(Match<'a>),
    /// The number of bytes of memory that were searched since the last such event.
    Progress(u64),
}

/// The receiver of the events.
pub type Sink<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<Flow> + Send);

/// The options of a search.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The number of bytes that are shown before and after a match, at most [`MAX_CONTEXT`](Self::MAX_CONTEXT).
    pub context: usize,
    /// The options of the scan.
    pub scan: scan::Options,
}

impl Options {
    /// The most bytes that are shown before and after a match.
    pub const MAX_CONTEXT: usize = 4096;

    /// Sets the number of bytes that are shown before and after a match.
    #[must_use]
    pub fn context(mut self, context: usize) -> Self {
        self.context = context;
        self
    }

    /// Sets the options of the scan.
    #[must_use]
    pub fn scan(mut self, scan: scan::Options) -> Self {
        self.scan = scan;
        self
    }
}

/// Patterns that were made ready to be searched for.
pub struct Search {
    matchers: Vec<Matcher>,
    /// The length of the longest match.
    longest: usize,
    patterns: usize,
}

impl Search {
    /// Prepares the search for `patterns`.
    ///
    /// # Errors
    /// When there are too many patterns.
    pub fn new(patterns: &[Pattern]) -> Result<Self, PatternError> {
        let lens =
            patterns.iter().map(|pattern| pattern.what.len().unwrap_or(Pattern::MAX_REGEX_MATCH));
        let longest = lens.max().unwrap_or(1).max(8);
        let matchers = matcher::matchers(patterns)?;
        Ok(Self { matchers, longest, patterns: patterns.len() })
    }

    /// Finds all matches in the memory of `view`.
    ///
    /// # Errors
    /// When the source fails as a whole, or `sink` does.
    pub fn run(
        &self,
        view: &View<'_>,
        options: &Options,
        sink: Sink<'_>,
    ) -> Result<Summary, ScanError> {
        let context = options.context.min(Options::MAX_CONTEXT);
        let look = Patterns { search: self, context };
        let mut ends = Ends::new();
        scan::scan(view, &options.scan, &look, &mut |part, places| {
            if sink(Event::Progress(part.extent.len()))?.is_stop() {
                return Ok(Flow::Stop);
            }
            let Content::Bytes(window) = &part.content else { return Ok(Flow::Continue) };
            if let Some(mut places) = places {
                self.go_on(window, &mut places, &mut ends);
                return look.tell(window, &places, sink);
            }
            // They are too many to be kept at once.
            for window in self.steps(window) {
                let mut places = self.places(&window, usize::MAX).unwrap_or_default();
                self.go_on(&window, &mut places, &mut ends);
                if look.tell(&window, &places, sink)?.is_stop() {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::Continue)
        })
    }

    /// The matches that begin in the window, ascending; none where they are more than `max`.
    fn places(&self, window: &Window<'_>, max: usize) -> Option<Vec<Place>> {
        let mut places = Vec::new();
        for (index, matcher) in self.matchers.iter().enumerate() {
            let is_all = matcher.find(window, window.own.start, &mut |start, end, pattern| {
                places.push(Place { start, end, pattern, matcher: index });
                places.len() <= max
            });
            if !is_all {
                return None;
            }
        }
        places.sort_unstable();
        Some(places)
    }

    /// Matches of an expression do not overlap, also where one lies across the border of two windows: what
    /// overlaps is searched for again behind it, until that meets what was found already.
    fn go_on(&self, window: &Window<'_>, places: &mut Vec<Place>, ends: &mut Ends) {
        for (index, matcher) in self.matchers.iter().enumerate() {
            if matcher.may_overlap() {
                continue;
            }
            let begin = window.addr_of(window.own.start);
            if let Some(&last) = ends.get(&index)
                && last > begin
            {
                let from = usize::try_from(last - window.addr).unwrap_or(usize::MAX);
                let known: Vec<usize> =
                    places.iter().filter(|p| p.matcher == index).map(|p| p.start).collect();
                let mut again = Vec::new();
                let mut met = window.own.end;
                if from < window.own.end {
                    matcher.find(window, from, &mut |start, end, pattern| {
                        if known.binary_search(&start).is_ok() {
                            met = start;
                            return false;
                        }
                        again.push(Place { start, end, pattern, matcher: index });
                        true
                    });
                }
                places.retain(|place| place.matcher != index || place.start >= met);
                places.extend(again);
                places.sort_unstable();
            }
            if let Some(place) = places.iter().rfind(|place| place.matcher == index) {
                ends.insert(index, window.addr_of(place.end));
            }
        }
    }

    /// The window in parts that are short enough for any number of matches.
    fn steps<'a>(&self, window: &Window<'a>) -> impl Iterator<Item = Window<'a>> + use<'a> {
        let step = (MAX_PLACES / self.patterns.max(1)).max(1);
        let Window { bytes, own, addr } = window.clone();
        own.clone().step_by(step).map(move |start| {
            let own = start..own.end.min(start + step);
            Window { bytes, own, addr }
        })
    }
}

/// The most matches of a window that are kept.
const MAX_PLACES: usize = 1 << 20;

/// The end of the last match of each matcher whose matches do not overlap.
type Ends = BTreeMap<usize, u64>;

/// A match in a window; in the order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    start: usize,
    pattern: usize,
    end: usize,
    matcher: usize,
}

/// The search as the scan sees it.
struct Patterns<'a> {
    search: &'a Search,
    context: usize,
}

impl Patterns<'_> {
    /// Sends the matches in a window.
    fn tell(&self, window: &Window<'_>, places: &[Place], sink: Sink<'_>) -> io::Result<Flow> {
        let Window { bytes, .. } = window;
        for &Place { start, end, pattern, .. } in places {
            let found = Match {
                addr: window.addr_of(start),
                pattern,
                before: &bytes[start.saturating_sub(self.context)..start],
                bytes: &bytes[start..end],
                after: &bytes[end..bytes.len().min(end + self.context)],
            };
            if sink(Event::Match(found))?.is_stop() {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }
}

impl Look for Patterns<'_> {
    /// None if there are too many.
    type Found = Option<Vec<Place>>;

    fn reach(&self) -> usize {
        self.search.longest + self.context
    }

    fn look(&self, part: &Part<'_>) -> Self::Found {
        match &part.content {
            Content::Bytes(window) => self.search.places(window, MAX_PLACES),
            _ => Some(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
