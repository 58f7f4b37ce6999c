//! The search for strings.

use std::io;

use memdump_image::View;

use super::collect::{Collect, FoundString};
use super::join::{Joiner, Open, Parted};
use super::options::Options;
use crate::scan::{self, Content, Flow, Look, Part, ScanError, Summary, Window};
use crate::text::encoding::Encoding;
use crate::text::runs::{Ends, Run};

/// An event of the search. Strings come in the order of their addresses.
#[derive(Clone, Debug)]
pub enum Event<Out> {
    /// The next strings, as a [`Collect`] made them.
    Strings(Out),
    /// The number of bytes of memory that were searched since the last such event.
    Progress(u64),
}

/// The receiver of the events.
pub type Sink<'a, Out> = &'a mut (dyn FnMut(Event<Out>) -> io::Result<Flow> + Send);

/// Finds the strings in the memory of `view`.
///
/// # Errors
/// When the source fails as a whole, or `sink` does.
pub fn find<C: Collect>(
    view: &View<'_>,
    options: &Options<C>,
    sink: Sink<'_, C::Out>,
) -> Result<Summary, ScanError> {
    let mut joiner = Joiner::new(options);
    let mut flow = Flow::Continue;
    let summary = scan::scan(view, &options.scan, &Strings { options }, &mut |part, found| {
        flow = sink(Event::Progress(part.extent.len()))?;
        if !flow.is_stop() {
            flow = joiner.part(part, found, &mut |out| sink(Event::Strings(out)))?;
        }
        Ok(flow)
    })?;
    if !flow.is_stop() {
        let end = joiner.end(&mut |out| sink(Event::Strings(out)));
        let _ = end.map_err(ScanError::Deliver)?;
    }
    Ok(summary)
}

struct Strings<'a, C> {
    options: &'a Options<C>,
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
        let found = match self.options.encodings.as_slice() {
            [encoding] => self.one(window, *encoding, &mut parted),
            encodings => self.several(window, encodings, &mut parted),
        };
        self.options.collect.end_part(&mut parted.out);
        found
            .into_iter()
            .for_each(|(encoding, ends)| parted.ends.push(keep(window, encoding, ends)));
        parted
    }
}

impl<C: Collect> Strings<'_, C> {
    /// The strings of a single encoding are in order, and are collected as they are found.
    fn one(
        &self,
        window: &Window<'_>,
        encoding: Encoding,
        parted: &mut Parted<C::Out>,
    ) -> Vec<(Encoding, Ends)> {
        let mut scratch = Vec::new();
        let ends = encoding.runs(window, self.options.min_len, &mut |run| {
            self.string(window, encoding, run, &mut scratch, &mut parted.out);
        });
        vec![(encoding, ends)]
    }

    /// Strings that begin after one that continues in the next window, and have to wait for it.
    fn several(
        &self,
        window: &Window<'_>,
        encodings: &[Encoding],
        parted: &mut Parted<C::Out>,
    ) -> Vec<(Encoding, Ends)> {
        let mut runs: Vec<(Run, Encoding)> = Vec::new();
        let each = encodings.iter().map(|&encoding| {
            let ends = encoding.runs(window, self.options.min_len, &mut |run| {
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
                self.options.collect.end_part(&mut out);
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
        let found = FoundString {
            addr: window.addr_of(run.start),
            encoding,
            text: encoding.text(&window.bytes[run.start..run.end], scratch),
            is_first: true,
            is_last: true,
            is_cut: false,
        };
        self.options.collect.string(out, &found);
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
