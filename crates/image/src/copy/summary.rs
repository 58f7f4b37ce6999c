//! What a copy took, what it could not, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Cause, Chunk, Content, Extent, Hole};

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Bytes of memory that were written.
    pub bytes: u64,
    /// Bytes of memory that were known to be zero without being read.
    pub zero: u64,
    /// Memory that could not be read.
    pub holes: HoleList,
    /// When each block was read.
    pub timeline: Timeline,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    pub(super) fn add(&mut self, chunk: &Chunk<'_>) {
        match chunk.content {
            Content::Bytes(bytes) => self.bytes += bytes.len() as u64,
            Content::Zero { len } => self.zero += len,
            Content::Hole { len, cause } => {
                if let Ok(extent) = Extent::with_len(chunk.addr, len) {
                    self.holes.add(Hole { extent, cause });
                }
            }
        }
    }
}

/// Holes: bytes by cause, and each of them as long as there are not too many.
#[derive(Clone, Debug, Default)]
pub struct HoleList {
    bytes: BTreeMap<Cause, u64>,
    listed: Vec<Hole>,
    unlisted: u64,
}

impl HoleList {
    /// How many holes are kept one by one; the bytes of further ones are counted still.
    pub const MAX_LISTED: usize = 1 << 16;

    /// Adds a hole; one that continues the last lengthens it.
    pub fn add(&mut self, hole: Hole) {
        *self.bytes.entry(hole.cause).or_default() += hole.extent.len();
        if let Some(last) = self.listed.last_mut()
            && last.cause == hole.cause
            && let (true, Ok(both)) = (
                last.extent.end() == hole.extent.start(),
                Extent::half_open(last.extent.start(), hole.extent.end()),
            )
        {
            last.extent = both;
        } else if self.listed.len() < Self::MAX_LISTED {
            self.listed.push(hole);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds what another copy could not take.
    pub fn extend(&mut self, others: &HoleList) {
        for &hole in &others.listed {
            self.add(hole);
        }
        for (cause, bytes) in others.by_cause() {
            let listed = others.listed.iter().filter(|hole| hole.cause == cause);
            let rest = bytes - listed.map(|hole| hole.extent.len()).sum::<u64>();
            *self.bytes.entry(cause).or_default() += rest;
        }
        self.unlisted += others.unlisted;
    }

    /// Bytes by cause.
    pub fn by_cause(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        self.bytes.iter().map(|(&cause, &bytes)| (cause, bytes))
    }

    /// The holes, in the order of the copy; at most [`HoleList::MAX_LISTED`].
    pub fn listed(&self) -> &[Hole] {
        &self.listed
    }

    /// How many holes are not in the list.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Bytes in all holes.
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }
}

/// When a stretch of memory was read, counted from the start of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The addresses; where entries were joined over a gap, the gap too.
    pub extent: Extent,
    /// When reading it began.
    pub read_from: Duration,
    /// When reading it ended.
    pub read_to: Duration,
}

/// When each block was read, in the order of addresses. Its size is bounded: on a large machine
/// neighbouring blocks share an entry.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: Vec<TimelineEntry>,
    /// Blocks in a full entry, less one; `2^n - 1`.
    joined: u32,
    /// Blocks in the last entry beyond its first.
    in_last: u32,
}

impl Timeline {
    const MAX_ENTRIES: usize = 1 << 14;

    /// The entries.
    pub fn entries(&self) -> &[TimelineEntry] {
        &self.entries
    }

    pub(super) fn push(&mut self, entry: TimelineEntry) {
        if let Some(last) = self.entries.last_mut()
            && self.in_last < self.joined
        {
            *last = join(*last, entry);
            self.in_last += 1;
            return;
        }
        if self.entries.len() == Self::MAX_ENTRIES {
            let (pairs, _) = self.entries.as_chunks::<2>();
            self.entries = pairs.iter().map(|&[a, b]| join(a, b)).collect();
            self.joined = 2 * self.joined + 1;
        }
        self.entries.push(entry);
        self.in_last = 0;
    }
}

fn join(a: TimelineEntry, b: TimelineEntry) -> TimelineEntry {
    let start = a.extent.start().min(b.extent.start());
    let end = a.extent.end().max(b.extent.end());
    TimelineEntry {
        extent: Extent::half_open(start, end).unwrap_or(a.extent),
        read_from: a.read_from.min(b.read_from),
        read_to: a.read_to.max(b.read_to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_copy_keeps_a_short_timeline() {
        let mut timeline = Timeline::default();
        let blocks = 5 * Timeline::MAX_ENTRIES as u64;
        for block in 0..blocks {
            timeline.push(TimelineEntry {
                extent: Extent::with_len(block * 10, 10).unwrap(),
                read_from: Duration::from_millis(block),
                read_to: Duration::from_millis(block + 1),
            });
        }
        let entries = timeline.entries();
        assert!(entries.len() <= Timeline::MAX_ENTRIES);
        assert_eq!(entries[0].extent, Extent::half_open(0, 80).unwrap());
        assert_eq!(entries[0].read_to, Duration::from_millis(8));
        assert!(entries.windows(2).all(|pair| pair[0].extent.end() == pair[1].extent.start()));
        assert_eq!(entries.last().unwrap().extent.end(), blocks * 10);
    }

    #[test]
    fn holes_are_joined_counted_and_bounded() {
        let mut totals = HoleList::default();
        let hole = |start, cause| Hole { extent: Extent::with_len(start, 4096).unwrap(), cause };
        totals.add(hole(0, Cause::Unmapped));
        totals.add(hole(4096, Cause::Unmapped));
        totals.add(hole(8192, Cause::Device));
        assert_eq!(totals.listed().len(), 2);
        assert_eq!(totals.listed()[0].extent.len(), 8192);
        for i in 0..HoleList::MAX_LISTED as u64 {
            totals.add(hole((2 * i + 4) * 4096, Cause::Unmapped));
        }
        assert_eq!(totals.listed().len(), HoleList::MAX_LISTED);
        assert_eq!(totals.unlisted(), 2);
        assert_eq!(totals.total(), (HoleList::MAX_LISTED as u64 + 3) * 4096);
    }
}
