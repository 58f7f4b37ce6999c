//! The observer of a job: its progress, and the request to stop.

/// An observer of a job's progress, which may also stop the job.
pub trait Monitor: Sync {
    /// Called once before the copy, with the number of bytes to copy.
    fn begins(&mut self, _total: u64) {}

    /// Called when `bytes` more bytes are done. Holes count too.
    fn advance(&mut self, _bytes: u64) {}

    /// Called when the copy is over.
    fn ends(&mut self) {}

    /// Returns true if the job is to stop now.
    fn wants_stop(&self) -> bool {
        false
    }
}

/// A monitor for a job that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unattended;

impl Monitor for Unattended {}
