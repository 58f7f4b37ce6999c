//! The fork, in steps that leave nothing behind at any of them.
//!
//! 1. A thread of the target makes a *helper*: a process with the same memory (CLONE_VM), for which
//!    nothing is copied. The thread has its registers back some ten microseconds later.
//! 2. The helper forks: that copies the page tables and takes the time. Its child is the copy. If we
//!    die by now, the kernel kills both (PTRACE_O_EXITKILL) and the target has nothing to recover.
//! 3. The helper is killed, and the thread waits for it, so that no zombie stays.
//!
//! Neither signals its end to its parent (exit signal 0), and a wait that does not ask for such children does
//! not see them. The copy is an orphan then and goes to the process that waits for orphans, whoever
//! kills it and whenever; where nobody does that, the helper makes it as a child of the target instead
//! (CLONE_PARENT), and a thread of the target waits for it at the end. Open files are shared, not
//! duplicated, and the copy drops them, so that no lock and no connection lives on in it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::check;
use super::error::SnapshotError;
use super::inject::{self, Fault, Lent, Outcome};
use super::site;
use crate::process::stop::memory::Memory;
use crate::process::stop::restart;
use crate::process::stop::status::{self, Status};
use crate::process::stop::user_regs::UserRegs;
use crate::process::stop::wait::{self, Event, Pace};
use crate::process::stop::{Session, StopError, TraceStop, Tracee};
use crate::sys::ptrace;

/// A step that takes microseconds, on a machine that may be busy.
const STEP: Duration = Duration::from_secs(5);
/// The copying of page tables: this, and as much again for each `FORK_UNIT` resident.
const FORK: Duration = Duration::from_secs(10);
const FORK_UNIT: u64 = 4 << 30;
/// The end of the copy: its page tables are taken down.
const END: Duration = Duration::from_secs(60);
/// Until an orphan that has ended is waited for.
const REAPED: Duration = Duration::from_secs(2);
/// Threads that are looked at before the best so far is taken.
const LOOKS: usize = 64;

/// `__WALL`: children that signal their end, and those that do not (`include/uapi/linux/wait.h`).
const WALL: u64 = 0x4000_0000;
const WNOHANG: u64 = 1;
/// `CLOSE_RANGE_UNSHARE` (`include/uapi/linux/close_range.h`).
const CLOSE_RANGE_UNSHARE: u64 = 2;
/// `PF_IO_WORKER` and `PF_USER_WORKER` (`include/linux/sched.h`): threads that never leave the kernel.
const WORKER: u64 = 0x10 | 0x4000;

/// A process that a thread of the target made for us.
#[derive(Clone, Copy, Debug)]
struct Child {
    /// Its pid in our pid namespace.
    pid: u32,
    /// Its pid in the target's pid namespace.
    inner: u32,
}

/// A copy that lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    process: Child,
    /// The process whose child it is.
    parent: u32,
    /// The thread that had it made.
    tid: u32,
    /// The number of pids that the target has: one for each pid namespace around it.
    depth: usize,
}

impl Copied {
    /// Its number in our pid namespace.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }
}

/// Makes a copy of a process whose threads are all stopped.
pub(super) fn copy(session: &mut Session, allow_seccomp: bool) -> Result<Copied, SnapshotError> {
    let pid = session.pid;
    let chosen = choose(session)?;
    let seccomp = chosen.status.seccomp;
    if seccomp != 0 && !allow_seccomp {
        return Err(SnapshotError::Seccomp { pid, mode: seccomp });
    }
    check::check(pid, chosen.tid, &chosen.status)?;
    let leader = Status::read(pid).map_err(|_| SnapshotError::Gone { pid })?;
    let orphan = check::orphans_are_reaped(pid, &leader);
    let host = Host::new(pid, chosen.tid, seccomp, leader.namespace_pids.len())?;

    let helper = host.make_helper(session)?;
    let copied = host.fork(&helper, orphan, chosen.status.resident);
    // Whether the fork went well or not, the helper goes.
    kill(helper.pid);
    let reaped = match wait_for_end(helper.pid, STEP) {
        true => host.reap(session, helper),
        false => Err(SnapshotError::TimedOut { pid, step: "the end of the process that forks" }),
    };
    let copied = copied?;
    if let Err(error) = reaped {
        kill(copied.process.pid);
        wait_for_end(copied.process.pid, END);
        return Err(error);
    }
    Ok(host.settle(copied))
}

