//! Waiting for one traced thread. A signal that a thread stops at stays with the kernel: when this
//! process is killed in the meantime, the thread still gets it.

use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::sys::ptrace;

/// `__WALL` and `__WNOTHREAD` (`include/uapi/linux/wait.h`): threads and processes alike, and only those that
/// the calling thread itself traces.
const ALL_OF_THIS_THREAD: u32 = 0x4000_0000 | 0x2000_0000;
/// The mark of a system call stop.
const SYSCALL_MARK: i32 = 0x80;

/// An event of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `EVENT_STOP`: it was interrupted. The number is SIGTRAP, or the signal by which job control
    /// has stopped its process.
    Interrupted(i32),
    /// It is about to be delivered this signal.
    Signal(i32),
    /// It enters a system call or returns from one.
    Syscall,
    /// It has just made a child.
    Cloned,
    /// Another stop that was not asked for.
    Other(i32),
    /// It has ended and is reaped.
    Ended,
}

/// The thread's next event, if there is one.
///
/// A thread that is not there any more (or has another number since an `exec`) has ended.
pub(crate) fn poll(tid: u32) -> Option<Event> {
    let Some(pid) = i32::try_from(tid).ok().and_then(Pid::from_raw) else {
        return Some(Event::Ended);
    };
    let options = WaitIdOptions::EXITED
        | WaitIdOptions::STOPPED
        | WaitIdOptions::NOHANG
        | WaitIdOptions::from_bits_retain(ALL_OF_THIS_THREAD);
    let status = match waitid(WaitId::Pid(pid), options | WaitIdOptions::NOWAIT) {
        Ok(status) => status?,
        Err(Errno::INTR) => return None,
        Err(_) => return Some(Event::Ended),
    };
    let Some(code) = status.trapping_signal().or(status.stopping_signal()) else {
        // Ended: let it go.
        let _ = waitid(WaitId::Pid(pid), options);
        return Some(Event::Ended);
    };
    let event = decode(code);
    // What a signal stop was waited for is forgotten by the kernel, so that one is only looked at.
    if !matches!(event, Event::Signal(_)) {
        let _ = waitid(WaitId::Pid(pid), options);
    }
    Some(event)
}

/// A stop by what `waitid` gives as its status: the signal, and above its byte the event.
fn decode(code: i32) -> Event {
    match (code >> 8, code & 0xff) {
        (0, signal) if signal == libc::SIGTRAP | SYSCALL_MARK => Event::Syscall,
        (0, signal) => Event::Signal(signal),
        (ptrace::EVENT_STOP, signal) => Event::Interrupted(signal),
        (ptrace::EVENT_CLONE, _) => Event::Cloned,
        (event, _) => Event::Other(event),
    }
}

/// Waits until something has happened to the thread; none when the deadline comes first.
pub(crate) fn until(tid: u32, deadline: Instant) -> Option<Event> {
    let mut pace = Pace::default();
    loop {
        if let Some(event) = poll(tid) {
            return Some(event);
        }
        if !pace.wait(deadline) {
            return None;
        }
    }
}

/// A wait for an event that takes some microseconds as a rule and sometimes seconds: it gives the processor
/// away at first, then sleep for longer and longer. `wait(2)` itself has no time limit.
#[derive(Default)]
pub(crate) struct Pace {
    turns: u32,
}

impl Pace {
    /// Turns before the first sleep; together some hundred microseconds.
    const YIELDS: u32 = 300;

    /// Waits a little; false when the deadline has passed.
    pub(crate) fn wait(&mut self, deadline: Instant) -> bool {
        if self.turns < Self::YIELDS {
            thread::yield_now();
        } else {
            let micros = (20_u64 << ((self.turns - Self::YIELDS) / 16).min(6)).min(1000);
            thread::sleep(Duration::from_micros(micros));
        }
        self.turns += 1;
        Instant::now() < deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_by_their_status() {
        assert_eq!(decode(5 | 128 << 8), Event::Interrupted(5));
        assert_eq!(decode(19 | 128 << 8), Event::Interrupted(19));
        assert_eq!(decode(5 | 0x80), Event::Syscall);
        assert_eq!(decode(5), Event::Signal(5));
        assert_eq!(decode(34), Event::Signal(34));
        assert_eq!(decode(5 | 3 << 8), Event::Cloned);
        assert_eq!(decode(5 | 4 << 8), Event::Other(4));
    }
}
