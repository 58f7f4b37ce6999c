//! The search for bytes, texts, expressions, numbers and pointers.
//!
//! Patterns of bytes are found at every address at which they stand, also where two overlap. Memory that is known to be
//! zero as it was never touched is not searched; what begins in it and ends in other memory is found.

mod matcher;
mod pattern;

use std::collections::BTreeMap;
use std::io;

use memdump_image::{AddressSpace, Plan};

use crate::scan::{self, Content, Look, Options, Part, ScanError, Summary, Window};
use matcher::Matcher;
pub use pattern::{Pattern, PatternError, What, parse_integer};

/// Where a pattern was found.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The address of its first byte.
    pub addr: u64,
    /// The index of the pattern.
    pub pattern: usize,
    /// What stands before it, as much as was asked for or there is.
    pub before: &'a [u8],
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What stands after it.
    pub after: &'a [u8],
}

/// Patterns, made ready to be searched for, and how much of what is around is shown.
pub struct Search {
    matchers: Vec<Matcher>,
    context: usize,
    reach: usize,
    patterns: usize,
}

impl Search {
    /// The most that is shown before and after a match, in bytes.
    pub const MAX_CONTEXT: usize = 4096;

    /// Searches for `patterns`; gives `context` bytes before and after each, at most
    /// [`MAX_CONTEXT`](Self::MAX_CONTEXT).
    ///
    /// # Errors
    /// When there are too many patterns.
    pub fn new(patterns: &[Pattern], context: usize) -> Result<Self, PatternError> {
        let context = context.min(Self::MAX_CONTEXT);
        let lens =
            patterns.iter().map(|pattern| pattern.what.len().unwrap_or(Pattern::MAX_REGEX_MATCH));
        let reach = lens.max().unwrap_or(1).max(8) + context;
        let matchers = matcher::matchers(patterns)?;
        Ok(Self { matchers, context, reach, patterns: patterns.len() })
    }

    /// Finds all matches in the memory that `plan` names. `each` gets them in the order of addresses, and says whether to
    /// go on; an error of it ends the search. `advance` is told how many bytes of memory are done; an error of it does so too.
    pub fn run(
        &self,
        space: &dyn AddressSpace,
        plan: &Plan,
        options: &Options,
        each: &mut (dyn FnMut(&Match<'_>) -> io::Result<bool> + Send),
        advance: &(dyn Fn(u64) -> io::Result<()> + Sync),
    ) -> (Summary, Result<(), ScanError>) {
        let mut is_stopped = false;
        // By matcher: where its last match ended, of those that do not overlap.
        let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
        let (summary, result) =
            scan::scan(space, plan, options, self, &mut |part: &Part<'_>, places| {
                advance(part.extent.len())?;
                let Content::Bytes(window) = &part.content else { return Ok(()) };
                let mut tell = |places: Vec<Place>| -> io::Result<()> {
                    for place in places {
                        let found = self.found(window, place);
                        if !each(&found)? {
                            is_stopped = true;
                            return Err(io::Error::other("enough was found"));
                        }
                    }
                    Ok(())
                };
                match places {
                    Some(mut places) => {
                        self.go_on(window, &mut places, &mut ends);
                        tell(places)
                    }
                    // Too many to be kept at once.
                    None => self.steps(window).try_for_each(|window| {
                        let mut places = self.places(&window, usize::MAX).unwrap_or_default();
                        self.go_on(&window, &mut places, &mut ends);
                        tell(places)
                    }),
                }
            });
        (summary, if is_stopped { Ok(()) } else { result })
    }

    fn found<'a>(&self, window: &Window<'a>, place: Place) -> Match<'a> {
        let Place { start, end, pattern, .. } = place;
        let bytes = window.bytes;
        Match {
            addr: window.addr_of(start),
            pattern,
            before: &bytes[start.saturating_sub(self.context)..start],
            bytes: &bytes[start..end],
            after: &bytes[end..bytes.len().min(end + self.context)],
        }
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
    fn go_on(&self, window: &Window<'_>, places: &mut Vec<Place>, ends: &mut BTreeMap<usize, u64>) {
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

/// As many matches of a window are kept, at most.
const MAX_PLACES: usize = 1 << 20;

/// A match in a window; in the order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    start: usize,
    pattern: usize,
    end: usize,
    matcher: usize,
}

impl Look for Search {
    /// None where there are too many.
    type Found = Option<Vec<Place>>;

    fn reach(&self) -> usize {
        self.reach
    }

    fn look(&self, part: &Part<'_>) -> Self::Found {
        match &part.content {
            Content::Bytes(window) => self.places(window, MAX_PLACES),
            _ => Some(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
