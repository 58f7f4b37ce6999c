//! The writer: a block of memory is gathered and compressed by all CPUs, and becomes a record.
//!
//! Volatility 3 never ends reading a stream that is as long as its memory, and takes no LiME record in such a file. So a block that
//! does not shrink is put into one record with those about it: of any length where the record's header can be written over when its
//! end is known, and of [`MAX_RECORD_LEN`] in a pipe. A longer run there becomes a LiME record, which AVML reads.

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
        let limit = if self.output.is_positional() { u64::MAX } else { MAX_RECORD_LEN };
        match self.record.take() {
            Some(before) if before.wants(&next, limit) => next = before.joined(next),
            Some(before) => self.end(before)?,
            None => {}
        }
        if self.output.is_positional() && (next.shrinks() || next.extent.len() >= MAX_RECORD_LEN) {
            self.write(&mut next)?;
        }
        self.record = Some(next);
        Ok(())
    }

    /// Writes what is not written of a record; its header says how far it goes by now.
    fn write(&mut self, record: &mut Record) -> io::Result<()> {
        if record.place.is_none() {
            record.place = Some(self.len);
            self.put_bytes(&lime::record(MAGIC, VERSION, record.extent))?;
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
        if let Some(place) = record.place {
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
        let mut record = Self { extent, len, place: None, chunks, memory: Vec::new() };
        if !record.shrinks() {
            record.memory = memory.to_vec();
        }
        Ok(record)
    }

    /// Whether the file is no longer with it than with a LiME record.
    fn shrinks(&self) -> bool {
        shrinks(self.extent.len(), self.len)
    }

    /// Whether the next one is to be one with this, as one of both needs the other.
    fn wants(&self, next: &Self, limit: u64) -> bool {
        let memory = self.extent.len().saturating_add(next.extent.len());
        let stream = self.len + next.len - IDENTIFIER.len() as u64;
        let is_written = self.place.is_some();
        self.extent.end() == next.extent.start()
            && memory <= limit
            && match (self.shrinks(), next.shrinks()) {
                (true, true) => false,
                (false, false) => true,
                // What is written in vain so far goes on until it is not.
                (false, true) => is_written || shrinks(memory, stream),
                (true, false) => shrinks(memory, stream),
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
    /// How far before the end of a chunk a cut is looked for, and for how many zeros.
    const WINDOW_LEN: usize = 4096;
    const ZEROS: [u8; 16] = [0; 16];
    let mut chunks = Vec::with_capacity(memory.len() / CHUNK_LEN + 1);
    let mut rest = memory;
    while rest.len() > CHUNK_LEN {
        let before = CHUNK_LEN - WINDOW_LEN;
        let zeros = memmem::rfind(&rest[before..CHUNK_LEN], &ZEROS);
        let len = zeros.map_or(CHUNK_LEN, |at| before + at + ZEROS.len());
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

/// A chunk (`framing_format.txt` of snappy, 4.2), always as compressed, though it may be longer than its memory: Volatility 3 fails to
/// read inside chunks that are stored.
fn compress<'s>(
    encoder: &mut Encoder,
    scratch: &'s mut Vec<u8>,
    memory: &[u8],
) -> io::Result<&'s [u8]> {
    const HEADER_LEN: usize = 8;
    scratch.resize(HEADER_LEN + snap::raw::max_compress_len(CHUNK_LEN), 0);
    let (header, content) = scratch.split_at_mut(HEADER_LEN);
    let len = encoder.compress(memory, content)?;
    // The type stands below the length, which is of the checksum and what follows.
    let word = u32::from(COMPRESSED) | (4 + len as u32) << 8;
    let checksum = crc32c::crc32c(memory).rotate_right(15).wrapping_add(0xa282_ead8);
    header[..4].copy_from_slice(&word.to_le_bytes());
    header[4..].copy_from_slice(&checksum.to_le_bytes());
    Ok(&scratch[..HEADER_LEN + len])
}
