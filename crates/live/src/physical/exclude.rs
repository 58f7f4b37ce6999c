//! Memory that nobody needs, left out while the machine runs: what each page is used for is asked just before it would be read.
//!
//! `/proc/kpageflags` tells. What the kernel itself works with (page tables, stacks, slab, modules) is none of these,
//! so that crash and drgn find all that they look for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memdump_image::{AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Run};

use super::page_size;
use crate::proc::page_flags::{Use, use_of};

/// What is left out.
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
    /// Whether nothing is.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn cause(self, flags: u64) -> Option<Cause> {
        match use_of(flags)? {
            Use::Free if self.free => Some(Cause::FreePage),
            Use::Cache if self.cache => Some(Cause::PageCache),
            Use::User if self.user => Some(Cause::UserPage),
            _ => None,
        }
    }
}

/// Physical memory without what is excluded.
pub(crate) struct Excluding {
    inner: Box<dyn AddressSpace>,
    exclude: Exclude,
    flags: File,
}

impl Excluding {
    /// `proc` is where the machine's `/proc` is.
    pub(crate) fn new(
        inner: Box<dyn AddressSpace>,
        exclude: Exclude,
        proc: &Path,
    ) -> std::io::Result<Self> {
        Ok(Self { inner, exclude, flags: File::open(proc.join("kpageflags"))? })
    }
}

impl AddressSpace for Excluding {
    fn map(&self) -> &MemoryMap {
        self.inner.map()
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.inner.read_at(addr, buf)
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let page = page_size();
        let pages = extent.align_outward(page);
        let mut flags = vec![0; (pages.len() / page * 8) as usize];
        let read = self.flags.read_at(&mut flags, pages.start() / page * 8)?;
        let (flags, _) = flags[..read].as_chunks::<8>();
        let mut runs: Vec<Run> = Vec::new();
        let mut add = |extent: Extent, presence| match runs.last_mut() {
            Some(last) if last.presence == presence => {
                last.extent =
                    Extent::half_open(last.extent.start(), extent.end()).unwrap_or(extent);
            }
            _ => runs.push(Run { extent, presence }),
        };
        for (flags, start) in flags.iter().zip((pages.start()..).step_by(page as usize)) {
            let here = Extent::with_len(start, page).ok();
            let Some(here) = here.and_then(|here| here.intersection(extent)) else { continue };
            let cause = self.exclude.cause(u64::from_ne_bytes(*flags));
            add(here, cause.map_or(Presence::Memory, Presence::Nothing));
        }
        // Frames beyond the end of the file: nothing is known of them, so they are read.
        let known = pages.start() + flags.len() as u64 * page;
        if let Ok(rest) = Extent::half_open(known.max(extent.start()), extent.end()) {
            add(rest, Presence::Memory);
        }
        Ok(runs)
    }

    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        self.inner.read_runs(runs, buf)
    }
}

#[cfg(test)]
mod tests {
    use memdump_image::{Region, RegionKind, Space};

    use super::*;

    struct Nothing(MemoryMap);

    impl AddressSpace for Nothing {
        fn map(&self) -> &MemoryMap {
            &self.0
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, ReadError> {
            unreachable!("a survey reads no memory")
        }
    }

    #[test]
    fn pages_are_left_out_by_their_use() {
        const BUDDY: u64 = 1 << 10;
        const CACHE: u64 = 1 << 5 | 1 << 2;
        const ANON: u64 = 1 << 5 | 1 << 12;
        const SLAB: u64 = 1 << 7;
        let folder = tempfile::tempdir().unwrap();
        let flags = [SLAB, BUDDY, BUDDY, CACHE, ANON, SLAB, 0];
        let bytes: Vec<u8> = flags.iter().flat_map(|flags: &u64| flags.to_ne_bytes()).collect();
        std::fs::write(folder.path().join("kpageflags"), bytes).unwrap();
        let whole = Extent::half_open(0, 0x9000).unwrap();
        let map =
            MemoryMap::new(Space::Physical, vec![Region::new(whole, RegionKind::Ram)]).unwrap();
        let survey = |exclude| {
            let space =
                Excluding::new(Box::new(Nothing(map.clone())), exclude, folder.path()).unwrap();
            let runs = space.survey(Extent::half_open(0x1000, 0x9000).unwrap()).unwrap();
            runs.into_iter().map(|run| (run.extent.start() >> 12, run.presence)).collect::<Vec<_>>()
        };
        use Presence::{Memory, Nothing as Left};
        let all = Exclude { free: true, cache: true, user: true };
        assert_eq!(
            survey(all),
            [
                (1, Left(Cause::FreePage)),
                (3, Left(Cause::PageCache)),
                (4, Left(Cause::UserPage)),
                (5, Memory)
            ]
        );
        assert_eq!(
            survey(Exclude { free: true, ..Exclude::default() }),
            [(1, Left(Cause::FreePage)), (3, Memory)]
        );
    }
}
