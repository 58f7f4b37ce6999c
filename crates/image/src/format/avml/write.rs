//! The writer: a block of memory is gathered and compressed by all CPUs, and becomes a record.
//!
//! Volatility 3 never ends reading a stream that is as long as its memory, and takes no LiME record in such a file. So a block that
//! does not shrink is put into one record with those about it, of any length. Where the record's header cannot be written over when its
//! end is known, it says beforehand how far the record goes: as far as what was saved so far makes up for the worst that can come. Only
//! where nothing was saved, and [`MAX_RECORD_LEN`] have come, is it a LiME record there, which AVML reads.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::OnceLock;

use memchr::memmem;
use rayon::prelude::*;
use snap::raw::Encoder;

use super::super::{ImageWriter, Output, lime};
use super::{
    CHUNK_LEN, COMPRESSED, IDENTIFIER, MAGIC, MAX_RECORD_LEN, TRAILER_LEN, VERSION, blocks,
};
use crate::{Chunk, Content, Extent, Plan, is_zero};

/// Memory in a chunk at least, but for the last of a block: a chunk ends where there are zeros behind this.
const MIN_CHUNK_LEN: usize = CHUNK_LEN - 4096;
/// A chunk's type, length and checksum.
const HEADER_LEN: usize = 8;
/// What stands before memory that is its own compression.
const LITERAL_LEN: usize = 6;
/// What a chunk is longer than its memory at most.
const CHUNK_OVERHEAD: u64 = (HEADER_LEN + LITERAL_LEN) as u64;

pub(super) struct Writer<'a> {
    output: &'a mut dyn Output,
    /// Blocks not begun yet.
    ahead: VecDeque<Extent>,
    /// The block that is being gathered.
    block: Option<Extent>,
    /// Its memory so far.
    memory: Vec<u8>,
    /// The record that is not ended.
    record: Option<Record>,
    /// Bytes written.
    len: u64,
}

