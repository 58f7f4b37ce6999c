//! Runs of characters of two or four bytes, of which all but the lowest are 0.
//!
//! Two such characters cannot overlap: a byte is 0 or can be printed. So what is a character follows
//! from its own bytes alone, wherever one begins to look.

use super::bytes::{is_ascii, mask};
use super::run::{Ends, Run};
use crate::scan::Window;

/// `W` bytes a character; `LOW_FIRST` is their order.
pub(in crate::text) fn wide_runs<const W: usize, const LOW_FIRST: bool>(
    window: &Window<'_>,
    min_len: usize,
    each: &mut dyn FnMut(Run),
) -> Ends {
    let Window { bytes, own, .. } = window;
    let is_char = |at: usize| {
        let unit: Option<&[u8; W]> = bytes.get(at..).and_then(<[u8]>::first_chunk);
        unit.is_some_and(|unit| {
            let (low, others) =
                if LOW_FIRST { (unit[0], &unit[1..]) } else { (unit[W - 1], &unit[..W - 1]) };
            is_ascii(low) && others.iter().all(|&byte| byte == 0)
        })
    };
    let mut ends = Ends::default();
    let mut from = own.start;
    // A character that begins before the border may end after it, and the next one follows.
    let before = (own.start.saturating_sub(W)..own.start).find(|&at| is_char(at));
    if let Some(before) = before
        && let start = before + W
    {
        let end = end_of_run::<W>(start, own.end, is_char);
        ends.head = Some(Run { start, end });
        if is_char(end) {
            ends.open = ends.head;
            return ends;
        }
        from = end;
    }
    let wanted = min_len.min(MAX_IN_A_ROW);
    let mut at = from;
    while at < own.end {
        let block = bytes.get(at..).unwrap_or(&[]);
        let starts = starts::<W, LOW_FIRST>(block, wanted);
        let (mut left, mut next) = (starts, at + BLOCK_LEN);
        while left != 0 {
            let start = at + left.trailing_zeros() as usize;
            if start >= own.end {
                break;
            }
            let end = end_of_run::<W>(start, own.end, is_char);
            if end >= own.end && is_char(end) {
                ends.open = Some(Run { start, end });
                return ends;
            }
            if (end - start) / W >= min_len {
                each(Run { start, end });
            }
            if end >= at + BLOCK_LEN {
                next = end;
                break;
            }
            left &= u64::MAX << (end - at);
        }
        at = next;
    }
    // A short run at the end may become long enough in the next window.
    let last = (own.end.saturating_sub(W).max(from)..own.end).find(|&at| is_char(at));
    if let Some(last) = last
        && is_char(last + W)
    {
        let mut start = last;
        while start >= from + W && is_char(start - W) {
            start -= W;
        }
        ends.open = Some(Run { start, end: last + W });
    }
    ends
}

/// The end of the run of characters from `start` on: no character begins there, or it is not before `to`.
fn end_of_run<const W: usize>(start: usize, to: usize, is_char: impl Fn(usize) -> bool) -> usize {
    let mut at = start;
    while at < to && is_char(at) {
        at += W;
    }
    at
}

/// Places that are looked at together.
const BLOCK_LEN: usize = 64;
/// As many characters of four bytes, begun at any place of a block, end in the next.
const MAX_IN_A_ROW: usize = 15;

/// The places among the first 64 of `bytes` at which `wanted` characters follow one another.
fn starts<const W: usize, const LOW_FIRST: bool>(bytes: &[u8], wanted: usize) -> u64 {
    let mut padded = [0xff; 128];
    let both = match bytes.first_chunk::<128>() {
        Some(both) => both,
        None => {
            padded[..bytes.len()].copy_from_slice(bytes);
            &padded
        }
    };
    let (halves, _) = both.as_chunks::<64>();
    let join =
        |of: fn(&[u8; 64]) -> u64| u128::from(of(&halves[0])) | u128::from(of(&halves[1])) << 64;
    let zero = join(mask::zero);
    if zero == 0 {
        return 0;
    }
    let printable = join(mask::ascii);
    let mut chars = if LOW_FIRST { printable } else { printable >> (W - 1) };
    let zeros = if LOW_FIRST { 1..W } else { 0..W - 1 };
    for offset in zeros {
        chars &= zero >> offset;
    }
    let (mut row, mut len) = (chars, 1);
    while len < wanted && row != 0 {
        let step = len.min(wanted - len);
        row &= row >> (step * W);
        len += step;
    }
    row as u64
}
