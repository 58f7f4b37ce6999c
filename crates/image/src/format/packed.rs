//! Memory that is compressed before its turn: by the thread that read it, while others are read and written.
//!
//! Not about how anything is compressed, which each format knows, nor about the order, which is the copy's.

use std::io;

/// Compresses memory for a writer, on any thread.
pub trait Packer: Send + Sync {
    /// Compresses what was read at `addr`.
    ///
    /// # Errors
    /// When the compressor fails, which no memory makes it do.
    fn pack(&self, addr: u64, bytes: &[u8]) -> io::Result<Packed>;
}

/// Memory that a [`Packer`] has compressed, for the writer of the same format.
#[derive(Debug, Default)]
pub struct Packed {
    /// The compressed parts, one after another.
    pub(super) bytes: Vec<u8>,
    /// The parts that the format cuts memory into: pages, or records.
    pub(super) parts: Vec<Part>,
}

/// A part of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes that it became; 0 where it stands for nothing of its own.
    pub(super) len: u32,
    /// The flags that the format keeps of it.
    pub(super) flags: u32,
}
