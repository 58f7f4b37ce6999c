//! The comparison of pages: B is scanned, and what A has in the same place is read beside it.

use std::collections::BTreeMap;
use std::io;

use memdump_image::blocks::{Blocks, PieceContent, read_block};
use memdump_image::{Cause, CopyError, Extent, MemoryMap, Region, is_zero};

use super::matching::{Matching, Segment};
use super::report::{Change, Event, LINE, Options, Pages, Sink};
use super::side::Side;
use crate::scan::{Content, Flow, Look, Part, ScanError};

/// Compares parts of B with A.
pub(super) struct Pairs<'a> {
    a: &'a Side<'a>,
    b: &'a MemoryMap,
    matching: &'a Matching,
    page_size: u64,
    pub(super) options: Options,
    /// A page of them.
    zeros: Vec<u8>,
}

/// The result for a part of B.
#[derive(Default)]
pub(super) struct Compared {
    /// By row.
    pub(super) pages: Vec<(usize, Pages)>,
    /// Bytes of A that could not be read.
    pub(super) holes: BTreeMap<Cause, u64>,
    pub(super) changes: Changes,
    /// True if it has not been compared: see [`Pairs::each_in_zeros`].
    pub(super) is_left: bool,
    /// The error that ended the reading of A.
    pub(super) error: Option<ScanError>,
}

impl Compared {
    fn pages(&mut self, row: usize) -> &mut Pages {
        if self.pages.last().is_none_or(|(last, _)| *last != row) {
            self.pages.push((row, Pages::default()));
        }
        // There is one now.
        let last = self.pages.len() - 1;
        &mut self.pages[last].1
    }
}

/// Changes, the bytes of all of them one behind the other.
#[derive(Default)]
pub(super) struct Changes {
    /// The addresses of each in A and in B, and its length.
    places: Vec<(u64, u64, usize)>,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Changes {
    /// Sends them, and forgets them.
    pub(super) fn tell(&mut self, sink: Sink<'_>) -> io::Result<Flow> {
        let mut from = 0;
        for &(a, b, len) in &self.places {
            let (old, new) = (&self.old[from..from + len], &self.new[from..from + len]);
            if sink(Event::Change(Change { a, b, old, new }))?.is_stop() {
                return Ok(Flow::Stop);
            }
            from += len;
        }
        self.places.clear();
        self.old.clear();
        self.new.clear();
        Ok(Flow::Continue)
    }

    /// Adds the lines that differ of what stands at `a` and at `b`; it is of one page.
    fn add(&mut self, (mut a, mut b): (u64, u64), mut old: &[u8], mut new: &[u8]) {
        let mut goes_on = false;
        while !old.is_empty() {
            let len = ((LINE - b % LINE) as usize).min(old.len());
            let ((old_line, old_rest), (new_line, new_rest)) =
                (old.split_at(len), new.split_at(len));
            if old_line != new_line {
                match self.places.last_mut().filter(|_| goes_on) {
                    Some((_, _, total)) => *total += len,
                    None => self.places.push((a, b, len)),
                }
                self.old.extend_from_slice(old_line);
                self.new.extend_from_slice(new_line);
            }
            goes_on = old_line != new_line;
            (old, new) = (old_rest, new_rest);
            (a, b) = (a.wrapping_add(len as u64), b.wrapping_add(len as u64));
        }
    }
}

impl Look for Pairs<'_> {
    type Found = Compared;

    fn reach(&self) -> usize {
        0
    }

    fn look(&self, part: &Part<'_>) -> Compared {
        let mut found = Compared::default();
        let bytes = match &part.content {
            Content::Bytes(window) => Some(&window.bytes[window.own.clone()]),
            Content::Zero if self.options.changes => {
                // So much may differ there that it is told while it is found.
                found.is_left = true;
                return found;
            }
            Content::Zero => None,
            Content::Hole(_) => {
                for (extent, row, _) in self.split(part.extent) {
                    found.pages(row).unread += extent.len();
                }
                return found;
            }
        };
        self.part(part.extent, bytes, &mut found, &mut |_| Flow::Continue);
        found
    }
}

