//! Whoever watches a job: progress, and the wish to stop.

/// Is told how far a job is, and may end it.
pub trait Monitor: Sync {
    /// Is told how many bytes there will be.
    fn begins(&mut self, _total: u64) {}

    /// Is told that so many bytes more are done, holes too.
    fn advance(&mut self, _bytes: u64) {}

    /// Is told that the copy is over.
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
