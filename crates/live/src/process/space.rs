//! The memory of a process as an address space. Nothing of the process is touched that it has not
//! touched itself: pages that are absent are zeros, or are read in their file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memdump_image::{
    AddressSpace, Cause, Extent, ExtentSet, MemoryMap, Presence, ReadError, Region, Run,
};
use rustix::io::Errno;

use super::backing::Backings;
use super::filter::is_long_absence;
use super::mapped::StillMapped;
use super::pages::{Page, Pages};
use super::regions::is_zero_where_absent;
use crate::machine::page_size;
use crate::sys::memory::{MAX_RANGES, read_process};

/// The handling of pages that are on swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Swap {
    /// They are read, which brings them into memory.
    #[default]
    Read,
    /// They are left there, as holes.
    Skip,
}

/// The way in which memory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// By `process_vm_readv`, the fastest; what it refuses by `/proc/PID/mem`.
    Process(u32),
    /// By `/proc/PID/mem` alone: `process_vm_readv` would give a copy's pages to the copy, and follows
    /// a process that runs into its next program.
    File,
}

/// A page table and the memory behind it.
struct Side {
    pages: Pages,
    memory: File,
    backings: Backings,
    route: Route,
}

impl Side {
    fn open(folder: &Path, route: Route) -> io::Result<Self> {
        Ok(Self {
            pages: Pages::open(&folder.join("pagemap"), page_size())?,
            memory: File::open(folder.join("mem"))?,
            backings: Backings::new(folder, page_size()),
            route,
        })
    }
}

/// The memory of a process.
pub(super) struct ProcessSpace {
    map: MemoryMap,
    owner: Side,
    /// A copy of the process, and what of it is not to be read there but in the process itself.
    copy: Option<(Side, ExtentSet)>,
    /// Of a process that runs: what it has not unmapped since.
    mapped: Option<StillMapped>,
    swap: Swap,
    /// Bytes met on swap.
    swapped: AtomicU64,
}

impl ProcessSpace {
    /// `map` is that of the process whose directory in `/proc` is `folder`.
    pub(super) fn open(
        map: MemoryMap,
        folder: &Path,
        route: Route,
        swap: Swap,
    ) -> io::Result<Self> {
        Ok(Self {
            map,
            owner: Side::open(folder, route)?,
            copy: None,
            mapped: (route == Route::File).then(|| StillMapped::open(folder)).transpose()?,
            swap,
            swapped: AtomicU64::new(0),
        })
    }

