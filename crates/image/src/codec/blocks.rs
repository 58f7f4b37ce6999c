//! The writer: some blocks are gathered, compressed all at once, and written in their order.

use std::io::{self, Write};

use rayon::prelude::*;

use super::{BLOCK_LEN, Codec};
use crate::Output;

/// Blocks for each thread between two writes.
const PER_THREAD: usize = 2;
/// What is gathered at most, whatever the number of CPUs.
const MAX_GATHERED: usize = 16 * BLOCK_LEN;

pub(super) struct Blocks<'a> {
    codec: &'static Codec,
    output: &'a mut dyn Output,
    gathered: Vec<u8>,
    limit: usize,
    /// The sizes of the blocks that were written: compressed, and not.
    sizes: Vec<(u32, u32)>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(codec: &'static Codec, output: &'a mut dyn Output) -> Self {
        let limit = (rayon::current_num_threads() * PER_THREAD * BLOCK_LEN).min(MAX_GATHERED);
        Self { codec, output, gathered: Vec::with_capacity(limit), limit, sizes: Vec::new() }
    }

    /// Writes what is gathered, and what stands after the last block.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_gathered()?;
        if self.sizes.is_empty() {
            // Nothing compressed is not nothing.
            let empty = (self.codec.block)(&[])?;
            self.output.write_all(&empty)?;
            self.sizes.push((empty.len() as u32, 0));
        }
        self.output.write_all(&(self.codec.table)(&self.sizes))
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

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.len().min(self.limit - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..now]);
        if self.gathered.len() == self.limit {
            self.write_gathered()?;
        }
        Ok(now)
    }

    /// Does nothing: what is gathered is no whole block yet.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Blocks<'_> {}
