//! The row that describes a codec, and what its readers and its writer share.

use std::io::{self, Read};
use std::sync::Arc;

use crate::ReadAt;

/// The bytes of an image in a block.
pub(super) const BLOCK_LEN: usize = 1 << 20;

/// Something that is read from front to back.
pub(super) type Stream = Box<dyn Read + Send>;

/// A codec: a row of [`CODECS`](super::CODECS).
#[derive(Debug)]
pub struct Codec {
    /// The name of the usual program, such as `zstd`.
    pub name: &'static str,
    /// The suffix of its file names, without the dot.
    pub suffix: &'static str,
    /// The first bytes of its files.
    pub(super) magics: &'static [&'static [u8]],
    /// Compresses a block.
    pub(super) block: fn(&[u8]) -> io::Result<Vec<u8>>,
    /// The bytes after the last block. They depend on the sizes of all blocks: compressed, and not.
    pub(super) table: fn(&[(u32, u32)]) -> Vec<u8>,
    /// Decompresses from front to back.
    pub(super) decoder: fn(Stream) -> io::Result<Stream>,
}

/// A file as a stream from `at` on.
pub(super) struct Front {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) at: u64,
}

impl Read for Front {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, buf)?;
        self.at += read as u64;
        Ok(read)
    }
}