/// Ends a copy and sees to it that nothing is left.
pub(super) fn end(session: &mut Session, copied: Copied) -> Result<(), SnapshotError> {
    let pid = session.pid;
    kill(copied.process.pid);
    if !wait_for_end(copied.process.pid, END) {
        return Err(SnapshotError::TimedOut { pid, step: "the end of the copy" });
    }
    let left = |cause: String| {
        let (copy, parent) = (copied.process.pid, copied.parent);
        SnapshotError::Left { pid, copy, parent, cause }
    };
    if copied.parent == pid {
        return match reap_as_parent(session, copied) {
            // Its children go to who waits for orphans.
            Ok(()) | Err(SnapshotError::Gone { .. }) => Ok(()),
            Err(SnapshotError::Stop(StopError::Gone { .. } | StopError::Zombie { .. })) => Ok(()),
            Err(error) => Err(left(error.to_string())),
        };
    }
    let deadline = Instant::now() + REAPED;
    let mut pace = Pace::default();
    while matches!(status::state_and_flags(copied.process.pid), Some(('Z', _))) {
        if !pace.wait(deadline) {
            return Err(left("its parent does not wait for it".into()));
        }
    }
    Ok(())
}

/// Has a thread of the target wait for its child. If none is stopped by us any more, one is for a moment.
fn reap_as_parent(session: &mut Session, copied: Copied) -> Result<(), SnapshotError> {
    let pid = session.pid;
    if !session.tracees.is_empty() {
        let chosen = choose(session)?;
        return Host::new(pid, chosen.tid, chosen.status.seccomp, copied.depth)?
            .reap(session, copied.process);
    }
    let threads = status::threads(pid).map_err(|_| SnapshotError::Gone { pid })?;
    for tid in std::iter::once(copied.tid).chain(threads) {
        if status::state_and_flags(tid).is_none_or(|(state, flags)| is_unfit(state, flags)) {
            continue;
        }
        if !session.stop_thread(tid, STEP)? {
            continue;
        }
        let reaped = choose(session).and_then(|chosen| {
            Host::new(pid, chosen.tid, chosen.status.seccomp, copied.depth)?
                .reap(session, copied.process)
        });
        session.release()?;
        return reaped;
    }
    Err(SnapshotError::Gone { pid })
}

/// A thread of the target to work with.
struct Chosen {
    tid: u32,
    status: Status,
    /// The sum of its drawbacks; less is better.
    cost: u32,
}

/// The stopped thread that is best fit to make calls for us.
fn choose(session: &Session) -> Result<Chosen, SnapshotError> {
    let pid = session.pid;
    let mut best: Option<Chosen> = None;
    let mut narrow = false;
    for (index, tracee) in session.tracees.iter().enumerate() {
        if best.as_ref().is_some_and(|best| best.cost == 0 || index >= LOOKS) {
            break;
        }
        let Some(registers) = UserRegs::read(tracee.tid).ok() else { continue };
        let Some(registers) = registers else {
            narrow = true;
            continue;
        };
        if let Some(chosen) = look(tracee.tid, tracee.held, &registers)
            && best.as_ref().is_none_or(|best| chosen.cost < best.cost)
        {
            best = Some(chosen);
        }
    }
    best.ok_or(if narrow { SnapshotError::Narrow { pid } } else { SnapshotError::NoThread { pid } })
}

/// The thread with its drawbacks; none when it cannot be used at all.
fn look(tid: u32, held: Option<TraceStop>, registers: &UserRegs) -> Option<Chosen> {
    let (_, flags) = status::state_and_flags(tid)?;
    if flags & WORKER != 0 || ptrace::dispatches_syscalls(tid).unwrap_or(false) {
        return None;
    }
    let status = Status::read(tid).ok()?;
    // Where it stands in a call that swaps the signal mask, that call must be entered again.
    let swapped = ptrace::signal_mask(tid).is_ok_and(|mask| mask != status.blocked);
    // Its handler is entered, or its process ends, earlier than it need be.
    let signalled = matches!(held, Some(TraceStop::Signal(_)));
    // In a call it is not within a restartable sequence, and where to make a call is known.
    let elsewhere = registers.syscall().is_none();
    let filtered = status.seccomp != 0;
    let cost = [(filtered, 8), (signalled, 4), (swapped, 2), (elsewhere, 1)]
        .iter()
        .filter_map(|&(holds, cost)| holds.then_some(cost))
        .sum();
    Some(Chosen { tid, status, cost })
}

fn is_unfit(state: char, flags: u64) -> bool {
    matches!(state, 'Z' | 'X') || flags & WORKER != 0
}

/// The thread that makes calls for us.
struct Host {
    pid: u32,
    tid: u32,
    memory: Memory,
    /// Options that it and what it makes need beside those of the step.
    options: u64,
    /// Its filter is in force, so that a call can come back as SIGSYS.
    filtered: bool,
    /// The depth of its pid namespace: how many numbers it has, ours included.
    depth: usize,
}

