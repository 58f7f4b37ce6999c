//! The trait that every format writes images through.

use std::io;

use super::packed::{Packed, Packer};
use crate::{Chunk, HoleEncoding, Plan};

/// Lays memory out as a format wants it.
pub trait ImageWriter {
    /// The way in which the writer shows memory that could not be read.
    fn hole_encoding(&self) -> HoleEncoding;

    /// Writes the headers before the memory. Called once, first.
    fn begin(&mut self, plan: &Plan) -> io::Result<()>;

    /// A packer that compresses memory before its turn; none if memory is written as it is. Asked once, after
    /// [`begin`](Self::begin).
    fn packer(&self) -> Option<Box<dyn Packer>> {
        None
    }

    /// Writes a chunk. They come in the order of [`Plan::extents`], do not overlap, and none reaches
    /// over the end of one of the plan's regions.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()>;

    /// Writes, in its turn, a chunk whose bytes the [packer](Self::packer) has made `packed` of.
    fn packed(&mut self, chunk: &Chunk<'_>, _packed: Packed) -> io::Result<()> {
        self.chunk(chunk)
    }

    /// Writes what follows the memory, and `record`, the text about the copy, if the format has a place for it. Called once, last;
    /// chunks may have ended early.
    fn finish(&mut self, record: &str) -> io::Result<()>;
}
