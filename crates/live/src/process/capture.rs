//! A process that is held, and the copy of its memory from beginning to end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memdump_image::{AddressSpace, Cause, ExtentSet, Facts, Hole, Plan, Registers, Thread};

use super::cost::Weight;
use super::facts;
use super::filter::Filter;
use super::found::{Process, ProcessError};
use super::pause::Pause;
use super::snapshot::{Snapshot, SnapshotOptions};
use super::space::{ProcessSpace, Route, Swap};
use super::stop::{Stopped, StoppedThread};
use crate::machine::{Machine, page_size};
use crate::proc::maps::{Usage, Vma};

/// The memory to take of a process, and the way to take it. The default takes every
/// mapping, and what is on swap too.
///
/// ```
/// use memdump_live::process::{Options, Swap};
///
/// let mut options = Options::default();
/// options.swap = Swap::Skip;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The mappings that are taken.
    pub filter: Filter,
    /// The handling of pages on swap.
    pub swap: Swap,
    /// The thread that comes first in the image; none means the first thread.
    pub thread: Option<u32>,
    /// True if a process under a seccomp filter may be forked, which may kill it.
    pub allow_seccomp: bool,
    /// True if shared memory is copied during the pause too, under a snapshot.
    pub shared_consistent: bool,
}

/// A process that is paused, or is to be read as it runs. When it is dropped the process runs on.
pub struct Held {
    target: Process,
    pause: Pause,
    stopped: Option<Stopped>,
    before: Option<Weight>,
    /// The mappings just before it was stopped: to read their flags takes long.
    known: Vec<(Vma, Usage)>,
    started: SystemTime,
}

impl Process {
    /// Pauses the process as `pause` says.
    ///
    /// # Errors
    /// When it cannot be paused, or may not be read.
    pub fn hold(self, pause: Pause) -> Result<Held, ProcessError> {
        let before = self.weight();
        let known = self.smaps()?;
        let stopped = match pause {
            Pause::Stop | Pause::Snapshot => Some(Stopped::stop(self.pid)?),
            Pause::None => None,
        };
        Ok(Held { target: self, pause, stopped, before, known, started: SystemTime::now() })
    }
}

impl Held {
    /// Decides what is taken, and forks the process where that was asked for.
    ///
    /// # Errors
    /// When its memory cannot be opened or it cannot be forked; it runs on.
    pub fn capture(self, options: &Options) -> Result<Capture, ProcessError> {
        let Held { target, pause, mut stopped, before, known, started } = self;
        let mut threads = threads(stopped.as_ref(), options.thread);
        let others = threads.iter().skip(1).filter_map(|thread| thread.registers.as_ref());
        let pointers: Vec<u64> = others.filter_map(Registers::stack_pointer).collect();
        let regions = target.regions(known, &pointers, false)?;
        let denied = target.denied("open the memory");
        let route = match pause {
            Pause::None => Route::File,
            _ => Route::Process(target.pid),
        };
        let mut space =
            ProcessSpace::open(regions.map.clone(), &target.folder, route, options.swap)
                .map_err(&denied)?;

        let mut snapshot = None;
        let mut paused = Duration::ZERO;
        let mut first = ExtentSet::default();
        if pause == Pause::Snapshot
            && let Some(mut held) = stopped.take()
        {
            first = regions
                .map
                .regions()
                .iter()
                .filter_map(|region| {
                    let flags = regions.flags(region.extent.start());
                    let shared = region.mapping.as_ref().is_some_and(|m| m.permissions.shared);
                    let is_left = flags.dont_fork || flags.wipe_on_fork;
                    (is_left || shared && options.shared_consistent).then_some(region.extent)
                })
                .collect();
            let forked = SnapshotOptions { allow_seccomp: options.allow_seccomp };
            let copy = Snapshot::take(&mut held, &forked)?;
            space.read_copy(copy.pid(), first.clone()).map_err(&denied)?;
            snapshot = Some(copy);
            // Where nothing is left to do that needs it to stand still, it runs on: what follows takes as long as it may.
            match first.is_empty() {
                true => paused = held.resume()?,
                false => stopped = Some(held),
            }
        }

        let left_out =
            options.filter.left_out(&regions, page_size(), |region| space.absence(region));
        let devices = regions.map.regions().iter().filter(|region| {
            regions.flags(region.extent.start()).device && !region.label.starts_with("[v")
        });
        let omitted =
            devices.map(|region| Hole { extent: region.extent, cause: Cause::DeviceMemory });
        let omitted = omitted.collect();

        let mut process = facts::read(target.pid, &target.folder, &target.stat);
        threads.iter_mut().for_each(|thread| facts::complete(&target.folder, thread));
        process.threads = threads;
        let facts = Facts { process: Some(process), ..Machine::here().facts() };
        let mut plan = Plan::whole(regions.map, page_size(), facts);
        (plan.first, plan.left_out) = (first, left_out);
        Ok(Capture {
            target,
            space,
            plan,
            omitted,
            pause,
            stopped,
            snapshot,
            paused,
            started,
            before,
        })
    }
}