/// Blocks that touch, compressed.
struct Record {
    extent: Extent,
    /// Bytes of its stream.
    len: u64,
    /// Where in the file it begins, once that is written.
    place: Option<u64>,
    /// Where its memory ends, once that is written for good.
    until: Option<u64>,
    /// Chunks that are not written.
    chunks: Vec<Vec<u8>>,
    /// The memory itself, for as long as it does not shrink and nothing is written.
    memory: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        Self {
            output,
            ahead: VecDeque::new(),
            block: None,
            memory: Vec::new(),
            record: None,
            len: 0,
        }
    }

    /// Writes the present block, filled up with zeros, and begins the next; whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        if let Some(block) = self.block.take() {
            self.memory.resize(block.len() as usize, 0);
            self.put_record(Record::new(block, &self.memory)?)?;
            self.memory.clear();
        }
        self.block = self.ahead.pop_front();
        Ok(self.block.is_some())
    }

    /// Ends the record before, or makes it one with the next.
    fn put_record(&mut self, mut next: Record) -> io::Result<()> {
        let is_positional = self.output.is_positional();
        match self.record.take() {
            Some(before) if before.wants(&next) => {
                let is_kept = is_positional
                    || before.place.is_some()
                    || before.memory_with(&next) <= MAX_RECORD_LEN;
                if is_kept {
                    next = before.joined(next);
                } else if before.shrinks_with(&next) {
                    next = before.joined(next);
                    next.until = Some(self.reach(&next));
                } else {
                    self.end(before)?;
                }
            }
            Some(before) => self.end(before)?,
            None => {}
        }
        let is_long = next.extent.len() >= MAX_RECORD_LEN;
        if next.until.is_some() || is_positional && (next.shrinks() || is_long) {
            self.write(&mut next)?;
        }
        self.record = Some(next);
        Ok(())
    }

    /// How far a record can go so that it shrinks whatever the memory is that follows.
    fn reach(&self, record: &Record) -> u64 {
        let mut saved = record.extent.len() - record.len - TRAILER_LEN;
        let mut end = record.extent.end();
        for block in &self.ahead {
            let most = block.len().div_ceil(MIN_CHUNK_LEN as u64) * CHUNK_OVERHEAD;
            if block.start() != end || most > saved {
                break;
            }
            saved -= most;
            end = block.end();
        }
        end
    }

    /// Writes what is not written of a record; its header says how far it goes by now, or for good.
    fn write(&mut self, record: &mut Record) -> io::Result<()> {
        if record.place.is_none() {
            record.place = Some(self.len);
            let extent =
                record.until.and_then(|until| Extent::half_open(record.extent.start(), until).ok());
            self.put_bytes(&lime::record(MAGIC, VERSION, extent.unwrap_or(record.extent)))?;
            self.put_bytes(&IDENTIFIER)?;
        }
        for chunk in mem::take(&mut record.chunks) {
            self.put_bytes(&chunk)?;
        }
        record.memory = Vec::new();
        Ok(())
    }

    fn end(&mut self, mut record: Record) -> io::Result<()> {
        if record.place.is_none() && !record.shrinks() {
            self.put_bytes(&lime::header(record.extent))?;
            return self.put_bytes(&record.memory);
        }
        if let (Some(place), None) = (record.place, record.until) {
            self.output.write_at(place, &lime::record(MAGIC, VERSION, record.extent))?;
        }
        self.write(&mut record)?;
        self.put_bytes(&record.len.to_le_bytes())
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    /// Puts memory at `addr` into its block: `bytes`, or `len` zeros.
    fn put(&mut self, addr: u64, bytes: Option<&[u8]>, len: u64) -> io::Result<()> {
        let mut rest = Extent::with_len(addr, len).ok();
        while let Some(here) = rest {
            let Some(block) = self.block.filter(|block| block.contains(here.start())) else {
                if !self.next_block()? {
                    let outside = format!("memory at {here} is not part of the plan");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, outside));
                }
                continue;
            };
            let (now, after) = here.split_at(block.end() - here.start());
            let now = now.map_or(0, Extent::len) as usize;
            let done = (here.start() - addr) as usize;
            rest = after;
            if let Some(bytes) = bytes.filter(|_| now as u64 == block.len()) {
                // A block that comes whole is compressed where it lies.
                self.put_record(Record::new(block, &bytes[done..done + now])?)?;
                self.block = self.ahead.pop_front();
                continue;
            }
            self.memory.resize((here.start() - block.start()) as usize, 0);
            match bytes {
                Some(bytes) => self.memory.extend_from_slice(&bytes[done..done + now]),
                None => self.memory.resize(self.memory.len() + now, 0),
            }
        }
        Ok(())
    }
}

impl ImageWriter for Writer<'_> {
    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.ahead = lime::spans(plan).iter().flat_map(blocks).collect();
        self.next_block().map(drop)
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        match chunk.content {
            Content::Bytes(bytes) => self.put(chunk.addr, Some(bytes), bytes.len() as u64),
            Content::Zero { len } | Content::Hole { len, .. } => self.put(chunk.addr, None, len),
        }
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        while self.next_block()? {}
        self.record.take().map_or(Ok(()), |record| self.end(record))
    }
}

impl Record {
    fn new(extent: Extent, memory: &[u8]) -> io::Result<Self> {
        let scratch = || (Encoder::new(), Vec::new());
        let chunks = cut(memory).into_par_iter().map_init(scratch, frame);
        let chunks = chunks.collect::<io::Result<Vec<_>>>()?;
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let len = len + IDENTIFIER.len() as u64;
        let mut record = Self { extent, len, place: None, until: None, chunks, memory: Vec::new() };
        if !record.shrinks() {
            record.memory = memory.to_vec();
        }
        Ok(record)
    }

    /// Whether the file is no longer with it than with a LiME record.
    fn shrinks(&self) -> bool {
        shrinks(self.extent.len(), self.len)
    }

