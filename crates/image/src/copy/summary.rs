//! The summary of a copy: memory that it took, memory that it could not take, and times.

use std::time::Duration;

use crate::{Chunk, Content, Extent, Hole, HoleList};

/// The result of a copy.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Bytes of memory that were written.
    pub bytes: u64,
    /// Bytes of memory that were known to be zero without being read.
    pub zero: u64,
    /// Memory that could not be read, then the [holes that were known before](crate::Plan::known_holes).
    pub holes: HoleList,
    /// The times at which blocks were read.
    pub timeline: Timeline,
    /// The duration of the copy.
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

/// The times at which a stretch of memory was read, counted from the start of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The addresses; where entries were joined over a gap, the gap too.
    pub extent: Extent,
    /// The start of its reading.
    pub read_from: Duration,
    /// The end of its reading.
    pub read_to: Duration,
}

/// The times at which blocks were read, in the order of addresses. Its size is bounded: on a large machine
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
}
