//! The one trait that everything is read through.

use std::io;
use std::sync::Arc;

use crate::{Cause, Extent, MemoryMap};

/// Something with addresses that can be read: a live machine or an image of one.
///
/// Reads are positional and take `&self`, so that any number of threads can share one.
pub trait AddressSpace: Send + Sync {
    /// The regions of the space. Only addresses in them can be read.
    fn map(&self) -> &MemoryMap;

    /// Reads bytes at `addr` into the front of `buf` and says how many: from 1 to `buf.len()`.
    /// `buf` is not empty.
    ///
    /// # Errors
    /// [`ReadError::Fault`] when the memory at `addr`, or after it within `buf`, cannot be read; a
    /// shorter read may do better. [`ReadError::Io`] when no further read will.
    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError>;

    /// The runs of `extent`, without reading its memory. They cover the front of it; there is at least one, and they ascend
    /// without gaps. `extent` lies within a region.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        Ok(vec![Run { extent, presence: Presence::Memory }])
    }

    /// Returns true if [`survey`](Self::survey) costs little and says the same at any time: that of an image does, and a copy then
    /// asks for all of it beforehand. A live machine's or process's does not.
    fn survey_is_final(&self) -> bool {
        false
    }

    /// Reads the memory of `runs`, one after another, into the front of `buf`, and says how many
    /// bytes: from 1 to `buf.len()`, which is their sum. The runs are parts of what
    /// [`survey`](Self::survey) gave and hold memory.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(run) = runs.first() else { return Ok(0) };
        let len = usize::try_from(run.extent.len()).unwrap_or(usize::MAX).min(buf.len());
        self.read_at(run.extent.start(), &mut buf[..len])
    }

    /// Fills `buf` with the bytes from `addr` on, in as many reads as that takes.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), where any of the bytes cannot be read. A fault names the first address from which nothing
    /// could be read; `buf` holds what stands before it.
    fn read_exact(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut done = 0;
        while done < buf.len() {
            let Some(at) = addr.checked_add(done as u64) else {
                return Err(ReadError::Fault { addr: u64::MAX, cause: Cause::NotOffered });
            };
            match self.read_at(at, &mut buf[done..]) {
                Ok(0) => return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => done += read,
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The unsigned number of `len` bytes, from 1 to 8, that stands at `addr`, the lowest byte first.
    ///
    /// # Errors
    /// As [`read_exact`](Self::read_exact).
    ///
    /// # Panics
    /// When `len` is more than 8.
    fn read_word(&self, addr: u64, len: usize) -> Result<u64, ReadError> {
        let mut word = [0; 8];
        self.read_exact(addr, &mut word[..len])?;
        Ok(u64::from_le_bytes(word))
    }
}

/// A space that others hold too.
impl AddressSpace for Arc<dyn AddressSpace> {
    fn map(&self) -> &MemoryMap {
        (**self).map()
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        (**self).read_at(addr, buf)
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        (**self).survey(extent)
    }

    fn survey_is_final(&self) -> bool {
        (**self).survey_is_final()
    }

    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        (**self).read_runs(runs, buf)
    }
}

/// Addresses that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The addresses.
    pub extent: Extent,
    /// The kind of memory there.
    pub presence: Presence,
}

/// The kind of memory at an address, as far as it is known without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Memory that can be read.
    Memory,
    /// Memory that stands in the mapped file only; it is read from there.
    InFile,
    /// Zeros: memory that was never touched.
    Zero,
    /// Nothing to read.
    Nothing(Cause),
}

impl Presence {
    /// Returns true if there is something to read.
    pub fn is_readable(self) -> bool {
        matches!(self, Presence::Memory | Presence::InFile)
    }
}

/// The reason that a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no readable memory: a hole, to be recorded, and the copy goes on.
    #[error("cannot read memory at {addr:#x}: {cause}")]
    Fault {
        /// The address that was asked for; the fault may lie further on.
        addr: u64,
        /// The reason.
        cause: Cause,
    },
    /// The source itself failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}
