//! A process that was found: who it is, what it has mapped, whether it may be looked at.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use memdump_image::{ExtentSet, MemoryMap, Region};
use rustix::io::Errno;

use super::cost::Weight;
use super::facts;
use super::filter::Filter;
use super::regions::Regions;
use super::remedy::Remedy;
use super::snapshot::SnapshotError;
use super::space::{ProcessSpace, Route, Swap};
use super::stop::{Denial, StopError, explain};
use crate::machine::page_size;
use crate::proc::maps::{Usage, Vma, parse_maps, parse_smaps};
use crate::proc::stat::Stat;

/// The reason why the memory of a process cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is none of that number.
    #[error("there is no process {0}; see `ps` for those there are")]
    Gone(u32),
    /// Its program has ended.
    #[error(
        "process {0} is a zombie: its program has ended and its memory is gone; its parent has not \
         asked yet how it ended"
    )]
    Zombie(u32),
    /// It is a thread of the kernel.
    #[error("{0} is a thread of the kernel and has no memory of its own")]
    KernelThread(u32),
    /// It is this process.
    #[error("{0} is memdump itself, which cannot stop itself to be copied; name another process")]
    Oneself(u32),
    /// The number is that of a thread.
    #[error("{tid} is a thread of process {pid}: name the process")]
    Thread {
        /// The number that was asked for.
        tid: u32,
        /// The process that it is a thread of.
        pid: u32,
    },
    /// It may not be looked at.
    #[error("cannot {operation} of process {pid}: {denial}; {}", .denial.remedy())]
    Denied {
        /// The operation that was tried.
        operation: &'static str,
        /// The process.
        pid: u32,
        /// The reason of the refusal.
        denial: Denial,
    },
    /// A file of it in `/proc` could not be read.
    #[error("cannot {operation} of process {pid}: {source}")]
    Failed {
        /// The operation that was tried.
        operation: &'static str,
        /// The process.
        pid: u32,
        /// The cause.
        source: io::Error,
    },
    /// It runs another program than it did at the start.
    #[error(
        "process {0} began another program while it was copied: what was written mixes two programs"
    )]
    Replaced(u32),
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// It could not be copied by a fork.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl ProcessError {
    /// The way to read the process all the same, if there is one.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::KernelThread(_) => Some(Remedy::KernelMemory),
            Self::Thread { pid, .. } => Some(Remedy::Process(*pid)),
            Self::Replaced(_) => Some(Remedy::AnyPause),
            Self::Stop(error) => error.remedy(),
            Self::Snapshot(error) => error.remedy(),
            _ => None,
        }
    }
}

/// A process that there is.
#[derive(Debug)]
pub struct Process {
    pub(super) pid: u32,
    /// `/proc/PID`.
    pub(super) folder: PathBuf,
    pub(super) stat: Stat,
}