/// The threads with their registers, `wanted` first.
fn threads(stopped: Option<&Stopped>, wanted: Option<u32>) -> Vec<Thread> {
    let stopped = stopped.map_or(&[][..], Stopped::threads);
    let thread = |stopped: &StoppedThread| {
        let StoppedThread { tid, registers, signal, blocked, .. } = stopped.clone();
        Thread { tid, registers, signal, blocked, ..Thread::default() }
    };
    let mut threads: Vec<Thread> = stopped.iter().map(thread).collect();
    if let Some(index) = threads.iter().position(|thread| Some(thread.tid) == wanted) {
        threads[..=index].rotate_right(1);
    }
    threads
}

/// A process whose memory is ready to be copied. When it is dropped the process runs on, and nothing
/// is left of a snapshot.
pub struct Capture {
    target: Process,
    space: ProcessSpace,
    /// The plan of the copy.
    pub plan: Plan,
    /// Memory that is not taken, though it was asked for.
    pub omitted: Vec<Hole>,
    pause: Pause,
    stopped: Option<Stopped>,
    snapshot: Option<Snapshot>,
    paused: Duration,
    /// The time when it was stopped, or found.
    started: SystemTime,
    /// The memory use of the process before it was stopped.
    pub before: Option<Weight>,
}

impl Capture {
    /// The process.
    pub fn target(&self) -> &Process {
        &self.target
    }

    /// Its memory.
    pub fn space(&self) -> &dyn AddressSpace {
        &self.space
    }

    /// The way in which it was paused.
    pub fn pause(&self) -> Pause {
        self.pause
    }

    /// The length of the pause; zero as long as it lasts.
    pub fn paused(&self) -> Duration {
        self.paused
    }

    /// Bytes of it that were met on swap.
    pub fn swapped(&self) -> u64 {
        // Broken pages look the same in the page table, and are not counted there.
        self.before.map_or(u64::MAX, |before| before.swap).min(self.space.swapped())
    }

    /// Bytes that a copy will read of it.
    pub fn to_read(&self) -> u64 {
        self.plan.extents().map(|extent| self.space.present(&[extent].into_iter().collect())).sum()
    }

    /// Splits off what lets the process run on, so that it can be used while the memory is copied.
    pub fn release(&mut self) -> (&dyn AddressSpace, &Plan, Release<'_>) {
        let release = Release {
            target: &self.target,
            pause: self.pause,
            stopped: &mut self.stopped,
            snapshot: &mut self.snapshot,
            paused: &mut self.paused,
            started: self.started,
        };
        (&self.space, &self.plan, release)
    }

    /// The memory use of the process now; none when it is gone.
    pub fn weight(&self) -> Option<Weight> {
        self.target.weight()
    }
}

/// Lets a process run on, at the two moments at which a copy can allow that.
pub struct Release<'a> {
    target: &'a Process,
    pause: Pause,
    stopped: &'a mut Option<Stopped>,
    snapshot: &'a mut Option<Snapshot>,
    paused: &'a mut Duration,
    started: SystemTime,
}

impl Release<'_> {
    /// Tells that all that must be copied during the pause has been. Under a snapshot the process runs on.
    ///
    /// # Errors
    /// When it cannot be let go; dropping the capture tries again.
    pub fn first_taken(&mut self) -> Result<(), ProcessError> {
        match self.pause {
            Pause::Snapshot => self.resume(),
            _ => Ok(()),
        }
    }

    /// Tells that all has been copied. The process runs on, and nothing is left of a snapshot.
    ///
    /// # Errors
    /// As [`first_taken`](Self::first_taken); and when it began another program meanwhile.
    pub fn all_taken(&mut self) -> Result<(), ProcessError> {
        self.resume()?;
        if let Some(snapshot) = self.snapshot.take() {
            snapshot.end()?;
        }
        let now = facts::stat(&self.target.folder);
        let same = now.is_none_or(|now| {
            now.start_time == self.target.stat.start_time
                && now.start_stack == self.target.stat.start_stack
        });
        match same || self.pause != Pause::None {
            true => Ok(()),
            false => Err(ProcessError::Replaced(self.target.pid)),
        }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        self.target
    }

    /// The length of the pause.
    pub fn paused(&self) -> Duration {
        *self.paused
    }

    /// The way in which it was paused.
    pub fn pause(&self) -> Pause {
        self.pause
    }

    /// The time when it was stopped, or found, in seconds since 1970 (UTC).
    pub fn started(&self) -> f64 {
        self.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }

    fn resume(&mut self) -> Result<(), ProcessError> {
        if let Some(stopped) = self.stopped.take() {
            *self.paused = stopped.resume()?;
        }
        Ok(())
    }
}
