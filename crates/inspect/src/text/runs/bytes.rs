//! Runs of bytes that can be printed, 64 bytes at a time.
//!
//! Each block of 64 bytes becomes a word with a bit for each byte. Where a run of `n` begins, `n`
//! bits in a row are set, which a few shifts tell of all 64 places at once.

use super::run::{Ends, Run};
use crate::scan::Window;

/// The bytes that are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) enum Class {
    /// The bytes that `isprint(3)` accepts in the C locale, and the tab.
    Ascii,
    /// The same, and all above 127.
    Latin,
}

impl Class {
    pub(super) fn has(self, byte: u8) -> bool {
        is_ascii(byte) || self == Class::Latin && byte >= 0x80
    }

    fn mask(self, block: &[u8; 64]) -> u64 {
        match self {
            Class::Ascii => mask::ascii(block),
            Class::Latin => mask::ascii(block) | mask::high(block),
        }
    }
}

pub(super) fn is_ascii(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

pub(in crate::text) fn byte_runs(
    window: &Window<'_>,
    class: Class,
    min_len: usize,
    each: &mut dyn FnMut(Run),
) -> Ends {
    let Window { bytes, own, .. } = window;
    let (mut from, mut to) = (own.start, own.end);
    let mut ends = Ends::default();
    let goes_on = bytes.get(to).is_some_and(|&byte| class.has(byte));
    if from > 0 && class.has(bytes[from - 1]) && class.has(bytes[from]) {
        let end = end_of_run(bytes, class, from, to);
        ends.head = Some(Run { start: from, end });
        if end == to && goes_on {
            ends.open = ends.head;
            return ends;
        }
        from = end;
    }
    if goes_on {
        let others = bytes[from..to].iter().rposition(|&byte| !class.has(byte));
        let start = others.map_or(from, |at| from + at + 1);
        ends.open = Some(Run { start, end: to }).filter(|run| run.start < run.end);
        to = start;
    }
    runs_within(bytes, class, from, to, min_len, each);
    ends
}

/// The end of the run around `from`, at most `to`.
fn end_of_run(bytes: &[u8], class: Class, from: usize, to: usize) -> usize {
    let mut at = from;
    while let Some(block) = bytes[at..to].first_chunk() {
        let others = !class.mask(block);
        if others != 0 {
            return at + others.trailing_zeros() as usize;
        }
        at += 64;
    }
    bytes[at..to].iter().position(|&byte| !class.has(byte)).map_or(to, |rest| at + rest)
}

/// Calls `each` with the runs in `from..to` that are long enough. What lies around is no part of them.
pub(super) fn runs_within(
    bytes: &[u8],
    class: Class,
    from: usize,
    to: usize,
    min_len: usize,
    each: &mut dyn FnMut(Run),
) {
    let bytes = &bytes[..to];
    let mask_at = |at: usize| match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(block) => class.mask(block),
        None => rest_mask(bytes.get(at..).unwrap_or(&[]), class),
    };
    let wanted = min_len.min(64) as u32;
    let mut begun: Option<usize> = None;
    let mut at = from;
    let mut next = mask_at(at);
    while at < to {
        let mut here = next;
        next = mask_at(at + 64);
        let block = at;
        at += 64;
        if let Some(start) = begun {
            let len = here.trailing_ones();
            if len == 64 {
                continue;
            }
            begun = None;
            tell(Run { start, end: block + len as usize }, min_len, each);
            here &= u64::MAX << len;
        }
        if here == 0 {
            continue;
        }
        let mut starts = in_a_row(u128::from(here) | u128::from(next) << 64, wanted) as u64;
        while starts != 0 {
            let start = starts.trailing_zeros();
            let len = (here >> start).trailing_ones();
            if start + len >= 64 {
                begun = Some(block + start as usize);
                break;
            }
            let run = Run { start: block + start as usize, end: block + (start + len) as usize };
            tell(run, min_len, each);
            starts &= u64::MAX << (start + len);
        }
    }
    if let Some(start) = begun {
        tell(Run { start, end: to }, min_len, each);
    }
}

fn tell(run: Run, min_len: usize, each: &mut dyn FnMut(Run)) {
    if run.end - run.start >= min_len {
        each(run);
    }
}

/// The places from which on `wanted` bits are set, 1 to 64.
fn in_a_row(bits: u128, wanted: u32) -> u128 {
    let (mut row, mut len) = (bits, 1);
    while len < wanted {
        let step = len.min(wanted - len);
        row &= row >> step;
        len += step;
    }
    row
}

/// Fewer than 64 bytes; beyond them nothing.
fn rest_mask(bytes: &[u8], class: Class) -> u64 {
    bytes.iter().zip(0..).fold(0, |mask, (&byte, bit)| mask | u64::from(class.has(byte)) << bit)
}

/// Words with a bit for each of 64 bytes, the first lowest.
pub(super) mod mask {
    use wide::i8x16;

    /// The bytes that are printable ASCII or a tab.
    #[inline]
    pub(in crate::text) fn ascii(block: &[u8; 64]) -> u64 {
        gather(block, |bytes| {
            // As signed numbers, bytes above 127 lie below 0.
            let graphic = bytes.simd_gt(i8x16::splat(0x1f)) & i8x16::splat(0x7f).simd_gt(bytes);
            graphic | bytes.simd_eq(i8x16::splat(b'\t'.cast_signed()))
        })
    }

    /// The bytes above 127.
    #[inline]
    pub(in crate::text) fn high(block: &[u8; 64]) -> u64 {
        gather(block, |bytes| bytes)
    }

    /// The bytes that are 0.
    #[inline]
    pub(in crate::text) fn zero(block: &[u8; 64]) -> u64 {
        gather(block, |bytes| bytes.simd_eq(i8x16::splat(0)))
    }

    /// The highest bit of each byte that `of` gives.
    #[inline(always)]
    fn gather(block: &[u8; 64], of: impl Fn(i8x16) -> i8x16) -> u64 {
        let (parts, _) = block.as_chunks::<16>();
        parts.iter().rev().fold(0, |mask, part| {
            let bits = of(bytemuck::cast(*part)).to_bitmask();
            mask << 16 | u64::from(bits)
        })
    }
}
