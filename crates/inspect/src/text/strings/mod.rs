//! Strings in memory: runs of characters that can be printed, in the encodings of `strings(1)` and in
//! UTF-8.
//!
//! What a run is agrees with GNU strings byte for byte. What becomes of the runs is for a
//! [`Collect`] to say: to show them, or to [count](crate::tally) them.

mod encoding;
mod join;
mod runs;
mod utf8;
mod wide;

use std::io;

use memdump_image::{AddressSpace, Plan};

use crate::scan::{self, Content, Look, Options, Part, ScanError, Summary, Window};
pub use encoding::{Encoding, is_printable_char};
use join::{Joiner, Open, Parted};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// At least one, each once.
    pub encodings: Vec<Encoding>,
    /// The fewest characters of a string, from 1 to [`MAX_MIN_LEN`](Self::MAX_MIN_LEN).
    pub min_len: usize,
    /// Whether a long string may come in several parts. It is cut else, as it is where several encodings are
    /// looked for at once, whose strings have to be put in order.
    pub in_parts: bool,
}

impl Wanted {
    /// As many characters are kept of a string that may still turn out to be too short.
    pub const MAX_MIN_LEN: usize = 1 << 20;
    /// Bytes of a string that are kept where it cannot come in parts; a longer one is cut.
    pub const MAX_KEPT: usize = 1 << 20;
}

/// A string, or a part of one that was too long to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where the string begins.
    pub addr: u64,
    /// How its characters lie in memory.
    pub encoding: Encoding,
    /// Its characters: a byte each, UTF-8 where that is the encoding.
    pub text: &'a [u8],
    /// Whether the string begins with this text.
    pub is_first: bool,
    /// Whether it ends with this text.
    pub is_last: bool,
    /// Whether it goes on in memory, and the rest is not shown.
    pub is_cut: bool,
}

/// Takes strings: many threads do so at once, each for a part of memory. The parts are handed on in the
/// order of addresses.
pub trait Collect: Sync {
    /// What becomes of the strings of a part.
    type Out: Default + Send;

    /// Takes the next string of a part.
    fn string(&self, out: &mut Self::Out, string: &Found<'_>);

    /// Takes no more for this part. Still on many threads at once, in no order.
    fn end_part(&self, _: &mut Self::Out) {}
}

/// Finds all strings of the memory that `plan` names. `deliver` gets what became of them, in the order of
/// addresses, and `advance` is told how many bytes of memory are done. An error of either ends the
/// search.
pub fn find<C: Collect>(
    space: &dyn AddressSpace,
    plan: &Plan,
    options: &Options,
    wanted: &Wanted,
    collect: &C,
    deliver: &mut (dyn FnMut(C::Out) -> io::Result<()> + Send),
    advance: &(dyn Fn(u64) -> io::Result<()> + Sync),
) -> (Summary, Result<(), ScanError>) {
    let look = Strings { wanted, collect };
    let mut joiner = Joiner::new(wanted, collect);
    let (summary, result) =
        scan::scan(space, plan, options, &look, &mut |part: &Part<'_>, found| {
            advance(part.extent.len())?;
            joiner.part(part, found, deliver)
        });
    let result = result.and_then(|()| joiner.end(deliver).map_err(ScanError::Deliver));
    (summary, result)
}

struct Strings<'a, C> {
    wanted: &'a Wanted,
    collect: &'a C,
}

/// A run of characters in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The index of its first byte.
    start: usize,
    /// The index beyond its last.
    end: usize,
}

/// The runs at the two ends of a window's own bytes, which others continue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    /// Continues a run of the window before. It may be empty, where a character reaches over the border.
    head: Option<Run>,
    /// Goes on in the next window: the head, where it takes all, or the last run.
    open: Option<Run>,
}

impl<C: Collect> Look for Strings<'_, C> {
    type Found = Parted<C::Out>;

    /// A character of four bytes across the border, and the one after it.
    fn reach(&self) -> usize {
        8
    }

    fn look(&self, part: &Part<'_>) -> Parted<C::Out> {
        let mut parted = Parted::default();
        let Content::Bytes(window) = &part.content else { return parted };
        let found = match self.wanted.encodings.as_slice() {
            [encoding] => self.one(window, *encoding, &mut parted),
            encodings => self.several(window, encodings, &mut parted),
        };
        self.collect.end_part(&mut parted.out);
        found
            .into_iter()
            .for_each(|(encoding, ends)| parted.ends.push(keep(window, encoding, ends)));
        parted
    }
}

impl<C: Collect> Strings<'_, C> {
    /// Its strings come in order by themselves, and are handed on as they are found.
    fn one(
        &self,
        window: &Window<'_>,
        encoding: Encoding,
        parted: &mut Parted<C::Out>,
    ) -> Vec<(Encoding, Ends)> {
        let mut scratch = Vec::new();
        let ends = encoding.runs(window, self.wanted.min_len, &mut |run| {
            self.string(window, encoding, run, &mut scratch, &mut parted.out);
        });
        vec![(encoding, ends)]
    }

    /// What begins after a string that goes on in the next window has to wait for it.
    fn several(
        &self,
        window: &Window<'_>,
        encodings: &[Encoding],
        parted: &mut Parted<C::Out>,
    ) -> Vec<(Encoding, Ends)> {
        let mut runs: Vec<(Run, Encoding)> = Vec::new();
        let each = encodings.iter().map(|&encoding| {
            let ends = encoding.runs(window, self.wanted.min_len, &mut |run| {
                runs.push((run, encoding));
            });
            (encoding, ends)
        });
        let ends: Vec<(Encoding, Ends)> = each.collect();
        runs.sort_by_key(|(run, encoding)| (run.start, *encoding));
        let open = ends.iter().filter_map(|(_, ends)| ends.open).map(|run| run.start).min();
        let mut scratch = Vec::new();
        for (run, encoding) in runs {
            if open.is_none_or(|open| run.start < open) {
                self.string(window, encoding, run, &mut scratch, &mut parted.out);
            } else {
                let mut out = C::Out::default();
                self.string(window, encoding, run, &mut scratch, &mut out);
                self.collect.end_part(&mut out);
                parted.late.push(((window.addr_of(run.start), encoding), out));
            }
        }
        ends
    }

    fn string(
        &self,
        window: &Window<'_>,
        encoding: Encoding,
        run: Run,
        scratch: &mut Vec<u8>,
        out: &mut C::Out,
    ) {
        let found = Found {
            addr: window.addr_of(run.start),
            encoding,
            text: encoding.text(&window.bytes[run.start..run.end], scratch),
            is_first: true,
            is_last: true,
            is_cut: false,
        };
        self.collect.string(out, &found);
    }
}

/// Copies what another window continues.
fn keep(window: &Window<'_>, encoding: Encoding, ends: Ends) -> Open {
    let text = |run: Run| {
        let mut scratch = Vec::new();
        encoding.text(&window.bytes[run.start..run.end], &mut scratch).to_vec()
    };
    let is_whole = ends.head.is_some() && ends.head == ends.open;
    Open {
        head: ends.head.map(text),
        is_whole,
        open: ends.open.filter(|_| !is_whole).map(|run| (window.addr_of(run.start), text(run))),
    }
}

#[cfg(test)]
mod tests;
