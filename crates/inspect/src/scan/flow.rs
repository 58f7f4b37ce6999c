//! The flow of a scan: continue, stop, or fail.

use std::io;

/// The answer to an event: whether the search goes on.
///
/// Every search of this crate sends its events to a closure that returns `io::Result<Flow>`. [`Flow::Stop`] ends the
/// search in order: it returns what it has seen so far. An error ends it as [`ScanError::Deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// The next event is wanted.
    Continue,
    /// Enough was found: no further event is sent.
    Stop,
}

impl Flow {
    /// Returns [`Flow::Stop`] if `is_enough`.
    pub fn stop_if(is_enough: bool) -> Self {
        if is_enough { Self::Stop } else { Self::Continue }
    }

    /// Returns true if no further event is wanted.
    pub fn is_stop(self) -> bool {
        self == Self::Stop
    }
}

/// The reason why a scan failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The source failed as a whole.
    #[error("cannot read memory at {addr:#x}: {source}")]
    Read {
        /// The start of the block that was being read.
        addr: u64,
        /// The cause.
        source: io::Error,
    },
    /// The receiver of the events failed.
    #[error("cannot hand on what was found: {0}")]
    Deliver(#[source] io::Error),
}
