//! The threads that one tracing thread holds: how they are caught, what is noted of each, and how they
//! are let go. All of it runs in the tracing thread.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use memdump_image::Registers;
use rustix::io::Errno;

use super::error::{Hindrance, StopError};
use super::status::{self, Status};
use super::thread::{Halt, StoppedThread};
use super::wait::{self, Event, Pace};
use super::{denied, registers};
use crate::sys::ptrace;

/// The kind of stop of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceStop {
    /// At `EVENT_STOP`, with this signal number: nothing is lost when it just goes on.
    Interrupted(i32),
    /// Before the delivery of this signal.
    Signal(i32),
    /// At the entry of a system call, which it makes when it goes on.
    Entry,
}

/// One thread that is traced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracee {
    pub(crate) tid: u32,
    /// None as long as it runs.
    pub(crate) held: Option<TraceStop>,
}

/// The threads of its target that a tracing thread holds.
pub(crate) struct Session {
    pub(crate) pid: u32,
    pub(crate) tracees: Vec<Tracee>,
}

impl Session {
    /// The longest wait for a thread that has died, when all are let go.
    const DYING: Duration = Duration::from_secs(1);

    pub(super) fn new(pid: u32) -> Self {
        Self { pid, tracees: Vec::new() }
    }

    /// Stops every thread and notes its registers: the leader first if it lives, then by number.
    ///
    /// A thread is made by one that runs, so when all known ones stand still and the kernel lists no
    /// other, that is all of them.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<Vec<StoppedThread>, StopError> {
        let deadline = Instant::now() + limit;
        loop {
            while self.seize_new()? > 0 {}
            self.wait_for_all(deadline, limit)?;
            if self.seize_new()? > 0 {
                continue;
            }
            if self.tracees.is_empty() {
                return Err(self.gone());
            }
            self.tracees.sort_unstable_by_key(|tracee| (tracee.tid != self.pid, tracee.tid));
            if let Some(threads) = self.note_all()? {
                return Ok(threads);
            }
        }
    }

    /// Stops this thread only; false when it has ended.
    pub(crate) fn stop_thread(&mut self, tid: u32, limit: Duration) -> Result<bool, StopError> {
        if self.seize(tid)? {
            self.wait_for_all(Instant::now() + limit, limit)?;
        }
        for &Tracee { tid, .. } in &self.tracees {
            registers::general(tid)
                .and_then(|general| mend(tid, general.as_ref()))
                .map_err(|errno| self.failed(tid, "PTRACE_GETREGSET", errno))?;
        }
        Ok(!self.tracees.is_empty())
    }

    fn listed(&self) -> Result<Vec<u32>, StopError> {
        status::threads(self.pid).map_err(|_| StopError::Gone { pid: self.pid })
    }

    /// Seizes and interrupts the threads that are not traced yet; how many.
    fn seize_new(&mut self) -> Result<usize, StopError> {
        let known: HashSet<u32> = self.tracees.iter().map(|tracee| tracee.tid).collect();
        let mut new = 0;
        for tid in self.listed()? {
            if !known.contains(&tid) && self.seize(tid)? {
                new += 1;
            }
        }
        Ok(new)
    }

    /// Seizes and interrupts a thread; false when it has ended.
    fn seize(&mut self, tid: u32) -> Result<bool, StopError> {
        match ptrace::seize(tid) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(false),
            Err(Errno::PERM) => return self.refused(tid).map_or(Ok(false), Err),
            Err(errno) => return Err(self.failed(tid, "PTRACE_SEIZE", errno)),
        }
        self.tracees.push(Tracee { tid, held: None });
        self.interrupt(tid)?;
        Ok(true)
    }

    fn interrupt(&self, tid: u32) -> Result<(), StopError> {
        match ptrace::interrupt(tid) {
            // It has ended, and the next wait says so.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(self.failed(tid, "PTRACE_INTERRUPT", errno)),
        }
    }

    /// The reason why a thread may not be seized; none when it has ended, which is the same EPERM.
    fn refused(&self, tid: u32) -> Option<StopError> {
        let pid = self.pid;
        let status = Status::read(tid).ok()?;
        match status {
            Status { state: 'Z' | 'X', .. } => None,
            Status { tracer: 1.., .. } => Some(traced(pid, status.tracer)),
            _ => Some(StopError::Denied { pid, tid, denial: denied::explain(tid) }),
        }
    }

    /// Waits until each traced thread stands or has ended.
    fn wait_for_all(&mut self, deadline: Instant, limit: Duration) -> Result<(), StopError> {
        let mut pace = Pace::default();
        loop {
            // Also those that stand are looked at: one that is killed there must be reaped, or an
            // `exec` in another thread waits for it.
            let mut index = 0;
            while let Some(&Tracee { tid, held }) = self.tracees.get(index) {
                match wait::poll(tid) {
                    None => {}
                    Some(Event::Ended) => {
                        self.tracees.remove(index);
                        continue;
                    }
                    Some(Event::Interrupted(signal)) => {
                        self.tracees[index].held = Some(TraceStop::Interrupted(signal));
                    }
                    Some(Event::Signal(signal)) => {
                        self.tracees[index].held = Some(TraceStop::Signal(signal));
                    }
                    Some(Event::Syscall | Event::Cloned | Event::Other(_)) if held.is_none() => {
                        // Any stop uses the interruption up.
                        self.interrupt(tid)?;
                        let _ = ptrace::resume(tid, 0);
                    }
                    Some(Event::Syscall | Event::Cloned | Event::Other(_)) => {}
                }
                index += 1;
            }
            let Some(running) = self.tracees.iter().find(|tracee| tracee.held.is_none()) else {
                return Ok(());
            };
            if !pace.wait(deadline) {
                let (pid, tid) = (self.pid, running.tid);
                let hindrance = hindrance(tid);
                return Err(StopError::Stuck { pid, tid, seconds: limit.as_secs(), hindrance });
            }
        }
    }

    /// Takes note of threads that were killed where they stand: until then the parent of their process cannot see that it
    /// has ended.
    pub(super) fn let_go_of_dead(&mut self) {
        self.tracees.retain_mut(|tracee| match wait::poll(tracee.tid) {
            Some(Event::Ended) => false,
            Some(Event::Interrupted(signal)) => {
                tracee.held = Some(TraceStop::Interrupted(signal));
                true
            }
            _ => true,
        });
    }

    /// Notes the registers of every thread; none when one of them does not stand any more.
    fn note_all(&mut self) -> Result<Option<Vec<StoppedThread>>, StopError> {
        let mut threads = Vec::with_capacity(self.tracees.len());
        for index in 0..self.tracees.len() {
            let Tracee { tid, held: Some(held) } = self.tracees[index] else { return Ok(None) };
            match note(tid, held) {
                Ok(thread) => threads.push(thread),
                Err(Errno::SRCH) => {
                    self.tracees[index].held = None;
                    self.interrupt(tid)?;
                    return Ok(None);
                }
                Err(errno) => return Err(self.failed(tid, "PTRACE_GETREGSET", errno)),
            }
        }
        Ok(Some(threads))
    }

    /// Lets all go, each with the signal that it was about to get.
    pub(crate) fn release(&mut self) -> Result<(), StopError> {
        let mut dying = Vec::new();
        let mut outcome = Ok(());
        for Tracee { tid, held } in std::mem::take(&mut self.tracees) {
            let signal = match held {
                Some(TraceStop::Signal(signal)) => signal,
                // The end of the tracing thread lets go of one that runs.
                None => continue,
                Some(TraceStop::Interrupted(_) | TraceStop::Entry) => 0,
            };
            match ptrace::detach(tid, signal) {
                Ok(()) => {}
                Err(Errno::SRCH) => dying.push(tid),
                Err(errno) => outcome = Err(self.failed(tid, "PTRACE_DETACH", errno)),
            }
        }
        // Killed meanwhile. Until we have taken note, its parent cannot see that it has ended.
        let deadline = Instant::now() + Self::DYING;
        let mut pace = Pace::default();
        while !dying.is_empty() {
            dying.retain(|&tid| wait::poll(tid) != Some(Event::Ended));
            if !dying.is_empty() && !pace.wait(deadline) {
                break;
            }
        }
        outcome
    }

    /// The error for a process without a living thread.
    fn gone(&self) -> StopError {
        let pid = self.pid;
        match Status::read(pid) {
            Ok(Status { state: 'Z', parent, .. }) => StopError::Zombie { pid, parent },
            _ => StopError::Gone { pid },
        }
    }

    pub(crate) fn failed(&self, tid: u32, operation: &'static str, errno: Errno) -> StopError {
        match errno {
            Errno::SRCH => StopError::Gone { pid: self.pid },
            errno => StopError::Failed { pid: self.pid, tid, operation, errno },
        }
    }
}

