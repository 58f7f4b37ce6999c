//! The one trait that everything is read through.

use std::io;

use crate::{Cause, MemoryMap};

/// Something with addresses that can be read: a live machine or an image of one.
///
/// Reads are positional and take `&self`, so that any number of threads can share one.
pub trait AddressSpace: Send + Sync {
    /// What lies where. Only addresses in its regions can be read.
    fn map(&self) -> &MemoryMap;

    /// Reads bytes at `addr` into the front of `buf` and says how many: from 1 to `buf.len()`.
    /// `buf` is not empty.
    ///
    /// # Errors
    /// [`ReadError::Fault`] when the memory at `addr`, or after it within `buf`, cannot be read; a
    /// shorter read may do better. [`ReadError::Io`] when no further read will.
    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError>;
}

/// Why a read brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no readable memory: a hole, to be recorded, and the copy goes on.
    #[error("cannot read memory at {addr:#x}: {cause}")]
    Fault {
        /// The address that was asked for; the fault may lie further on.
        addr: u64,
        /// What is in the way.
        cause: Cause,
    },
    /// The source itself failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}
