//! Chunks of snappy's framing format, made of memory.
//!
//! Not about records, nor about which of them is worth it: that is the writer's.

use std::io;
use std::sync::OnceLock;

use snap::raw::Encoder;

use super::super::super::packed::{Packed, Packer, Part};
use super::super::stream::{CHUNK_LEN, COMPRESSED};
use super::blocks::block_at;
use crate::{ExtentSet, is_zero};

/// Memory in a chunk at least, but for the last of a block: a chunk ends where there are zeros behind this.
pub(super) const MIN_CHUNK_LEN: usize = CHUNK_LEN - 4096;
/// A chunk's type, length and checksum.
const HEADER_LEN: usize = 8;
/// The length of the bytes before memory that is kept as it is.
const LITERAL_LEN: usize = 6;
/// The most bytes that a chunk is longer than its memory.
pub(super) const CHUNK_OVERHEAD: u64 = (HEADER_LEN + LITERAL_LEN) as u64;

/// Compresses those blocks that come whole.
pub(super) struct BlockPacker {
    /// The memory that blocks are parts of.
    pub(super) spans: ExtentSet,
}

impl Packer for BlockPacker {
    /// A part for each block that has any of the memory; one that has not all of its own is empty.
    fn pack(&self, addr: u64, bytes: &[u8]) -> io::Result<Packed> {
        let mut packed = Packed::default();
        // Of many short pieces none is a block.
        let mut chunks = None;
        let (mut at, mut rest) = (addr, bytes);
        while let Some(span) = self.spans.find(at).filter(|_| !rest.is_empty()) {
            let block = block_at(span, at);
            let len = rest.len().min((block.end() - at) as usize);
            let (here, after) = rest.split_at(len);
            let before = packed.bytes.len();
            if len as u64 == block.len() {
                packed.bytes.reserve(len);
                chunks.get_or_insert_with(Chunks::new).push(here, &mut packed.bytes)?;
            }
            packed.parts.push(Part { len: (packed.bytes.len() - before) as u32, flags: 0 });
            at = block.end();
            rest = after;
        }
        Ok(packed)
    }
}

/// Makes chunks; what that takes is kept from one to the next.
pub(super) struct Chunks {
    encoder: Encoder,
    scratch: Vec<u8>,
}

impl Chunks {
    pub(super) fn new() -> Self {
        let scratch = vec![0; HEADER_LEN + snap::raw::max_compress_len(CHUNK_LEN)];
        Self { encoder: Encoder::new(), scratch }
    }

    /// Appends chunks of all of `memory` to `out`.
    pub(super) fn push(&mut self, memory: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = memory;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(chunk_len(rest));
            self.push_chunk(chunk, out)?;
            rest = after;
        }
        Ok(())
    }

    /// Appends a chunk; much memory is zeros, which are compressed once.
    fn push_chunk(&mut self, memory: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        static ZEROS: OnceLock<Vec<u8>> = OnceLock::new();
        let is_zeros = memory.len() == CHUNK_LEN && is_zero(memory);
        if let Some(zeros) = ZEROS.get().filter(|_| is_zeros) {
            out.extend_from_slice(zeros);
            return Ok(());
        }
        let chunk = self.compress(memory)?;
        out.extend_from_slice(chunk);
        if is_zeros {
            ZEROS.get_or_init(|| chunk.to_vec());
        }
        Ok(())
    }

    /// A chunk (`framing_format.txt` of snappy, 4.2), always as compressed, though it may be longer than its memory, by
    /// [`CHUNK_OVERHEAD`] at most: Volatility 3 fails to read inside chunks that are stored.
    fn compress(&mut self, memory: &[u8]) -> io::Result<&[u8]> {
        let (header, content) = self.scratch.split_at_mut(HEADER_LEN);
        let mut len = self.encoder.compress(memory, content)?;
        if len > memory.len() + LITERAL_LEN {
            content[..LITERAL_LEN].copy_from_slice(&literal(memory.len()));
            content[LITERAL_LEN..][..memory.len()].copy_from_slice(memory);
            len = memory.len() + LITERAL_LEN;
        }
        // The type stands below the length, which is of the checksum and what follows.
        let word = u32::from(COMPRESSED) | (4 + len as u32) << 8;
        let checksum = crc32c::crc32c(memory).rotate_right(15).wrapping_add(0xa282_ead8);
        header[..4].copy_from_slice(&word.to_le_bytes());
        header[4..].copy_from_slice(&checksum.to_le_bytes());
        Ok(&self.scratch[..HEADER_LEN + len])
    }
}

/// The number of bytes of `memory` that the next chunk has. It is cut where it is zero if it can be: Volatility 3 searches each chunk alone, and does
/// not find the kernel's banner where it is cut in two.
fn chunk_len(memory: &[u8]) -> usize {
    let Some(chunk) = memory.get(..CHUNK_LEN).filter(|chunk| chunk.len() < memory.len()) else {
        return memory.len();
    };
    let (words, _) = chunk[MIN_CHUNK_LEN..].as_chunks::<8>();
    let zeros = words.iter().rposition(|word| *word == [0; 8]);
    zeros.map_or(CHUNK_LEN, |at| MIN_CHUNK_LEN + (at + 1) * 8)
}

/// The bytes that precede 1 to 65,536 bytes that are kept as they are (`format_description.txt` of snappy): their number in groups of seven bits,
/// then the tag of a literal whose length, less one, is in the next two bytes.
fn literal(len: usize) -> [u8; LITERAL_LEN] {
    const TAG: u8 = 61 << 2;
    let group = |shift: u32| (len >> shift) as u8;
    let [low, high] = (len.saturating_sub(1) as u16).to_le_bytes();
    [group(0) | 0x80, group(7) | 0x80, group(14) & 0x7f, TAG, low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snappy_reads_memory_that_is_kept_as_it_is() {
        for len in [1, 60, 127, 128, 256, 16_383, 16_384, MIN_CHUNK_LEN, CHUNK_LEN - 1, CHUNK_LEN] {
            let memory: Vec<u8> = (0..len).map(|at| (at * 7 / 8) as u8).collect();
            let chunk = [&literal(len), memory.as_slice()].concat();
            let mut decoder = snap::raw::Decoder::new();
            assert!(decoder.decompress_vec(&chunk).expect("snappy") == memory, "{len}");
        }
    }
}