pub(super) fn traced(pid: u32, tracer: u32) -> StopError {
    let name = std::fs::read_to_string(status::file(tracer, "comm")).ok();
    StopError::Traced { pid, tracer, name: name.map(|name| name.trim_end().into()) }
}

/// Has the kernel restart a system call of a thread that stands, if it would fail for our stop alone.
fn mend(tid: u32, general: Option<&Registers>) -> rustix::io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    if let Some(registers) = general.and_then(super::user_regs::UserRegs::of) {
        let word = |addr| super::memory::Memory::open(tid).ok()?.word(addr);
        if let Some(mended) = super::restart::mended(&registers, word) {
            mended.write(tid)?;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (tid, general);
    Ok(())
}

/// Notes a thread that stands, and mends it. What is noted is what it was before.
fn note(tid: u32, held: TraceStop) -> rustix::io::Result<StoppedThread> {
    let general = registers::general(tid)?;
    let (halt, signal) = match held {
        TraceStop::Signal(number) => (Halt::Signal(number), Some(ptrace::siginfo(tid)?)),
        TraceStop::Interrupted(libc::SIGTRAP) | TraceStop::Entry => (Halt::Interrupted, None),
        TraceStop::Interrupted(number) => (Halt::JobControl(number), None),
    };
    mend(tid, general.as_ref())?;
    Ok(StoppedThread {
        tid,
        registers: general.map(|general| registers::with_others(tid, general)).transpose()?,
        signal,
        // From Linux 3.11.
        blocked: registers::optional(ptrace::signal_mask(tid))?.unwrap_or(0),
        halt,
    })
}

/// The reason why a thread does not stop, as far as it shows.
fn hindrance(tid: u32) -> Hindrance {
    match status::state_and_flags(tid) {
        Some(('D', _)) if waits_for_vfork(tid) => Hindrance::Vfork,
        Some(('D', _)) if frozen(tid).unwrap_or(false) => Hindrance::Frozen,
        Some(('D', _)) => Hindrance::Uninterruptible,
        Some((state, _)) => Hindrance::State(state),
        None => Hindrance::State('X'),
    }
}

/// Returns true if it waits in `vfork`, or in a `clone` that works like it (`posix_spawn`).
#[cfg(target_arch = "x86_64")]
fn waits_for_vfork(tid: u32) -> bool {
    let text = std::fs::read_to_string(status::file(tid, "syscall")).unwrap_or_default();
    let mut words = text.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    let argument =
        words.next().and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    let (Some(number), Some(argument)) = (number, argument) else { return false };
    let flags = match number {
        libc::SYS_vfork => return true,
        libc::SYS_clone => Some(argument),
        // The flags are the first word of `struct clone_args`.
        libc::SYS_clone3 => {
            super::memory::Memory::open(tid).ok().and_then(|memory| memory.word(argument))
        }
        _ => None,
    };
    flags.is_some_and(|flags| flags & libc::CLONE_VFORK as u64 != 0)
}

#[cfg(not(target_arch = "x86_64"))]
fn waits_for_vfork(_tid: u32) -> bool {
    false
}

/// Returns true if the thread's group in the freezer hierarchy of cgroup v1 is frozen.
fn frozen(tid: u32) -> io::Result<bool> {
    let groups = std::fs::read_to_string(status::file(tid, "cgroup"))?;
    let group = groups.lines().find_map(|line| line.split_once(":freezer:"));
    let Some((_, path)) = group else { return Ok(false) };
    let state = std::fs::read_to_string(format!("/sys/fs/cgroup/freezer{path}/freezer.state"))?;
    Ok(state.trim() != "THAWED")
}