impl<'a> Pairs<'a> {
    pub(super) fn new(
        a: &'a Side<'a>,
        b: &'a MemoryMap,
        matching: &'a Matching,
        page_size: u64,
        options: Options,
    ) -> Self {
        // A page size is a power of two, and none is near the size of memory.
        let zeros = vec![0; page_size as usize];
        Self { a, b, matching, page_size, options, zeros }
    }

    /// Compares zeros of B with A, and sends changes as they are found.
    pub(super) fn each_in_zeros(
        &self,
        extent: Extent,
        sink: Sink<'_>,
    ) -> io::Result<(Compared, Flow)> {
        let mut found = Compared::default();
        let mut told = Ok(Flow::Continue);
        self.part(extent, None, &mut found, &mut |changes| {
            told = changes.tell(sink);
            Flow::stop_if(!matches!(told, Ok(Flow::Continue)))
        });
        told.map(|flow| (found, flow))
    }

    /// Compares memory of B: `bytes`, or zeros. `flush` is called whenever as much has been compared as one buffer
    /// holds, and may stop it.
    fn part(
        &self,
        extent: Extent,
        bytes: Option<&[u8]>,
        found: &mut Compared,
        flush: &mut dyn FnMut(&mut Changes) -> Flow,
    ) {
        for (here, row, segment) in self.split(extent) {
            let from = (here.start() - extent.start()) as usize;
            let bytes = bytes.map(|bytes| &bytes[from..from + here.len() as usize]);
            match (segment, bytes) {
                (Some(segment), bytes) => {
                    match self.pair(segment, here, bytes, row, found, flush) {
                        Ok(Flow::Continue) => {}
                        Ok(Flow::Stop) => return,
                        Err(error) => {
                            found.error = Some(error);
                            return;
                        }
                    }
                }
                (None, Some(bytes)) => {
                    let pages = found.pages(row);
                    pages.added += full_pages(here.start(), bytes, self.page_size);
                }
                (None, None) => {}
            }
        }
    }

    /// The parts of an extent of B that lie in one region, and in one segment or none: with the row, and the segment.
    fn split(&self, extent: Extent) -> impl Iterator<Item = (Extent, usize, Option<Segment>)> {
        let segments = &self.matching.segments;
        let mut rest = Some(extent);
        std::iter::from_fn(move || {
            let here = rest?;
            let (row, region) = region_at(self.b, here.start())?;
            let mut end = region.extent.end();
            let segment = self.matching.find(here.start());
            let next = segments.partition_point(|segment| segment.b.start() <= here.start());
            match (segment, segments.get(next)) {
                (Some(segment), _) => end = end.min(segment.b.end()),
                (None, Some(next)) => end = end.min(next.b.start()),
                (None, None) => {}
            }
            let (head, tail) = here.split_at(end - here.start());
            rest = tail;
            Some((head?, row, segment))
        })
    }

