//! A copy of a process's memory as of one instant: a child that was forked from it and never runs.
//!
//! The fork is injected by `ptrace` while all threads are stopped, so all of them see the same instant; how,
//! stands in `fork.rs`. The target can run on at once, and the copy is read at leisure through `/proc/PID/mem`.
//! (`process_vm_readv` would give the copy pages of its own.)
//!
//! A copy lacks everything that a fork does not copy: shared mappings stay shared and go on changing,
//! and ranges with MADV_DONTFORK or MADV_WIPEONFORK are missing or empty. Until the copy ends, each page that the
//! target writes to is copied once by the kernel.
//!
//! In the target nothing remains: no process, no descriptor, no changed register, mask or memory. In its
//! accounting of children (`getrusage`) the time of the fork shows. Should this process be killed, the copy ends
//! with it.

#[cfg(target_arch = "x86_64")]
mod cgroup;
#[cfg(target_arch = "x86_64")]
mod check;
mod error;
#[cfg(target_arch = "x86_64")]
mod fork;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_fork.rs"]
mod fork;
#[cfg(target_arch = "x86_64")]
mod inject;
#[cfg(target_arch = "x86_64")]
mod rseq;
#[cfg(target_arch = "x86_64")]
mod site;

use std::sync::Arc;

pub use error::{Lack, SnapshotError};
use fork::Copied;

use super::stop::{Stopped, Tracer};

/// The options of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Also where the thread that would fork runs under seccomp. Its filter is suspended meanwhile where we may
    /// (CAP_SYS_ADMIN); otherwise it decides, and may kill the process.
    pub allow_seccomp: bool,
}

/// A copy of a process; it ends when this is dropped.
pub struct Snapshot {
    tracer: Arc<Tracer>,
    copied: Copied,
    ended: bool,
}

impl Snapshot {
    /// Makes a copy of a stopped process, which stays stopped.
    ///
    /// # Errors
    /// When the copy is refused, by us or by the kernel. The process is as it was before then, unless the error
    /// says that it has ended.
    pub fn take(stopped: &mut Stopped, options: &SnapshotOptions) -> Result<Self, SnapshotError> {
        let allow_seccomp = options.allow_seccomp;
        let tracer = Arc::clone(stopped.tracer());
        let copied = tracer.run(move |session| fork::copy(session, allow_seccomp))?;
        Ok(Self { tracer, copied, ended: false })
    }

    /// The process that is the copy.
    pub fn pid(&self) -> u32 {
        self.copied.pid()
    }

    /// Ends the copy.
    ///
    /// # Errors
    /// When something of it is left.
    pub fn end(mut self) -> Result<(), SnapshotError> {
        self.ended = true;
        let copied = self.copied;
        self.tracer.run(move |session| fork::end(session, copied))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if !self.ended {
            let copied = self.copied;
            let _ = self.tracer.try_run(move |session| fork::end(session, copied));
        }
    }
}
