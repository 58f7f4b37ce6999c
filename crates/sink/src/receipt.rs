//! The receipt for an image that was committed, and the leftover of one that was not.

use std::ffi::OsString;

/// The receipt for an image that was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The bytes from the first to the last of the image, as the receiver or the file system has them. Gaps are included.
    pub size: u64,
    /// The SHA-256 in hexadecimal as the receiver or the file system has it, or `None` if it did not say.
    pub sha256: Option<String>,
    /// The size and hash that a [`Hash`](crate::layer::Hash) layer saw. With several layers, that of the one nearest to the sink.
    pub sent: Option<Hashed>,
    /// The bytes that passed a [`Count`](crate::layer::Count), gaps not included. With several, that of the one nearest to the
    /// sink.
    pub written: Option<u64>,
}

impl Receipt {
    /// The receipt of a receiver that knows the size of the image and nothing else.
    pub fn of_size(size: u64) -> Self {
        Self { size, ..Self::default() }
    }
}

/// The size and hash of the bytes that passed a [`Hash`](crate::layer::Hash) layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The size in bytes, gaps included.
    pub size: u64,
    /// The SHA-256 in hexadecimal, or `None` if something was written over: then the image must be read again to know.
    pub sha256: Option<String>,
}

/// The leftover of a sink that was not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Nothing.
    Nothing,
    /// The part that was written, under a name that says so.
    Partial(OsString),
    /// The receiver has what was written and cannot be told otherwise.
    Sent,
}