    /// Compares a part of a segment with what stands there in A.
    fn pair(
        &self,
        segment: Segment,
        extent: Extent,
        bytes: Option<&[u8]>,
        row: usize,
        found: &mut Compared,
        flush: &mut dyn FnMut(&mut Changes) -> Flow,
    ) -> Result<Flow, ScanError> {
        let a_start = segment.to_a(extent.start());
        let read_error = |addr| move |source| ScanError::Read { addr, source };
        let in_a = Extent::with_len(a_start, extent.len())
            .map_err(|error| read_error(a_start)(io::Error::other(error)))?;
        let space = self.a.view.space();
        let block_len = self
            .options
            .scan
            .block_len
            .max(1)
            .min(usize::try_from(in_a.len()).unwrap_or(usize::MAX));
        let mut buffer = vec![0; block_len];
        for block in Blocks::of_extent(space, in_a, block_len as u64) {
            let block = block.map_err(|error| match error {
                CopyError::Read { addr, source } => ScanError::Read { addr, source },
                error => read_error(a_start)(io::Error::other(error)),
            })?;
            let pieces = read_block(space, &block, &mut buffer, block_len, self.page_size)
                .map_err(read_error(block.span.start()))?;
            for piece in pieces {
                let at = (piece.extent.start() - a_start) as usize;
                let len = piece.extent.len();
                let old = match piece.content {
                    PieceContent::Bytes(from) => Some(&buffer[from..from + len as usize]),
                    PieceContent::Zero => None,
                    PieceContent::Hole(cause) => {
                        found.pages(row).unread += len;
                        *found.holes.entry(cause).or_default() += len;
                        continue;
                    }
                };
                let new = bytes.map(|bytes| &bytes[at..at + len as usize]);
                let place = (piece.extent.start(), extent.start() + at as u64);
                self.pages(place, old, new, len, row, found);
            }
            if flush(&mut found.changes).is_stop() {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// Compares page by page; none stands for zeros.
    fn pages(
        &self,
        (a, b): (u64, u64),
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        len: u64,
        row: usize,
        found: &mut Compared,
    ) {
        if old.is_none() && new.is_none() {
            return;
        }
        let page_size = self.page_size;
        let mut at = 0;
        let mut sum = Pages::default();
        while at < len {
            let page_len = (page_size - (b + at) % page_size).min(len - at);
            let page = at as usize..(at + page_len) as usize;
            let zeros = &self.zeros[..page.len()];
            let old = old.map_or(zeros, |old| &old[page.clone()]);
            let new = new.map_or(zeros, |new| &new[page.clone()]);
            if old == new {
                sum.same += if is_zero(old) { 0 } else { page_len };
            } else {
                match (is_zero(old), is_zero(new)) {
                    (true, _) => sum.added += page_len,
                    (_, true) => sum.gone += page_len,
                    _ => {
                        sum.changed += page_len;
                        let differ = old.iter().zip(new).filter(|(old, new)| old != new);
                        sum.changed_bytes += differ.count() as u64;
                    }
                }
                if self.options.changes {
                    found.changes.add((a + at, b + at), old, new);
                }
            }
            at += page_len;
        }
        found.pages(row).add(&sum);
    }
}

/// Looks at what is in A alone.
pub(super) struct Gone<'a> {
    pub(super) map: &'a MemoryMap,
    pub(super) page_size: u64,
}

impl Look for Gone<'_> {
    /// By region of A.
    type Found = Vec<(usize, Pages)>;

    fn reach(&self) -> usize {
        0
    }

    fn look(&self, part: &Part<'_>) -> Self::Found {
        let mut found = Vec::new();
        let mut rest = Some(part.extent);
        while let Some(here) = rest {
            let Some((index, region)) = region_at(self.map, here.start()) else { break };
            let (head, tail) = here.split_at(region.extent.end() - here.start());
            rest = tail;
            let Some(head) = head else { break };
            let mut pages = Pages::default();
            match &part.content {
                Content::Bytes(window) => {
                    let from = window.own.start + (head.start() - part.extent.start()) as usize;
                    let bytes = &window.bytes[from..from + head.len() as usize];
                    pages.gone = full_pages(head.start(), bytes, self.page_size);
                }
                Content::Zero => {}
                Content::Hole(_) => pages.unread = head.len(),
            }
            found.push((index, pages));
        }
        found
    }
}

/// The region around an address, and which it is.
fn region_at(map: &MemoryMap, addr: u64) -> Option<(usize, &Region)> {
    let index = map.regions().partition_point(|region| region.extent.end() <= addr);
    map.regions().get(index).filter(|region| region.extent.contains(addr)).map(|r| (index, r))
}

/// Bytes in pages that are not all zeros.
fn full_pages(addr: u64, bytes: &[u8], page_size: u64) -> u64 {
    let first = usize::try_from(page_size - addr % page_size).unwrap_or(usize::MAX);
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let pages = rest.chunks(usize::try_from(page_size).unwrap_or(usize::MAX)).chain([head]);
    pages.filter(|page| !is_zero(page)).map(|page| page.len() as u64).sum()
}