impl Host {
    fn new(pid: u32, tid: u32, seccomp: u32, depth: usize) -> Result<Self, SnapshotError> {
        let memory = Memory::open(tid).map_err(|error| SnapshotError::Failed {
            pid,
            operation: "opening /proc/PID/mem",
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
        // Needs CAP_SYS_ADMIN. Strict mode (1) allows nothing and kills for the rest.
        let suspend = ptrace::OPTION_SUSPEND_SECCOMP;
        let suspended = seccomp != 0 && ptrace::set_options(tid, suspend).is_ok();
        if seccomp == 1 && !suspended {
            return Err(SnapshotError::Seccomp { pid, mode: seccomp });
        }
        let options = if suspended { suspend } else { 0 };
        Ok(Self { pid, tid, memory, options, filtered: seccomp != 0 && !suspended, depth })
    }

    /// Has the thread make calls, and gives it back all that they change.
    fn lend<T>(
        &self,
        session: &mut Session,
        work: impl FnOnce(&Lent) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let ended = SnapshotError::Gone { pid: self.pid };
        let of_thread = |tracee: &&mut Tracee| tracee.tid == self.tid;
        let Some(tracee) = session.tracees.iter_mut().find(of_thread) else { return Err(ended) };
        let step = "a stop of the thread that is to fork";
        let fault = |fault| self.error(fault, step);
        // Only there the kernel restarts a call that it interrupted.
        let signal = match tracee.held {
            Some(TraceStop::Interrupted(_)) => None,
            Some(TraceStop::Signal(signal)) => Some(signal),
            Some(TraceStop::Entry) | None => Some(0),
        };
        if let Some(signal) = signal {
            tracee.held = Some(inject::halt(self.tid, signal, soon()).map_err(fault)?);
        }
        let registers = UserRegs::read(self.tid).map_err(Fault::of("PTRACE_GETREGSET"));
        let Some(registers) = registers.map_err(fault)? else {
            return Err(SnapshotError::Narrow { pid: self.pid });
        };
        // It may have come here out of the call that it was just given back in.
        let word = |addr| self.memory.word(addr);
        let registers = restart::mended(&registers, word).unwrap_or(registers);
        let site = site::find(self.tid, &registers, &self.memory)
            .ok_or(SnapshotError::NoInstruction { pid: self.pid })?;
        let options = self.options | ptrace::OPTION_MARK_SYSCALLS | ptrace::OPTION_TRACE_CLONE;
        let (memory, filtered) = (&self.memory, self.filtered);
        let lent = Lent::borrow(self.tid, registers, site, memory, options, filtered);
        let lent = lent.map_err(fault)?;
        let done = work(&lent);
        tracee.held = Some(lent.give_back(soon()).map_err(fault)?);
        done
    }

    /// A process with the same memory, stopped, that dies with us.
    fn make_helper(&self, session: &mut Session) -> Result<Child, SnapshotError> {
        let mut helper = None;
        let made = self.lend(session, |lent| {
            let flags = (libc::CLONE_VM | libc::CLONE_FILES) as u64;
            let outcome = lent.call(libc::SYS_clone, &[flags, 0, 0, 0, 0], soon());
            let child = self.child(outcome, "the making of a process that forks")?;
            helper = Some(child);
            self.born(child)?;
            let options = self.options
                | ptrace::OPTION_KILL_ON_EXIT
                | ptrace::OPTION_MARK_SYSCALLS
                | ptrace::OPTION_TRACE_CLONE;
            let set = ptrace::set_options(child, options).map_err(Fault::of("PTRACE_SETOPTIONS"));
            set.map_err(|fault| self.error(fault, "the making of a process that forks"))
        });
        match (made, helper) {
            (Ok(()), Some(pid)) => Ok(self.process(pid)),
            (Err(error), Some(pid)) => {
                kill(pid);
                wait_for_end(pid, STEP);
                let _ = self.reap(session, self.process(pid));
                Err(error)
            }
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(SnapshotError::Gone { pid: self.pid }),
        }
    }

    /// Has the helper fork.
    fn fork(&self, helper: &Child, orphan: bool, resident: u64) -> Result<Copied, SnapshotError> {
        let step = "the fork";
        let fault = |fault| self.error(fault, step);
        let registers = UserRegs::read(helper.pid).map_err(Fault::of("PTRACE_GETREGSET"));
        let Some(registers) = registers.map_err(fault)? else {
            return Err(SnapshotError::Narrow { pid: self.pid });
        };
        let parent = if orphan { 0 } else { libc::CLONE_PARENT };
        let flags = (libc::CLONE_FILES | parent) as u64;
        let units = u32::try_from(resident / FORK_UNIT).unwrap_or(u32::MAX).saturating_add(1);
        let deadline = Instant::now() + FORK.saturating_mul(units).min(END.saturating_mul(60));
        // It has just come out of the call that made it.
        let site = registers.instruction().wrapping_sub(2);
        let arguments = [flags, 0, 0, 0, 0];
        let outcome =
            inject::call(helper.pid, &registers, site, libc::SYS_clone, &arguments, deadline);
        let pid = self.child(outcome, step)?;
        if let Err(error) = self.born(pid) {
            kill(pid);
            wait_for_end(pid, END);
            return Err(error);
        }
        let process = self.process(pid);
        Ok(Copied { process, parent: self.pid, tid: self.tid, depth: self.depth })
    }

    /// The child that a clone made.
    fn child(
        &self,
        outcome: Result<Outcome, Fault>,
        step: &'static str,
    ) -> Result<u32, SnapshotError> {
        let pid = self.pid;
        match outcome {
            Ok(Outcome::Cloned(child)) => Ok(child),
            Ok(Outcome::Returned(result)) => {
                let errno = i32::try_from(-result).unwrap_or(libc::EIO);
                Err(SnapshotError::Fork { pid, errno: Errno::from_raw_os_error(errno) })
            }
            Err(fault) => Err(self.error(fault, step)),
        }
    }

    /// Waits until a child that is traced from its birth stands still.
    fn born(&self, child: u32) -> Result<(), SnapshotError> {
        let deadline = soon();
        loop {
            match wait::until(child, deadline) {
                Some(Event::Interrupted(_)) => return Ok(()),
                Some(Event::Ended) => return Err(SnapshotError::Gone { pid: self.pid }),
                Some(_) => {}
                None => return Err(self.error(Fault::TimedOut, "the birth of the copy")),
            }
        }
    }

    /// A process that the target, or its helper, has made.
    fn process(&self, pid: u32) -> Child {
        let status = Status::read(pid).unwrap_or_default();
        let inner = self.depth.checked_sub(1).and_then(|at| status.namespace_pids.get(at).copied());
        Child { pid, inner: inner.unwrap_or(pid) }
    }

    /// Has the thread wait for a child that has ended.
    fn reap(&self, session: &mut Session, child: Child) -> Result<(), SnapshotError> {
        let arguments = [u64::from(child.inner), 0, WALL | WNOHANG, 0];
        let step = "the wait for a child";
        let outcome = self.lend(session, |lent| {
            lent.call(libc::SYS_wait4, &arguments, soon()).map_err(|fault| self.error(fault, step))
        })?;
        match outcome {
            Outcome::Returned(pid) if pid == i64::from(child.inner) => Ok(()),
            // The process does so itself.
            Outcome::Returned(error) if error == -i64::from(libc::ECHILD) => Ok(()),
            Outcome::Returned(result) => {
                let errno = i32::try_from(-result).unwrap_or(libc::EIO);
                let errno = Errno::from_raw_os_error(errno);
                Err(SnapshotError::Failed { pid: self.pid, operation: step, errno })
            }
            Outcome::Cloned(_) => Err(SnapshotError::TimedOut { pid: self.pid, step }),
        }
    }

    /// The last changes, to the copy alone. It is as good without them.
    fn settle(&self, mut copied: Copied) -> Copied {
        let pid = copied.process.pid;
        if let Ok(status) = Status::read(pid) {
            copied.parent = status.parent;
        }
        // What the target writes from now on costs memory; if there is none, the copy goes first.
        let _ = fs::write(status::file(pid, "oom_score_adj"), "1000");
        // A table of its own without a file in it. A filter might kill it for that.
        if !self.filtered
            && let Ok(Some(registers)) = UserRegs::read(pid)
        {
            let site = registers.instruction().wrapping_sub(2);
            let arguments = [0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE];
            let _ = inject::call(pid, &registers, site, libc::SYS_close_range, &arguments, soon());
        }
        copied
    }

    fn error(&self, fault: Fault, step: &'static str) -> SnapshotError {
        let pid = self.pid;
        match fault {
            Fault::Ended => SnapshotError::Gone { pid },
            Fault::TimedOut => SnapshotError::TimedOut { pid, step },
            Fault::Signal(libc::SIGSYS) => SnapshotError::Filtered { pid },
            Fault::Signal(_) => SnapshotError::Failed { pid, operation: step, errno: Errno::INTR },
            Fault::Request(operation, errno) => SnapshotError::Failed { pid, operation, errno },
        }
    }
}

/// The time by which a short step must have ended.
fn soon() -> Instant {
    Instant::now() + STEP
}

/// Kills a process that we trace, so that its number cannot be another's.
fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Waits for the end of a process that was killed; false when it does not come.
fn wait_for_end(pid: u32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match wait::until(pid, deadline) {
            Some(Event::Ended) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}
