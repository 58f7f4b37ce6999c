//! Finds the matches of patterns in a window: each sort of pattern by what is quickest for it.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, MatchKind};
use memchr::memmem::Finder;
use memdump_image::ExtentSet;
use regex::bytes::Regex;

use super::pattern::{Pattern, PatternError, What};
use crate::scan::Window;

/// Fewer patterns are quicker searched for one by one: a window fits into the cache.
const MANY: usize = 12;

/// One pass over a window.
pub(super) enum Matcher {
    One { finder: Box<Finder<'static>>, pattern: usize, align: u64 },
    Masked { finder: Box<Finder<'static>>, masked: Masked, pattern: usize, align: u64 },
    Many { finder: AhoCorasick, patterns: Vec<(usize, u64)> },
    Regex { regex: Regex, pattern: usize, align: u64 },
    Pointers { to: ExtentSet, width: usize, pattern: usize, align: u64 },
}

/// Bytes and the bits of them that count.
pub(super) struct Masked {
    bytes: Vec<u8>,
    mask: Vec<u8>,
    /// The offset of the finder's bytes in them.
    at: usize,
}

/// The passes that find all of `patterns`.
pub(super) fn matchers(patterns: &[Pattern]) -> Result<Vec<Matcher>, PatternError> {
    let mut matchers = Vec::new();
    let mut plain = Vec::new();
    let mut any_case = Vec::new();
    for (index, Pattern { what, align, .. }) in patterns.iter().enumerate() {
        let (pattern, align) = (index, (*align).max(1));
        match what {
            What::Bytes(bytes) => plain.push((bytes, (pattern, align))),
            What::AnyCase(bytes) => any_case.push((bytes, (pattern, align))),
            What::Masked { bytes, mask } => {
                let known = longest_known(mask);
                let finder = Box::new(Finder::new(&bytes[known.clone()]).into_owned());
                let masked = Masked { bytes: bytes.clone(), mask: mask.clone(), at: known.start };
                matchers.push(Matcher::Masked { finder, masked, pattern, align });
            }
            What::Regex(regex) => {
                matchers.push(Matcher::Regex { regex: regex.clone(), pattern, align });
            }
            What::PointerTo { to, width } => {
                let (to, width) = (to.clone(), *width);
                matchers.push(Matcher::Pointers { to, width, pattern, align });
            }
        }
    }
    if plain.len() < MANY {
        matchers.extend(plain.drain(..).map(|(bytes, (pattern, align))| Matcher::One {
            finder: Box::new(Finder::new(bytes).into_owned()),
            pattern,
            align,
        }));
    }
    for (texts, is_any_case) in [(plain, false), (any_case, true)] {
        if texts.is_empty() {
            continue;
        }
        let (texts, patterns): (Vec<&Vec<u8>>, Vec<_>) = texts.into_iter().unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(is_any_case)
            .kind((texts.len() < 1000).then_some(AhoCorasickKind::DFA))
            .build(texts)
            .map_err(|error| PatternError::Regex(format!("too many patterns: {error}")))?;
        matchers.push(Matcher::Many { finder, patterns });
    }
    Ok(matchers)
}

impl Matcher {
    /// Returns true if two of its matches may overlap.
    pub(super) fn may_overlap(&self) -> bool {
        !matches!(self, Matcher::Regex { .. })
    }

    /// Tells `each` of the matches that begin at `from` or after it among the window's own bytes: where it begins and
    /// ends, and the pattern. Ends, and says so, when `each` wants no more.
    pub(super) fn find(
        &self,
        window: &Window<'_>,
        from: usize,
        each: &mut dyn FnMut(usize, usize, usize) -> bool,
    ) -> bool {
        let Window { bytes, own, .. } = window;
        let is_aligned =
            |start: usize, align: u64| align == 1 || window.addr_of(start).is_multiple_of(align);
        match self {
            Matcher::One { finder, pattern, align } => {
                let len = finder.needle().len();
                all_of(finder, bytes, from..own.end, |start| {
                    !is_aligned(start, *align) || each(start, start + len, *pattern)
                })
            }
            Matcher::Masked { finder, masked, pattern, align } => {
                let Masked { bytes: wanted, mask, at } = masked;
                all_of(finder, bytes, from + at..own.end + at, |found| {
                    let start = found - at;
                    let Some(here) = bytes.get(start..start + wanted.len()) else { return true };
                    let mut pairs = here.iter().zip(wanted.iter().zip(mask));
                    let is_match = pairs.all(|(byte, (wanted, mask))| byte & mask == *wanted);
                    !is_match
                        || !is_aligned(start, *align)
                        || each(start, start + wanted.len(), *pattern)
                })
            }
            Matcher::Many { finder, patterns } => {
                let longest = finder.max_pattern_len();
                let to = bytes.len().min(own.end + longest.saturating_sub(1));
                let input = Input::new(*bytes).span(from..to).anchored(Anchored::No);
                // It cannot fail: the kind of match and the anchoring are those that it was built for.
                let Ok(found) = finder.try_find_overlapping_iter(input) else { return true };
                for found in found {
                    let (pattern, align) = patterns[found.pattern().as_usize()];
                    let (start, end) = (found.start(), found.end());
                    if start < own.end && is_aligned(start, align) && !each(start, end, pattern) {
                        return false;
                    }
                }
                true
            }
            Matcher::Regex { regex, pattern, align } => {
                let mut at = from;
                while let Some(found) = regex.find_at(bytes, at) {
                    if found.start() >= own.end {
                        break;
                    }
                    at = found.end().max(found.start() + 1);
                    let is_wanted = !found.is_empty() && is_aligned(found.start(), *align);
                    if is_wanted && !each(found.start(), found.end(), *pattern) {
                        return false;
                    }
                    if at > bytes.len() {
                        break;
                    }
                }
                true
            }
            Matcher::Pointers { to, width, pattern, align } => match width {
                4 => pointers::<4>(window, from, *align, to, |start| {
                    each(start, start + 4, *pattern)
                }),
                _ => pointers::<8>(window, from, *align, to, |start| {
                    each(start, start + 8, *pattern)
                }),
            },
        }
    }
}

/// All places in `starts` at which the finder's bytes stand, also where they overlap.
fn all_of(
    finder: &Finder<'_>,
    bytes: &[u8],
    starts: Range<usize>,
    mut each: impl FnMut(usize) -> bool,
) -> bool {
    let to = bytes.len().min(starts.end + finder.needle().len() - 1);
    let mut at = starts.start;
    while at < to
        && let Some(next) = finder.find(&bytes[at..to])
    {
        if !each(at + next) {
            return false;
        }
        at += next + 1;
    }
    true
}

/// The longest part of a pattern of which every bit counts.
fn longest_known(mask: &[u8]) -> Range<usize> {
    let mut longest = 0..0;
    let mut at = 0;
    for part in mask.chunk_by(|a, b| (*a == 0xff) == (*b == 0xff)) {
        if part[0] == 0xff && part.len() > longest.len() {
            longest = at..at + part.len();
        }
        at += part.len();
    }
    longest
}

fn pointers<const W: usize>(
    window: &Window<'_>,
    from: usize,
    align: u64,
    to: &ExtentSet,
    mut each: impl FnMut(usize) -> bool,
) -> bool {
    let extents = to.as_slice();
    let (Some(first), Some(last)) = (extents.first(), extents.last()) else { return true };
    let (lowest, span) = (first.start(), last.end() - first.start());
    let past = window.addr_of(from) % align;
    let first = if past == 0 { from } else { from + (align - past) as usize };
    let step = usize::try_from(align).unwrap_or(usize::MAX);
    for start in (first..window.own.end).step_by(step) {
        let Some(word) = window.bytes[start..].first_chunk::<W>() else { break };
        let mut bytes = [0; 8];
        bytes[..W].copy_from_slice(word);
        let value = u64::from_le_bytes(bytes);
        if value.wrapping_sub(lowest) < span && to.find(value).is_some() && !each(start) {
            return false;
        }
    }
    true
}
