//! The reasons why there is no copy of a process, or why something of it may be left.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::process::remedy::Remedy;
use crate::process::stop::StopError;

/// The reason why no copy was made, or why it was not cleanly ended. The process is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A call cannot be injected on this architecture.
    #[error("a snapshot is not possible on this architecture yet, only on x86-64")]
    Architecture,
    /// A 32-bit program.
    #[error("process {pid} is a 32-bit program, of which no snapshot can be made")]
    Narrow {
        /// The process.
        pid: u32,
    },
    /// Nothing but threads that never run the program's own code, or that catch their own system calls.
    #[error(
        "process {pid} has no thread that could make a system call for us (those of io_uring and those \
         that catch their own system calls cannot)"
    )]
    NoThread {
        /// The process.
        pid: u32,
    },
    /// The process would be killed by its own filter for what we inject.
    #[error(
        "process {pid} runs under seccomp (mode {mode}), and its filter could kill it for the fork that \
         a snapshot injects"
    )]
    Seccomp {
        /// The process.
        pid: u32,
        /// 1 strict, 2 filter.
        mode: u32,
    },
    /// The filter trapped the call.
    #[error("process {pid}: its seccomp filter does not allow the fork that a snapshot injects")]
    Filtered {
        /// The process.
        pid: u32,
    },
    /// Another process has the same memory and is not stopped.
    #[error(
        "process {pid} shares its memory with process {other} (vfork), which is not stopped; try again \
         when one of them has started its own program"
    )]
    SharedMemory {
        /// The process.
        pid: u32,
        /// With whom.
        other: u32,
    },
    /// Its children are born into another pid namespace, where the copy would become the first process.
    #[error(
        "process {pid} has its children in another pid namespace (`unshare --pid` without --fork), which \
         would end with the copy"
    )]
    ChildNamespace {
        /// The process.
        pid: u32,
    },
    /// It cannot run the injected call.
    #[error("process {pid}: its control group is frozen; it stands still already")]
    Frozen {
        /// The process.
        pid: u32,
    },
    /// The copy would not fit.
    #[error("process {pid}: there is no room for a copy: {lack}")]
    NoRoom {
        /// The process.
        pid: u32,
        /// Room for what.
        lack: Lack,
    },
    /// No instruction to inject with.
    #[error("process {pid}: there is no system call instruction in its executable mappings")]
    NoInstruction {
        /// The process.
        pid: u32,
    },
    /// The kernel refused the fork.
    #[error("process {pid}: the kernel refuses to fork it: {errno}; {}", hint(*.errno))]
    Fork {
        /// The process.
        pid: u32,
        /// Its answer.
        errno: Errno,
    },
    /// It ended meanwhile.
    #[error("process {pid} ended while its snapshot was taken")]
    Gone {
        /// The process.
        pid: u32,
    },
    /// A step took too long.
    #[error("process {pid}: {step} did not end in time")]
    TimedOut {
        /// The process.
        pid: u32,
        /// The step.
        step: &'static str,
    },
    /// The copy has ended, but nobody has waited for it.
    #[error(
        "process {pid}: of its copy a zombie is left, process {copy}, a child of process {parent}: \
         {cause}; it costs one process number until its parent ends"
    )]
    Left {
        /// The process.
        pid: u32,
        /// The copy.
        copy: u32,
        /// The process whose child it is.
        parent: u32,
        /// The cause.
        cause: String,
    },
    /// The target is not held by `ptrace` any more, or cannot be.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// Any other error.
    #[error("process {pid}: {operation} failed: {errno}")]
    Failed {
        /// The process.
        pid: u32,
        /// The operation that was tried.
        operation: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl SnapshotError {
    /// The way to read the process all the same, if there is one.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Seccomp { .. } => Some(Remedy::AllowSeccomp),
            Self::Gone { .. } | Self::Left { .. } => None,
            Self::Stop(error) => error.remedy(),
            _ => Some(Remedy::PauseStop),
        }
    }
}

/// The room that a copy lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// Memory for its page tables.
    Memory {
        /// Bytes that it needs at once.
        needed: u64,
        /// Bytes that are left.
        left: u64,
        /// The file that limits it.
        limit: PathBuf,
    },
    /// Numbers for two processes.
    Processes {
        /// The number that is left.
        left: u64,
        /// The file that limits it.
        limit: PathBuf,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { needed, left, limit } => write!(
                f,
                "its page tables take {} KiB at once, and {} leaves {} KiB",
                needed >> 10,
                limit.display(),
                left >> 10
            ),
            Self::Processes { left, limit } => {
                write!(f, "it takes two processes, and {} leaves {left}", limit.display())
            }
        }
    }
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::AGAIN => {
            "look at `ulimit -u` of its user (RLIMIT_NPROC), pids.max and kernel.threads-max"
        }
        Errno::NOMEM => "there is too little memory, or vm.overcommit_memory is 2",
        Errno::PERM | Errno::NOSYS => "probably a seccomp filter",
        _ => "nothing more is known",
    }
}
