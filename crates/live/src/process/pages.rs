//! The pages in a process's page table: by PAGEMAP_SCAN (Linux 6.7), and by reading the pagemap before.
//!
//! Neither touches a page. Entries of the pagemap: `Documentation/admin-guide/mm/pagemap.rst`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memdump_image::Extent;
use rustix::io::Errno;

use crate::sys::pagemap::{self, GUARD, PFNZERO, PRESENT, PageRange, SWAPPED};

/// The most ranges that one look gives.
const MAX_RANGES: usize = 2048;
/// Entries of the pagemap that are read at a time.
const ENTRIES: usize = 8192;
/// Bits of an entry.
const ENTRY_GUARD: u64 = 1 << 58;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_PRESENT: u64 = 1 << 63;

/// The state of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Present,
    /// The shared page of zeros.
    Zero,
    Swapped,
    Guard,
    /// Not in the page table.
    Absent,
}

/// The page table of a process, as it shows itself.
pub(super) struct Pages {
    pagemap: File,
    page_size: u64,
    /// The categories that PAGEMAP_SCAN knows here; 0 where it does not exist.
    categories: AtomicU64,
}

impl Pages {
    /// By `pagemap`, the path of a `/proc/PID/pagemap`.
    pub(super) fn open(pagemap: &Path, page_size: u64) -> io::Result<Self> {
        let pagemap = File::open(pagemap)?;
        let all = PRESENT | SWAPPED | PFNZERO | GUARD;
        Ok(Self { pagemap, page_size, categories: AtomicU64::new(all) })
    }

    /// Looks at `extent` from its front: pages that are alike, one after another, without gaps. It may
    /// end before `extent` does, never before its first page.
    pub(super) fn look(&self, extent: Extent) -> io::Result<Vec<(Extent, Page)>> {
        loop {
            let categories = self.categories.load(Ordering::Relaxed);
            if categories == 0 {
                return self.read(extent);
            }
            let mut ranges = vec![PageRange::default(); MAX_RANGES];
            match pagemap::scan(&self.pagemap, extent, categories, &mut ranges) {
                Ok((count, end)) if end > extent.start() => {
                    return Ok(with_gaps(extent, &ranges[..count], end));
                }
                // It must come forward; where it does not, entries are read instead.
                Ok(_) => self.categories.store(0, Ordering::Relaxed),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INVAL) if categories & GUARD != 0 => {
                        self.categories.store(categories & !GUARD, Ordering::Relaxed);
                    }
                    Some(Errno::INTR) => {}
                    Some(Errno::NOTTY | Errno::INVAL | Errno::FAULT) => {
                        self.categories.store(0, Ordering::Relaxed);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// The same by reading entries.
    fn read(&self, extent: Extent) -> io::Result<Vec<(Extent, Page)>> {
        let first = extent.start() / self.page_size;
        let count = extent.len().div_ceil(self.page_size).min(ENTRIES as u64) as usize;
        let mut entries = vec![0; count * 8];
        let read = self.pagemap.read_at(&mut entries, first * 8)? / 8;
        if read == 0 {
            // The process has no memory any more.
            return Err(Errno::SRCH.into());
        }
        let (entries, _) = entries[..read * 8].as_chunks::<8>();
        let mut found: Vec<(Extent, Page)> = Vec::new();
        for (index, entry) in (first..).zip(entries) {
            let page = match u64::from_ne_bytes(*entry) {
                entry if entry & ENTRY_GUARD != 0 => Page::Guard,
                entry if entry & ENTRY_PRESENT != 0 => Page::Present,
                entry if entry & ENTRY_SWAPPED != 0 => Page::Swapped,
                _ => Page::Absent,
            };
            let here = Extent::with_len(index * self.page_size, self.page_size);
            let here = here.ok().and_then(|here| here.intersection(extent));
            found.extend(here.map(|here| (here, page)));
        }
        found.dedup_by(|next, last| {
            let both = Extent::half_open(last.0.start(), next.0.end());
            let same = last.1 == next.1;
            if let (true, Ok(both)) = (same, both) {
                last.0 = both;
            }
            same
        });
        Ok(found)
    }
}

/// The pages of `extent` up to `end`: those in no range are absent.
fn with_gaps(extent: Extent, ranges: &[PageRange], end: u64) -> Vec<(Extent, Page)> {
    let mut found = Vec::with_capacity(ranges.len() * 2 + 1);
    let mut at = extent.start();
    for range in ranges {
        let page = match range.categories {
            categories if categories & GUARD != 0 => Page::Guard,
            categories if categories & PFNZERO != 0 => Page::Zero,
            categories if categories & PRESENT != 0 => Page::Present,
            _ => Page::Swapped,
        };
        // A huge page may reach over the ends of what was asked for.
        let (start, stop) = (range.start.max(at), range.end.min(extent.end()));
        found.extend(Extent::half_open(at, start).map(|gap| (gap, Page::Absent)));
        found.extend(Extent::half_open(start, stop).map(|here| (here, page)));
        at = at.max(stop);
    }
    found.extend(Extent::half_open(at, end).map(|gap| (gap, Page::Absent)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Every page of `extent` by itself.
    fn pages(pages: &Pages, extent: Extent) -> Vec<Page> {
        let mut found = Vec::new();
        let mut rest = Some(extent);
        while let Some(here) = rest {
            for (run, page) in pages.look(here).unwrap() {
                assert_eq!(run.start(), extent.start() + found.len() as u64 * 4096, "no gaps");
                found.extend((0..run.len() / 4096).map(|_| page));
            }
            let end = extent.start() + found.len() as u64 * 4096;
            rest = Extent::half_open(end, extent.end()).ok();
        }
        found
    }

    #[test]
    fn both_ways_see_what_was_touched() {
        const COUNT: usize = 20_000;
        let mut memory = vec![0_u8; COUNT * 4096];
        let touched: Vec<usize> = (1..COUNT - 1).filter(|index| index % 1000 == 7).collect();
        for index in &touched {
            memory[index * 4096] = 1;
        }
        // A vector need not begin on a page.
        let start = (memory.as_ptr() as u64).next_multiple_of(4096);
        let extent = Extent::with_len(start, (COUNT as u64 - 1) * 4096).unwrap();
        let scanned = Pages::open(Path::new("/proc/self/pagemap"), 4096).unwrap();
        let read = Pages::open(Path::new("/proc/self/pagemap"), 4096).unwrap();
        read.categories.store(0, Ordering::Relaxed);
        let found = pages(&scanned, extent);
        assert!(pages(&read, extent) == found);
        for index in touched {
            let page = (memory.as_ptr() as u64 + index as u64 * 4096 - start) / 4096;
            assert_eq!(found[page as usize], Page::Present);
        }
        assert!(found.contains(&Page::Absent) || found.iter().all(|&page| page == Page::Present));
    }
}
