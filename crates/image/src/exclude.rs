//! Memory that nobody needs, left out: an address space without the pages that are used for what is excluded.
//!
//! The memory that the kernel itself works with (page tables, stacks, slab, modules) is none of these, so that crash and drgn find all that
//! they look for. Not about how the use of a page is found out: that is for who implements [`PageUses`].

use std::io;
use std::ops::Range;

use crate::{AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Run};

/// Pages that are asked for at a time: few enough that the answer is fresh when they are read.
const WINDOW_PAGES: u64 = 4096;

/// The use of a page frame that holds no memory of the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageUse {
    /// Nothing: it is in the hands of the page allocator.
    Free,
    /// Content of files, which can be read from them.
    Cache,
    /// Anonymous memory of processes, and shared memory.
    User,
}

/// Something that knows what page frames are used for.
pub trait PageUses: Send + Sync {
    /// The uses of `frames`, numbers of pages (an address divided by the page size), one for each; fewer where nothing is known of
    /// the rest.
    ///
    /// # Errors
    /// When the use of none of them can be found out.
    fn page_uses(&self, frames: Range<u64>) -> io::Result<Vec<Option<PageUse>>>;
}

/// The uses of pages that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Pages that are free.
    pub free: bool,
    /// The page cache: what files hold.
    pub cache: bool,
    /// The anonymous memory of processes.
    pub user: bool,
}

impl Exclude {
    /// Returns true if nothing is left out.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn cause(self, page: Option<PageUse>) -> Option<Cause> {
        match page? {
            PageUse::Free if self.free => Some(Cause::FreePage),
            PageUse::Cache if self.cache => Some(Cause::PageCache),
            PageUse::User if self.user => Some(Cause::UserPage),
            _ => None,
        }
    }
}

/// Physical memory without what is excluded.
pub struct Excluding<U> {
    inner: Box<dyn AddressSpace>,
    exclude: Exclude,
    uses: U,
    page_size: u64,
}

impl<U: PageUses> Excluding<U> {
    /// `page_size` in bytes, a power of two.
    pub fn new(inner: Box<dyn AddressSpace>, exclude: Exclude, uses: U, page_size: u64) -> Self {
        Self { inner, exclude, uses, page_size }
    }
}

impl<U: PageUses> AddressSpace for Excluding<U> {
    fn map(&self) -> &MemoryMap {
        self.inner.map()
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.inner.read_at(addr, buf)
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let into_page = extent.start() % self.page_size;
        let (front, _) = extent.split_at(WINDOW_PAGES * self.page_size - into_page);
        let pages = front.unwrap_or(extent).align_outward(self.page_size);
        let first = pages.start() / self.page_size;
        let uses = self.uses.page_uses(first..pages.end() / self.page_size)?;
        let mut runs: Vec<Run> = Vec::new();
        for run in self.inner.survey(front.unwrap_or(extent))? {
            let mut rest = Some(run.extent);
            while let Some(here) = rest {
                let frame = here.start() / self.page_size;
                let in_frame = self.page_size - here.start() % self.page_size;
                let (page, after) = here.split_at(in_frame);
                rest = after;
                // Of a frame that nothing is known of, the memory is taken.
                let known = uses.get((frame - first) as usize).copied().flatten();
                let cause = self.exclude.cause(known).filter(|_| run.presence.is_readable());
                push(
                    &mut runs,
                    page.unwrap_or(here),
                    cause.map_or(run.presence, Presence::Nothing),
                );
            }
        }
        Ok(runs)
    }

    fn survey_is_final(&self) -> bool {
        self.inner.survey_is_final()
    }

    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        self.inner.read_runs(runs, buf)
    }
}

/// Adds what comes next; what is alike is one run.
fn push(runs: &mut Vec<Run>, extent: Extent, presence: Presence) {
    match runs.last_mut() {
        Some(last) if last.presence == presence && last.extent.end() == extent.start() => {
            last.extent = last.extent.hull(extent);
        }
        _ => runs.push(Run { extent, presence }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Region, RegionKind, Space};

    /// Memory of which the image has all but a part.
    struct Partly(MemoryMap);

    impl AddressSpace for Partly {
        fn map(&self) -> &MemoryMap {
            &self.0
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, ReadError> {
            unreachable!("a survey reads no memory")
        }

        fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
            let missing = Extent::half_open(0x2000, 0x3000).unwrap();
            let mut runs = Vec::new();
            for (start, end, presence) in [
                (0, 0x2000, Presence::Memory),
                (0x2000, 0x3000, Presence::Nothing(Cause::NotInImage)),
                (0x3000, u64::MAX, Presence::Memory),
            ] {
                let run = Extent::half_open(start, end).unwrap().intersection(extent);
                runs.extend(run.map(|extent| Run { extent, presence }));
            }
            assert!(extent.covers(missing) || extent.intersection(missing).is_none());
            Ok(runs)
        }
    }

    struct Uses;

    impl PageUses for Uses {
        fn page_uses(&self, frames: Range<u64>) -> io::Result<Vec<Option<PageUse>>> {
            let uses = [
                None,
                Some(PageUse::Free),
                Some(PageUse::Free),
                Some(PageUse::Cache),
                Some(PageUse::User),
                None,
            ];
            Ok(uses.into_iter().take(frames.end as usize).skip(frames.start as usize).collect())
        }
    }

    fn survey(exclude: Exclude, start: u64, end: u64) -> Vec<(u64, u64, Presence)> {
        let whole = Extent::half_open(0, 1 << 30).unwrap();
        let map =
            MemoryMap::new(Space::Physical, vec![Region::new(whole, RegionKind::Ram)]).unwrap();
        let space = Excluding::new(Box::new(Partly(map)), exclude, Uses, 4096);
        let runs = space.survey(Extent::half_open(start, end).unwrap()).unwrap();
        runs.iter().map(|run| (run.extent.start(), run.extent.end(), run.presence)).collect()
    }

    #[test]
    fn pages_are_left_out_by_their_use() {
        use Presence::{Memory, Nothing as Left};
        let all = Exclude { free: true, cache: true, user: true };
        assert_eq!(
            survey(all, 0x800, 0x9000),
            [
                (0x800, 0x1000, Memory),
                (0x1000, 0x2000, Left(Cause::FreePage)),
                (0x2000, 0x3000, Left(Cause::NotInImage)),
                (0x3000, 0x4000, Left(Cause::PageCache)),
                (0x4000, 0x5000, Left(Cause::UserPage)),
                (0x5000, 0x9000, Memory),
            ]
        );
        assert_eq!(
            survey(Exclude { cache: true, ..Exclude::default() }, 0x3800, 0x9000),
            [(0x3800, 0x4000, Left(Cause::PageCache)), (0x4000, 0x9000, Memory)]
        );
    }

    #[test]
    fn a_survey_is_of_a_bounded_front() {
        let exclude = Exclude { free: true, ..Exclude::default() };
        let runs = survey(exclude, 0x3000, 1 << 30);
        assert_eq!(runs, [(0x3000, 0x3000 + (4096 << 12), Presence::Memory)]);
    }
}
