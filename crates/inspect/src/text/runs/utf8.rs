//! Runs of UTF-8. A byte says itself whether a character begins with it, so what is a character does
//! not depend on where one begins to look.

use super::bytes::{Class, is_ascii, runs_within};
use super::run::{Ends, Run};
use crate::scan::Window;
use crate::text::printable::is_printable_char;

pub(in crate::text) fn utf8_runs(
    window: &Window<'_>,
    min_len: usize,
    each: &mut dyn FnMut(Run),
) -> Ends {
    let Window { bytes, own, .. } = window;
    let mut ends = Ends::default();
    let mut from = own.start;
    let before = (own.start.saturating_sub(MAX_LEN)..own.start)
        .find_map(|at| Some(at + char_len(&bytes[at..])?).filter(|&end| end >= own.start));
    if let Some(start) = before {
        let end = end_of_run(bytes, start, own.end);
        ends.head = Some(Run { start, end });
        if end >= own.end && char_len(&bytes[end..]).is_some() {
            ends.open = ends.head;
            return ends;
        }
        from = end;
    }
    // The last run may go on in the next window, and a character of it may end there.
    let last = bytes[from.min(own.end)..own.end].iter().rposition(|&byte| !Class::Latin.has(byte));
    let last = last.map_or(from, |at| from + at + 1);
    let mut tell = |run: Run, count: usize| {
        if run.end >= own.end && char_len(&bytes[run.end..]).is_some() {
            ends.open = Some(run);
        } else if count >= min_len {
            each(run);
        }
    };
    runs_within(bytes, Class::Latin, from, last, min_len, &mut |run| {
        split(bytes, run, own.end, &mut tell);
    });
    let to = bytes.len().min(own.end + MAX_LEN);
    split(bytes, Run { start: last, end: to }, own.end, &mut tell);
    ends
}

/// The longest character, in bytes.
const MAX_LEN: usize = 4;

/// The length of the character that `bytes` begin with, where it is one that can be printed.
fn char_len(bytes: &[u8]) -> Option<usize> {
    let len = match *bytes.first()? {
        byte @ 0..0x80 => return is_ascii(byte).then_some(1),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
    text.chars().next().filter(|&c| is_printable_char(c)).map(|_| len)
}

/// The end of the run of characters from `start` on: no character begins there, or it is not before `to`.
fn end_of_run(bytes: &[u8], start: usize, to: usize) -> usize {
    let mut at = start;
    while at < to
        && let Some(len) = char_len(&bytes[at..])
    {
        at += len;
    }
    at
}

/// Tells of the runs of characters in a run of bytes that begin before `to`, and how many characters each
/// has.
fn split(bytes: &[u8], run: Run, to: usize, each: &mut dyn FnMut(Run, usize)) {
    let (mut start, mut at, mut count) = (run.start, run.start, 0);
    while at < to.min(run.end) {
        match char_len(&bytes[at..]) {
            Some(len) => (at, count) = (at + len, count + 1),
            None => {
                if count > 0 {
                    each(Run { start, end: at }, count);
                }
                (at, count) = (at + 1, 0);
                start = at;
            }
        }
    }
    if count > 0 {
        each(Run { start, end: at }, count);
    }
}
