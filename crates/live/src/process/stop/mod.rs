//! A process stopped: every thread held by `ptrace`, with its registers, until it is let go.
//!
//! The process notices nothing but the time that went by. Pending signals stay pending, a signal that a thread
//! was just about to get is delivered when it goes on, a process that job control had stopped is
//! stopped again, and interrupted system calls are made again by the kernel (`restart.rs` tells of those
//! that would fail otherwise). When this process dies meanwhile, the kernel lets the target run on.
//!
//! Nothing of the target is changed here, and no memory is read but a few words of its arguments.

#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only snapshots need all of it")
)]
mod attach;
mod denied;
mod error;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only snapshots need all of it")
)]
pub(crate) mod memory;
pub(crate) mod registers;
#[cfg(target_arch = "x86_64")]
pub(crate) mod restart;
pub(crate) mod status;
mod thread;
mod tracer;
#[cfg(target_arch = "x86_64")]
pub(crate) mod user_regs;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only snapshots need all of it")
)]
pub(crate) mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use attach::Session;
#[cfg(target_arch = "x86_64")]
pub(crate) use attach::{TraceStop, Tracee};
pub use denied::Denial;
pub(super) use denied::explain;
pub use error::{Hindrance, StopError};
use status::Status;
pub use thread::{Halt, StoppedThread};
pub(crate) use tracer::Tracer;

/// All threads of a process, stopped. They run on when it is dropped.
pub struct Stopped {
    tracer: Arc<Tracer>,
    pid: u32,
    threads: Vec<StoppedThread>,
    began: Instant,
    released: bool,
}

impl Stopped {
    /// The longest time that a thread may take to stop.
    const LIMIT: Duration = Duration::from_secs(5);

    /// Stops every thread of the process.
    ///
    /// # Errors
    /// When it cannot be traced, or a thread does not stop within five seconds. Then all threads run on.
    pub fn stop(pid: u32) -> Result<Self, StopError> {
        check(pid)?;
        let failed = |error: std::io::Error| StopError::Failed {
            pid,
            tid: pid,
            operation: "starting a thread for the tracing",
            errno: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::AGAIN),
        };
        let tracer = Tracer::start(pid).map_err(failed)?;
        let began = Instant::now();
        let threads = tracer.run(|session| session.stop(Self::LIMIT))?;
        Ok(Self { tracer: Arc::new(tracer), pid, threads, began, released: false })
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its threads, the leader first unless it has ended before the others. Never empty.
    ///
    /// The files in `/proc` that show memory are empty for a leader that has ended: read them at the
    /// number of the first of these threads.
    pub fn threads(&self) -> &[StoppedThread] {
        &self.threads
    }

    /// The time since before the first thread stopped.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Lets all threads run on; how long they stood, from before the first stop until after the last thread
    /// was let go.
    ///
    /// # Errors
    /// When a thread cannot be let go. One that was killed meanwhile is no error.
    pub fn resume(mut self) -> Result<Duration, StopError> {
        self.released = true;
        self.tracer.run(Session::release)?;
        Ok(self.elapsed())
    }

    /// The thread that traces it.
    pub(crate) fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.released {
            let _ = self.tracer.try_run(Session::release);
        }
    }
}

/// The refusals that are known before anything is tried.
fn check(pid: u32) -> Result<(), StopError> {
    let status = Status::read(pid).map_err(|_| StopError::Gone { pid })?;
    if status.tgid != pid {
        return Err(StopError::Thread { tid: pid, pid: status.tgid });
    }
    if pid == std::process::id() {
        return Err(StopError::Ourselves { pid });
    }
    // Before Linux 6.6: all are children of kthreadd, process 2.
    if status.kernel.unwrap_or(pid == 2 || status.parent == 2) {
        return Err(StopError::KernelThread { pid });
    }
    let alive = || {
        let threads = status::threads(pid).unwrap_or_default();
        threads.into_iter().any(|tid| !matches!(state(tid), None | Some('Z' | 'X')))
    };
    if status.state == 'Z' && !alive() {
        return Err(StopError::Zombie { pid, parent: status.parent });
    }
    if status.tracer != 0 {
        return Err(attach::traced(pid, status.tracer));
    }
    if is_ancestor(pid) {
        return Err(StopError::Ancestor { pid });
    }
    Ok(())
}

fn state(tid: u32) -> Option<char> {
    status::state_and_flags(tid).map(|(state, _)| state)
}

/// Returns true if we descend from the process. The first process does not count: all descend from it, and no
/// terminal depends on it.
fn is_ancestor(pid: u32) -> bool {
    let parent = |pid| Status::read(pid).map_or(0, |status| status.parent);
    let ours = std::iter::successors(Some(parent(std::process::id())), |&pid| Some(parent(pid)));
    ours.take_while(|&ancestor| ancestor > 1).any(|ancestor| ancestor == pid)
}