impl Process {
    /// Looks for the process of that number, as this process sees numbers.
    ///
    /// # Errors
    /// When there is none, or it has no memory: a zombie, a thread of the kernel; or it is this one.
    pub fn find(pid: u32) -> Result<Self, ProcessError> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Some(stat) = facts::stat(&folder) else { return Err(ProcessError::Gone(pid)) };
        if pid == std::process::id() {
            return Err(ProcessError::Oneself(pid));
        }
        if let Some(leader) = leader(&folder).filter(|&leader| leader != pid) {
            return Err(ProcessError::Thread { tid: pid, pid: leader });
        }
        if stat.is_kernel_thread() {
            return Err(ProcessError::KernelThread(pid));
        }
        if stat.state == b'Z' && !has_memory(&folder) {
            return Err(ProcessError::Zombie(pid));
        }
        Ok(Self { pid, folder, stat })
    }

    /// Its number (PID or TID).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name, for people: at most 15 bytes, nothing that a terminal would obey.
    pub fn name(&self) -> String {
        let name = String::from_utf8_lossy(&self.stat.name);
        name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
    }

    /// Its memory use now.
    pub fn weight(&self) -> Option<Weight> {
        Weight::of(&self.folder)
    }

    /// Its mappings, how much of each is where, and how much of it a dump would take. Reads no memory,
    /// and does not stop the process.
    ///
    /// # Errors
    /// When it may not be looked at.
    pub fn list(&self, filter: &Filter) -> Result<Listing, ProcessError> {
        let regions = self.regions(self.smaps()?, &self.stack_pointers(), true)?;
        let space = self.space(regions.map.clone(), Swap::Read)?;
        let left_out = filter.left_out(&regions, page_size(), |region| space.absence(region));
        let taken = regions.map.extents().difference(&left_out);
        let mapped = regions.map.regions().iter().map(|region| {
            let usage = regions.usage.get(&region.extent.start()).copied().unwrap_or_default();
            let taken: ExtentSet = taken.within(region.extent).collect();
            Mapped {
                region: region.clone(),
                resident: usage.resident,
                swapped: usage.swapped,
                to_write: space.present(&taken),
            }
        });
        Ok(Listing { mapped: mapped.collect() })
    }

    /// Its `/proc/PID/maps`, as it is.
    ///
    /// # Errors
    /// When it may not be looked at.
    pub fn maps_text(&self) -> Result<Vec<u8>, ProcessError> {
        fs::read(self.folder.join("maps")).map_err(self.denied("read the mappings"))
    }

    pub(super) fn denied(
        &self,
        operation: &'static str,
    ) -> impl Fn(io::Error) -> ProcessError + use<> {
        let pid = self.pid;
        move |source| match Errno::from_io_error(&source) {
            Some(Errno::ACCESS | Errno::PERM) => {
                ProcessError::Denied { operation, pid, denial: explain(pid) }
            }
            Some(Errno::SRCH | Errno::NOENT) => ProcessError::Gone(pid),
            _ => ProcessError::Failed { operation, pid, source },
        }
    }

    /// Its smaps, the flags and weights of its mappings. It takes a while where there is much memory.
    pub(super) fn smaps(&self) -> Result<Vec<(Vma, Usage)>, ProcessError> {
        let text = fs::read(self.folder.join("smaps")).map_err(self.denied("read the mappings"))?;
        Ok(parse_smaps(&text))
    }

    /// Its mappings as of now, with the flags that `known` has of them. Where a mapping has come since,
    /// all flags are read again.
    pub(super) fn regions(
        &self,
        known: Vec<(Vma, Usage)>,
        stack_pointers: &[u64],
        is_fresh: bool,
    ) -> Result<Regions, ProcessError> {
        let failed = |source: io::Error| self.denied("read the mappings")(source);
        let make = |vmas, usage| {
            Regions::new(self.pid, vmas, usage, stack_pointers)
                .map_err(|error| failed(io::Error::other(error)))
        };
        let by_start = |known: Vec<(Vma, Usage)>| -> BTreeMap<u64, Usage> {
            known.into_iter().map(|(vma, usage)| (vma.extent.start(), usage)).collect()
        };
        if is_fresh {
            let vmas = known.iter().map(|(vma, _)| vma.clone()).collect();
            return make(vmas, by_start(known));
        }
        let text = fs::read(self.folder.join("maps")).map_err(failed)?;
        let vmas = parse_maps(&text);
        // A mapping that only grew or shrank keeps its flags; its start or its end stays.
        let same = |vma: &Vma| {
            let index = known.partition_point(|(old, _)| old.extent.end() <= vma.extent.start());
            known.get(index).filter(|(old, _)| {
                let touches = old.extent.intersection(vma.extent).is_some();
                touches && old.permissions == vma.permissions && old.name == vma.name
            })
        };
        let mut usage = BTreeMap::new();
        for vma in &vmas {
            match same(vma) {
                Some((_, known)) => usage.insert(vma.extent.start(), *known),
                None => return self.regions(self.smaps()?, stack_pointers, true),
            };
        }
        make(vmas, usage)
    }

    /// The stack pointers of its further threads, as far as the kernel says: of those that wait in
    /// a system call.
    fn stack_pointers(&self) -> Vec<u64> {
        let Ok(tasks) = fs::read_dir(self.folder.join("task")) else { return Vec::new() };
        let pointers = tasks.filter_map(|task| {
            let task = task.ok()?;
            if task.file_name().to_str() == Some(&self.pid.to_string()) {
                return None;
            }
            let text = fs::read_to_string(task.path().join("syscall")).ok()?;
            // The last two words are the stack pointer and the program counter (`proc(5)`).
            let pointer = text.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
            u64::from_str_radix(pointer, 16).ok()
        });
        pointers.collect()
    }

    fn space(&self, map: MemoryMap, swap: Swap) -> Result<ProcessSpace, ProcessError> {
        ProcessSpace::open(map, &self.folder, Route::File, swap)
            .map_err(self.denied("open the memory"))
    }
}

/// The mappings of a process.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The mappings, ascending.
    pub mapped: Vec<Mapped>,
}

/// A mapping, and how much of it is where; all in bytes.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The region.
    pub region: Region,
    /// Pages in memory.
    pub resident: u64,
    /// Pages on swap.
    pub swapped: u64,
    /// The bytes that a dump would take of it, zeros not counted.
    pub to_write: u64,
}

/// The process that a thread belongs to.
fn leader(folder: &Path) -> Option<u32> {
    let status = fs::read(folder.join("status")).ok()?;
    let status = String::from_utf8_lossy(&status).into_owned();
    crate::proc::status::field(&status, "Tgid")?.parse().ok()
}

/// Returns true if any of its threads still has memory; the first may have ended alone.
fn has_memory(folder: &Path) -> bool {
    fs::read(folder.join("maps")).is_ok_and(|text| !text.is_empty())
}
