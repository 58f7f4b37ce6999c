//! Puts together what windows cut apart, and keeps strings in order.

use std::collections::BTreeMap;
use std::io;

use super::collect::{Collect, FoundString};
use super::options::Options;
use crate::scan::{Flow, Part};
use crate::text::encoding::Encoding;

/// The receiver of what is in order.
type Outlet<'a, Out> = &'a mut dyn FnMut(Out) -> io::Result<Flow>;

/// The strings of one part, before they are joined to those of its neighbours.
pub(super) struct Parted<Out> {
    /// The strings before any that goes on.
    pub(super) out: Out,
    /// Those after it, each by itself, ascending.
    pub(super) late: Vec<((u64, Encoding), Out)>,
    /// For each encoding, in the order of the [`Options`]; nothing for a part that has no bytes.
    pub(super) ends: Vec<Open>,
}

impl<Out: Default> Default for Parted<Out> {
    fn default() -> Self {
        Self { out: Out::default(), late: Vec::new(), ends: Vec::new() }
    }
}

/// The text of runs at the ends of a window.
#[derive(Default)]
pub(super) struct Open {
    /// Continues what went before.
    pub(super) head: Option<Vec<u8>>,
    /// True if the head goes on after the window.
    pub(super) is_whole: bool,
    /// The address and text of the run that begins in the window and goes on after it.
    pub(super) open: Option<(u64, Vec<u8>)>,
}

/// A string that may go on.
struct Pending {
    addr: u64,
    /// The text that was not delivered yet.
    text: Vec<u8>,
    /// True if some of it was delivered.
    is_begun: bool,
    /// True if the rest of it is not wanted any more.
    is_cut: bool,
}

pub(super) struct Joiner<'a, C: Collect> {
    options: &'a Options<C>,
    /// For each encoding.
    pending: Vec<Option<Pending>>,
    /// The results that wait for a pending string before them: single strings, and, without an encoding, those of a part that
    /// begins there.
    waiting: BTreeMap<(u64, Option<Encoding>), C::Out>,
    /// The address after the last part, where its strings may go on.
    next: Option<u64>,
}

impl<'a, C: Collect> Joiner<'a, C> {
    pub(super) fn new(options: &'a Options<C>) -> Self {
        let pending = options.encodings.iter().map(|_| None).collect();
        Self { options, pending, waiting: BTreeMap::new(), next: None }
    }

    /// Takes the next part; `sink` gets what is in order.
    pub(super) fn part(
        &mut self,
        part: &Part<'_>,
        parted: Parted<C::Out>,
        sink: Outlet<'_, C::Out>,
    ) -> io::Result<Flow> {
        let Parted { out, late, ends } = parted;
        if self.next != Some(part.extent.start()) || ends.is_empty() {
            self.finish_all();
        }
        self.next = (!ends.is_empty()).then(|| part.extent.end());
        let mut begun = Vec::with_capacity(ends.len());
        for (index, end) in ends.into_iter().enumerate() {
            if let (Some(head), Some(pending)) = (&end.head, &mut self.pending[index]) {
                pending.add(head);
            }
            if !end.is_whole {
                self.finish(index);
            }
            begun.push(end.open);
        }
        self.waiting.insert((part.extent.start(), None), out);
        if self.flush(sink)?.is_stop() {
            return Ok(Flow::Stop);
        }
        let late = late.into_iter().map(|((addr, encoding), out)| ((addr, Some(encoding)), out));
        self.waiting.extend(late);
        for (pending, begun) in self.pending.iter_mut().zip(begun) {
            if let Some((addr, text)) = begun {
                *pending = Some(Pending { addr, text, is_begun: false, is_cut: false });
            }
        }
        self.shorten();
        self.flush(sink)
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, sink: Outlet<'_, C::Out>) -> io::Result<Flow> {
        self.finish_all();
        self.flush(sink)
    }

    fn finish_all(&mut self) {
        (0..self.pending.len()).for_each(|index| self.finish(index));
    }

    /// A pending string has ended.
    fn finish(&mut self, index: usize) {
        let encoding = self.options.encodings[index];
        if let Some(pending) = self.pending[index].take()
            && !pending.is_cut
            && (pending.is_begun || encoding.count(&pending.text) >= self.options.min_len)
        {
            self.tell(&pending, encoding, true);
        }
    }

    /// Keeps pending strings from growing without bound.
    fn shorten(&mut self) {
        let is_alone = self.pending.len() == 1 && self.options.in_parts;
        for index in 0..self.pending.len() {
            let encoding = self.options.encodings[index];
            let Some(mut pending) = self.pending[index].take() else { continue };
            if pending.is_cut {
                // What is left of it is not wanted.
            } else if is_alone && encoding.count(&pending.text) >= self.options.min_len {
                // Nothing else can come before it: it is shown as far as it is known.
                self.tell(&pending, encoding, false);
                pending.is_begun = true;
                pending.text.clear();
            } else if pending.text.len() > Options::MAX_KEPT {
                let mut kept = Options::MAX_KEPT;
                while encoding == Encoding::Utf8 && pending.text[kept] & 0xc0 == 0x80 {
                    kept -= 1;
                }
                pending.text.truncate(kept);
                pending.is_cut = true;
                self.tell(&pending, encoding, true);
                pending.text = Vec::new();
            }
            self.pending[index] = Some(pending);
        }
    }

    fn tell(&mut self, pending: &Pending, encoding: Encoding, is_last: bool) {
        let mut out = C::Out::default();
        let found = FoundString {
            addr: pending.addr,
            encoding,
            text: &pending.text,
            is_first: !pending.is_begun,
            is_last,
            is_cut: pending.is_cut,
        };
        self.options.collect.string(&mut out, &found);
        self.options.collect.end_part(&mut out);
        self.waiting.insert((pending.addr, Some(encoding)), out);
    }

    /// Hands on what no pending string comes before.
    fn flush(&mut self, sink: Outlet<'_, C::Out>) -> io::Result<Flow> {
        let open = self.pending.iter().flatten().filter(|pending| pending.blocks());
        let open = open.map(|pending| pending.addr).min();
        while let Some(entry) = self.waiting.first_entry()
            && open.is_none_or(|open| entry.key().0 < open)
        {
            if sink(entry.remove())?.is_stop() {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }
}

impl Pending {
    fn add(&mut self, text: &[u8]) {
        if !self.is_cut {
            self.text.extend_from_slice(text);
        }
    }

    /// Returns true if what comes after it has to wait.
    fn blocks(&self) -> bool {
        !self.is_cut && !self.is_begun
    }
}
