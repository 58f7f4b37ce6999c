//! The reasons that a copy ends early.

use std::io;

/// The reason that a copy ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source failed as a whole.
    #[error("cannot read memory at {addr:#x}: {source}")]
    Read {
        /// The start of the block that was being read.
        addr: u64,
        /// The cause.
        source: io::Error,
    },
    /// The output failed.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
    /// The observer failed.
    #[error("cannot record what was taken: {0}")]
    Observe(#[source] io::Error),
    /// The observer asked to stop.
    #[error("stopped on request")]
    Stopped,
}
