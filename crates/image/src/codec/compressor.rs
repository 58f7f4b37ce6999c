//! The writer of compressed files. It gathers some blocks, compresses them at once, and writes them in their order.

use std::io::{self, Write};

use rayon::prelude::*;

use super::row::{BLOCK_LEN, Codec};
use crate::Output;

/// Blocks for each thread between two writes.
const PER_THREAD: usize = 2;
/// The most bytes that are gathered, whatever the number of CPUs.
const MAX_GATHERED: usize = 16 * BLOCK_LEN;

impl Codec {
    /// Starts a compressed file in `output`.
    ///
    /// ```
    /// use std::io::Write;
    /// use memdump_image::codec::Codec;
    ///
    /// let zstd = Codec::by_name("zstd").unwrap();
    /// let mut compressor = zstd.compressor(Vec::new());
    /// compressor.write_all(&[7; 1000])?;
    /// let file = compressor.finish()?;
    /// assert!(file.len() < 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn compressor<W: Output>(&'static self, output: W) -> Compressor<W> {
        Compressor::new(self, output)
    }
}

/// A writer that compresses into another output.
///
/// Nothing is complete before [`finish`](Self::finish): dropping one leaves out the last blocks.
/// All CPUs compress; at most 16 MiB are gathered.
#[derive(Debug)]
pub struct Compressor<W> {
    codec: &'static Codec,
    output: W,
    gathered: Vec<u8>,
    limit: usize,
    /// The sizes of the blocks that were written: compressed, and not.
    sizes: Vec<(u32, u32)>,
    is_finished: bool,
}

impl<W: Output> Compressor<W> {
    pub(super) fn new(codec: &'static Codec, output: W) -> Self {
        let limit = (rayon::current_num_threads() * PER_THREAD * BLOCK_LEN).min(MAX_GATHERED);
        let gathered = Vec::with_capacity(limit);
        Self { codec, output, gathered, limit, sizes: Vec::new(), is_finished: false }
    }

    /// Writes the last blocks and the codec's trailer, and returns the output.
    ///
    /// # Errors
    /// If compressing or writing fails. The output is then dropped; [`try_finish`](Self::try_finish)
    /// keeps it.
    pub fn finish(mut self) -> io::Result<W> {
        self.try_finish()?;
        Ok(self.output)
    }

    /// Writes the last blocks and the codec's trailer. Once that succeeded, it does nothing.
    ///
    /// # Errors
    /// If compressing or writing fails. What was written is then of no use.
    pub fn try_finish(&mut self) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        self.write_gathered()?;
        if self.sizes.is_empty() {
            // A file of nothing is still a file of its kind.
            let empty = (self.codec.block)(&[])?;
            self.output.write_all(&empty)?;
            self.sizes.push((empty.len() as u32, 0));
        }
        self.output.write_all(&(self.codec.table)(&self.sizes))?;
        self.is_finished = true;
        Ok(())
    }

    /// The output that the compressed bytes go to.
    pub fn get_ref(&self) -> &W {
        &self.output
    }

    /// Returns the output without writing anything more to it.
    pub fn into_inner(self) -> W {
        self.output
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        let blocks: io::Result<Vec<Vec<u8>>> =
            self.gathered.par_chunks(BLOCK_LEN).map(self.codec.block).collect();
        for (block, bytes) in blocks?.iter().zip(self.gathered.chunks(BLOCK_LEN)) {
            self.output.write_all(block)?;
            self.sizes.push((block.len() as u32, bytes.len() as u32));
        }
        self.gathered.clear();
        Ok(())
    }
}

impl<W: Output> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_finished && !bytes.is_empty() {
            return Err(io::Error::other("the compressed stream is finished"));
        }
        let now = bytes.len().min(self.limit - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..now]);
        if self.gathered.len() == self.limit {
            self.write_gathered()?;
        }
        Ok(now)
    }

    /// Does nothing: the gathered bytes are not a whole block yet.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Not positional: compressed bytes cannot be written over.
impl<W: Output> Output for Compressor<W> {}