    /// From now on reads a copy of the process, but for what the copy does not have.
    pub(super) fn read_copy(&mut self, pid: u32, not_there: ExtentSet) -> io::Result<()> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        self.copy = Some((Side::open(&folder, Route::File)?, not_there));
        Ok(())
    }

    /// Bytes that were on swap where a survey met them.
    pub(super) fn swapped(&self) -> u64 {
        self.swapped.load(Ordering::Relaxed)
    }

    /// The long runs of a region that were never touched; none where that is not known.
    pub(super) fn absence(&self, region: &Region) -> ExtentSet {
        let mut long = Vec::new();
        if !is_long_absence(region.extent) {
            return ExtentSet::default();
        }
        let mut absent: Option<Extent> = None;
        self.each_run(region.extent, |run| {
            let both =
                absent.and_then(|absent| Extent::half_open(absent.start(), run.extent.end()).ok());
            match run.presence {
                Presence::Zero => absent = both.or(Some(run.extent)),
                _ => long.extend(absent.take().filter(|&absent| is_long_absence(absent))),
            }
        });
        long.extend(absent.filter(|&absent| is_long_absence(absent)));
        long.into_iter().collect()
    }

    /// Bytes of `extents` that a copy would read.
    pub(super) fn present(&self, extents: &ExtentSet) -> u64 {
        let mut present = 0;
        for extent in extents.iter() {
            self.each_run(extent, |run| {
                if run.presence.is_readable() {
                    present += run.extent.len();
                }
            });
        }
        present
    }

    /// Surveys all of `extent`, which lies in one region; what cannot be surveyed is no run.
    fn each_run(&self, extent: Extent, mut each: impl FnMut(Run)) {
        let mut rest = Some(extent);
        while let Some(here) = rest {
            let Ok(runs) = self.runs(here, |_| {}) else { return };
            let end = runs.last().map_or(here.end(), |run| run.extent.end());
            runs.into_iter().for_each(&mut each);
            rest = Extent::half_open(end, here.end()).ok();
        }
    }

    /// The side on which `addr` is to be read.
    fn side(&self, addr: u64) -> &Side {
        match &self.copy {
            Some((copy, not_there)) if not_there.find(addr).is_none() => copy,
            _ => &self.owner,
        }
    }

    /// The runs at the front of `extent`; `on_swap` is called with each extent that is on swap.
    fn runs(&self, extent: Extent, on_swap: impl Fn(Extent)) -> Result<Vec<Run>, ReadError> {
        let region = self.region(extent.start())?;
        let side = self.side(extent.start());
        let pages = side.pages.look(extent).map_err(gone_if_none)?;
        let mut runs = Vec::new();
        for (extent, page) in pages {
            let presence = match page {
                Page::Present => Presence::Memory,
                Page::Zero => Presence::Zero,
                Page::Guard => Presence::Nothing(Cause::Guard),
                Page::Swapped => {
                    on_swap(extent);
                    match self.swap {
                        Swap::Read => Presence::Memory,
                        Swap::Skip => Presence::Nothing(Cause::Swapped),
                    }
                }
                Page::Absent if is_zero_where_absent(region) => {
                    match &self.mapped {
                        Some(mapped) => {
                            runs.extend(mapped.survey(extent).map_err(gone_if_none)?);
                        }
                        None => runs.push(Run { extent, presence: Presence::Zero }),
                    }
                    continue;
                }
                Page::Absent => {
                    let mut rest = Some(extent);
                    while let Some(here) = rest {
                        let found = side.backings.survey(region, here);
                        let end = found.last().map_or(here.end(), |run| run.extent.end());
                        runs.extend(found);
                        rest = Extent::half_open(end, here.end()).ok();
                    }
                    continue;
                }
            };
            runs.push(Run { extent, presence });
        }
        Ok(runs)
    }

    fn region(&self, addr: u64) -> Result<&Region, ReadError> {
        self.map.find(addr).ok_or(ReadError::Fault { addr, cause: Cause::Unmapped })
    }

    /// Reads `addr` by `/proc/PID/mem`, which also gives what the process itself may not read.
    fn read_file(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        match self.side(addr).memory.read_at(buf, addr) {
            Ok(0) => Err(gone().into()),
            Ok(read) => Ok(read),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::IO | Errno::FAULT) => {
                    Err(ReadError::Fault { addr, cause: self.why_not(addr) })
                }
                Some(Errno::HWPOISON) => Err(ReadError::Fault { addr, cause: Cause::Poisoned }),
                _ => Err(error.into()),
            },
        }
    }

    /// The reason why a page cannot be read. A broken one looks as if it were on swap, but does not come back.
    fn why_not(&self, addr: u64) -> Cause {
        let page = Extent::with_len(addr - addr % page_size(), page_size());
        let found = page.ok().and_then(|page| self.side(addr).pages.look(page).ok());
        match found.as_deref() {
            Some([(_, Page::Swapped)]) => Cause::Poisoned,
            _ => Cause::Unmapped,
        }
    }

    /// Reads runs of memory that are in the page table.
    fn read_memory(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(first) = runs.first() else { return Ok(0) };
        let front = buf.len().min(usize::try_from(first.extent.len()).unwrap_or(usize::MAX));
        let Route::Process(pid) = self.side(first.extent.start()).route else {
            return self.read_each(runs, buf);
        };
        let extents: Vec<Extent> = runs.iter().take(MAX_RANGES).map(|run| run.extent).collect();
        match read_process(pid, &extents, buf) {
            Ok(read) if read > 0 => Ok(read),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Err(gone().into()),
            _ => self.read_file(first.extent.start(), &mut buf[..front]),
        }
    }

    /// Reads run after run, up to the first that fails.
    fn read_each(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        let mut done = 0;
        for run in runs {
            let room = buf.len() - done;
            let len = room.min(usize::try_from(run.extent.len()).unwrap_or(usize::MAX));
            if len == 0 {
                break;
            }
            match self.read_file(run.extent.start(), &mut buf[done..done + len]) {
                Ok(read) => done += read,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            if !(done as u64).is_multiple_of(4096) {
                break;
            }
        }
        Ok(done)
    }
}

/// `error`, in words where it is that there is no such process.
fn gone_if_none(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::SRCH) => gone(),
        _ => error,
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the process has ended, and its memory with it")
}

impl AddressSpace for ProcessSpace {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let region = self.region(addr)?;
        let wanted = Extent::with_len(addr, buf.len() as u64).ok();
        let Some(extent) = wanted.and_then(|wanted| wanted.intersection(region.extent)) else {
            return Err(ReadError::Fault { addr, cause: Cause::Unmapped });
        };
        let Some(run) = self.survey(extent)?.into_iter().next() else {
            return Err(ReadError::Fault { addr, cause: Cause::Unmapped });
        };
        let buf = &mut buf[..run.extent.len() as usize];
        match run.presence {
            Presence::Zero => {
                buf.fill(0);
                Ok(buf.len())
            }
            Presence::Nothing(cause) => Err(ReadError::Fault { addr, cause }),
            Presence::Memory | Presence::InFile => self.read_runs(&[run], buf),
        }
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        self.runs(extent, |extent| {
            self.swapped.fetch_add(extent.len(), Ordering::Relaxed);
        })
    }

    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(first) = runs.first() else { return Ok(0) };
        if first.presence == Presence::InFile {
            let addr = first.extent.start();
            let len = buf.len().min(usize::try_from(first.extent.len()).unwrap_or(usize::MAX));
            return self.side(addr).backings.read(self.region(addr)?, addr, &mut buf[..len]);
        }
        let memory = runs.iter().take_while(|run| run.presence == Presence::Memory).count();
        let runs = &runs[..memory];
        let len: u64 = runs.iter().map(|run| run.extent.len()).sum();
        let len = buf.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        self.read_memory(runs, &mut buf[..len])
    }
}