    /// Bytes of memory in both.
    fn memory_with(&self, next: &Self) -> u64 {
        self.extent.len().saturating_add(next.extent.len())
    }

    /// Whether one record of both shrinks.
    fn shrinks_with(&self, next: &Self) -> bool {
        shrinks(self.memory_with(next), self.len + next.len - IDENTIFIER.len() as u64)
    }

    /// Whether the next one is to be one with this, as one of both needs the other, or this says that it goes so far.
    fn wants(&self, next: &Self) -> bool {
        if let Some(until) = self.until {
            return self.extent.end() < until;
        }
        let is_written = self.place.is_some();
        self.extent.end() == next.extent.start()
            && match (self.shrinks(), next.shrinks()) {
                (true, true) => false,
                (false, false) => true,
                // What is written in vain so far goes on until it is not.
                (false, true) => is_written || self.shrinks_with(next),
                (true, false) => self.shrinks_with(next),
            }
    }

    fn joined(self, next: Self) -> Self {
        let len = self.len + next.len - IDENTIFIER.len() as u64;
        let mut joined = Self { extent: self.extent.hull(next.extent), len, ..self };
        joined.chunks.extend(next.chunks);
        match joined.shrinks() || joined.place.is_some() {
            true => joined.memory = Vec::new(),
            false => joined.memory.extend_from_slice(&next.memory),
        }
        joined
    }
}

/// Whether a record of so many bytes of memory in a stream of `len` bytes takes no more than a LiME record.
fn shrinks(memory: u64, len: u64) -> bool {
    len + TRAILER_LEN <= memory
}

/// Cuts memory for the chunks of a stream, where it is zero if it can be: Volatility 3 searches each chunk alone, and does not find
/// the kernel's banner where it is cut in two.
fn cut(memory: &[u8]) -> Vec<&[u8]> {
    /// As many zeros are looked for.
    const ZEROS: [u8; 16] = [0; 16];
    let mut chunks = Vec::with_capacity(memory.len() / CHUNK_LEN + 1);
    let mut rest = memory;
    while rest.len() > CHUNK_LEN {
        let zeros = memmem::rfind(&rest[MIN_CHUNK_LEN..CHUNK_LEN], &ZEROS);
        let len = zeros.map_or(CHUNK_LEN, |at| MIN_CHUNK_LEN + at + ZEROS.len());
        let (chunk, after) = rest.split_at(len);
        chunks.push(chunk);
        rest = after;
    }
    chunks.push(rest);
    chunks
}

/// One chunk of a stream; much memory is zeros, which are compressed once.
fn frame((encoder, scratch): &mut (Encoder, Vec<u8>), memory: &[u8]) -> io::Result<Vec<u8>> {
    static ZEROS: OnceLock<Vec<u8>> = OnceLock::new();
    let is_zeros = memory.len() == CHUNK_LEN && is_zero(memory);
    if let Some(zeros) = ZEROS.get().filter(|_| is_zeros) {
        return Ok(zeros.clone());
    }
    let chunk = compress(encoder, scratch, memory)?.to_vec();
    Ok(if is_zeros { ZEROS.get_or_init(|| chunk).clone() } else { chunk })
}

/// A chunk (`framing_format.txt` of snappy, 4.2), always as compressed, though it may be longer than its memory, by
/// [`CHUNK_OVERHEAD`] at most: Volatility 3 fails to read inside chunks that are stored.
fn compress<'s>(
    encoder: &mut Encoder,
    scratch: &'s mut Vec<u8>,
    memory: &[u8],
) -> io::Result<&'s [u8]> {
    scratch.resize(HEADER_LEN + snap::raw::max_compress_len(CHUNK_LEN), 0);
    let (header, content) = scratch.split_at_mut(HEADER_LEN);
    let mut len = encoder.compress(memory, content)?;
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
    Ok(&scratch[..HEADER_LEN + len])
}

/// What precedes 1 to 65,536 bytes that are kept as they are (`format_description.txt` of snappy): their number in groups of seven bits,
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
