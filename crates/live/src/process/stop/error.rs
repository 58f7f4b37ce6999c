//! The reasons why a process was not stopped.

use std::fmt;

use rustix::io::Errno;

use super::denied::Denial;
use crate::process::remedy::Remedy;

/// The reason why a process was not stopped. The process runs on as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// There is no such process, or there is none any more.
    #[error("process {pid}: there is no such process (any more); look it up with `ps` or `pgrep`")]
    Gone {
        /// The process.
        pid: u32,
    },
    /// It has ended, and its parent has not asked how.
    #[error(
        "process {pid} is a zombie: it has ended and has no memory any more; what is left goes when \
         its parent, process {parent}, waits for it"
    )]
    Zombie {
        /// The process.
        pid: u32,
        /// The process that should wait for it.
        parent: u32,
    },
    /// A thread of the kernel has no memory of its own.
    #[error("process {pid} is a thread of the kernel and has no memory of its own")]
    KernelThread {
        /// The process.
        pid: u32,
    },
    /// The number is that of a thread.
    #[error("{tid} is a thread of process {pid}; name the process")]
    Thread {
        /// The number.
        tid: u32,
        /// Its process.
        pid: u32,
    },
    /// A process cannot stop itself and go on working.
    #[error("process {pid} is this memdump itself, which cannot stop itself; start a second one")]
    Ourselves {
        /// The process.
        pid: u32,
    },
    /// Stopping what we were started from can stop the terminal that we write to, and with it us.
    #[error(
        "process {pid} is an ancestor of this memdump: with it the terminal or the pipe that memdump \
         writes to could stop, and both would wait for ever; start memdump from elsewhere, for \
         example with `setsid -f`"
    )]
    Ancestor {
        /// The process.
        pid: u32,
    },
    /// Only one tracer at a time.
    #[error(
        "process {pid} is already traced by process {tracer}{} (TracerPid); end that first",
        .name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
    )]
    Traced {
        /// The process.
        pid: u32,
        /// The tracer's process ID; 0 when it is in a pid namespace that we do not see.
        tracer: u32,
        /// The tracer's name.
        name: Option<String>,
    },
    /// The kernel refuses it (EPERM).
    #[error("process {pid}: ptrace of thread {tid} is refused: {denial}; {}", .denial.remedy())]
    Denied {
        /// The process.
        pid: u32,
        /// Its thread.
        tid: u32,
        /// The reason of the refusal.
        denial: Denial,
    },
    /// A thread did not stop.
    #[error(
        "process {pid}: thread {tid} did not stop within {seconds} s: {hindrance}; {}",
        .hindrance.remedy()
    )]
    Stuck {
        /// The process.
        pid: u32,
        /// Its thread.
        tid: u32,
        /// The time that was waited, in seconds.
        seconds: u64,
        /// The thing that keeps it from stopping.
        hindrance: Hindrance,
    },
    /// Any other error.
    #[error("process {pid}: {operation} of thread {tid} failed: {errno}")]
    Failed {
        /// The process.
        pid: u32,
        /// Its thread.
        tid: u32,
        /// The operation that was tried.
        operation: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl StopError {
    /// The way to read the process all the same, if there is one.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::KernelThread { .. } => Some(Remedy::KernelMemory),
            Self::Thread { pid, .. } => Some(Remedy::Process(*pid)),
            Self::Stuck { hindrance: Hindrance::Vfork, .. } => None,
            Self::Stuck { .. } => Some(Remedy::NoPause),
            _ => None,
        }
    }
}

/// The reason why a thread does not stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hindrance {
    /// It waits until a child made by `vfork` has started another program or ended.
    Vfork,
    /// Its control group is frozen (cgroup v1; a frozen group of v2 can be traced).
    Frozen,
    /// It waits for a device, a file system or the like, and cannot be interrupted (D).
    Uninterruptible,
    /// It is in the state with this letter.
    State(char),
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vfork => write!(f, "it waits for a child that it made by vfork"),
            Self::Frozen => write!(f, "its control group is frozen"),
            Self::Uninterruptible => {
                write!(f, "it is in an uninterruptible wait (state D), for a disk or the network")
            }
            Self::State(state) => write!(f, "it is in state {state}"),
        }
    }
}

impl Hindrance {
    /// The remedy, in plain words.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Vfork => "try again, or look at what the child is waiting for",
            Self::Frozen => "thaw the group, or read its memory without a pause: it stands still",
            Self::Uninterruptible => {
                "look at /proc/TID/stack; its memory can be read without a pause"
            }
            Self::State(_) => "try again, or read its memory without a pause",
        }
    }
}
