//! A system call made by a stopped thread for us. The thread is set on a system call instruction that is in its
//! program already, is let go from stop to stop until the call returns, and never runs an instruction
//! after it. Its memory is not written to.
//!
//! Every signal is blocked meanwhile, but SIGKILL and SIGSTOP, which cannot be. The first ends
//! the thread; the second is passed on at once and takes effect when the thread is let go.

use std::time::Instant;

use rustix::io::Errno;

use super::rseq;
use crate::process::stop::memory::Memory;
use crate::process::stop::user_regs::UserRegs;
use crate::process::stop::wait::{self, Event};
use crate::process::stop::{TraceStop, status::Status};
use crate::sys::ptrace;

/// The reason why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The thread has ended.
    Ended,
    /// It did not come to a stop in time.
    TimedOut,
    /// It got a signal for the call itself, as a seccomp filter gives.
    Signal(i32),
    /// A request was refused.
    Request(&'static str, Errno),
}

impl Fault {
    /// For `map_err`: which request was refused.
    pub(super) fn of(request: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| match errno {
            Errno::SRCH => Self::Ended,
            errno => Self::Request(request, errno),
        }
    }
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It returned this.
    Returned(i64),
    /// It made this child, a number in our pid namespace, and has not returned yet.
    Cloned(u32),
}

/// Has the thread, which stands at `EVENT_STOP` with `registers`, make a call. It is left at the return from it or,
/// after a clone that is traced, within.
pub(super) fn call(
    tid: u32,
    registers: &UserRegs,
    site: u64,
    number: i64,
    arguments: &[u64],
    deadline: Instant,
) -> Result<Outcome, Fault> {
    let call = registers.calling(site, number, arguments);
    call.write(tid).map_err(Fault::of("PTRACE_SETREGSET"))?;
    let mut signal = 0;
    let mut inside = false;
    loop {
        ptrace::resume_to_syscall(tid, signal).map_err(Fault::of("PTRACE_SYSCALL"))?;
        signal = 0;
        match wait::until(tid, deadline).ok_or(Fault::TimedOut)? {
            Event::Ended => return Err(Fault::Ended),
            Event::Cloned => {
                let child = ptrace::event_message(tid).map_err(Fault::of("PTRACE_GETEVENTMSG"))?;
                return u32::try_from(child).map(Outcome::Cloned).map_err(|_| Fault::Ended);
            }
            Event::Syscall if !inside => inside = true,
            Event::Syscall => {
                let after = UserRegs::read(tid).map_err(Fault::of("PTRACE_GETREGSET"))?;
                match after.ok_or(Fault::Ended)? {
                    // Interrupted, and made again by the kernel.
                    after if after.restarts() => inside = false,
                    after => return Ok(Outcome::Returned(after.result())),
                }
            }
            Event::Signal(libc::SIGSTOP) => signal = libc::SIGSTOP,
            Event::Signal(other) => return Err(Fault::Signal(other)),
            // Job control has changed its mind.
            Event::Interrupted(_) | Event::Other(_) => {}
        }
    }
}

/// Brings a thread to `EVENT_STOP` from wherever it stands, or runs, without letting it run its program.
/// `signal` is what it gets on the way if it stands before one.
pub(super) fn halt(tid: u32, mut signal: i32, deadline: Instant) -> Result<TraceStop, Fault> {
    loop {
        // Any stop uses an interruption up, so it is renewed for each.
        ptrace::interrupt(tid).map_err(Fault::of("PTRACE_INTERRUPT"))?;
        // ESRCH: it runs, or has ended. The wait tells.
        let _ = ptrace::resume(tid, signal);
        match wait::until(tid, deadline).ok_or(Fault::TimedOut)? {
            Event::Ended => return Err(Fault::Ended),
            Event::Interrupted(signal) => return Ok(TraceStop::Interrupted(signal)),
            Event::Signal(other) => signal = other,
            Event::Syscall | Event::Cloned | Event::Other(_) => signal = 0,
        }
    }
}

/// The state that a thread is given back after calls.
pub(super) struct Lent {
    pub(super) tid: u32,
    pub(super) registers: UserRegs,
    site: u64,
    mask: u64,
    /// It stands in a call that blocks other signals for its duration, and that the kernel will make again.
    swapped: bool,
}

impl Lent {
    /// Takes over a thread that stands at `EVENT_STOP`, with these registers. `trap` leaves SIGSYS
    /// deliverable: a filter's signal that finds itself blocked would reset the program's handler.
    pub(super) fn borrow(
        tid: u32,
        registers: UserRegs,
        site: u64,
        memory: &Memory,
        options: u64,
        trap: bool,
    ) -> Result<Self, Fault> {
        let mut registers = registers;
        if let Some(abort) = rseq::abort(tid, registers.instruction(), memory) {
            registers.set_instruction(abort);
        }
        let mask = ptrace::signal_mask(tid).map_err(Fault::of("PTRACE_GETSIGMASK"))?;
        let now = Status::read(tid).map(|status| status.blocked).unwrap_or(mask);
        let lent =
            Self { tid, registers, site, mask, swapped: now != mask && registers.restarts() };
        ptrace::set_options(tid, options).map_err(Fault::of("PTRACE_SETOPTIONS"))?;
        let all = if trap { !(1 << (libc::SIGSYS - 1)) } else { u64::MAX };
        ptrace::set_signal_mask(tid, all).map_err(Fault::of("PTRACE_SETSIGMASK"))?;
        Ok(lent)
    }

    /// Has it make a call, and come back to `EVENT_STOP` for the next.
    pub(super) fn call(
        &self,
        number: i64,
        arguments: &[u64],
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
        call(self.tid, &self.registers, self.site, number, arguments, deadline)
    }

    /// Gives the thread back everything, at a stop where the kernel goes on as it would have before:
    /// it restarts an interrupted call itself.
    pub(super) fn give_back(&self, deadline: Instant) -> Result<TraceStop, Fault> {
        let held = halt(self.tid, 0, deadline)?;
        self.registers.write(self.tid).map_err(Fault::of("PTRACE_SETREGSET"))?;
        let held = if self.swapped { self.enter_again(deadline)? } else { held };
        ptrace::set_signal_mask(self.tid, self.mask).map_err(Fault::of("PTRACE_SETSIGMASK"))?;
        ptrace::set_options(self.tid, 0).map_err(Fault::of("PTRACE_SETOPTIONS"))?;
        Ok(held)
    }

    /// `sigsuspend`, `ppoll` and their like let in other signals than the thread does otherwise, and the kernel has
    /// forgotten which with the first call of ours. So the thread goes, with all signals still blocked, to
    /// the entry of its own call: there it gets its mask back, and the call itself sets the other.
    fn enter_again(&self, deadline: Instant) -> Result<TraceStop, Fault> {
        let mut signal = 0;
        loop {
            ptrace::resume_to_syscall(self.tid, signal).map_err(Fault::of("PTRACE_SYSCALL"))?;
            signal = 0;
            match wait::until(self.tid, deadline).ok_or(Fault::TimedOut)? {
                Event::Ended => return Err(Fault::Ended),
                Event::Syscall => break,
                Event::Signal(libc::SIGSTOP) => signal = libc::SIGSTOP,
                Event::Cloned | Event::Signal(_) | Event::Interrupted(_) | Event::Other(_) => {}
            }
        }
        Ok(TraceStop::Entry)
    }
}
