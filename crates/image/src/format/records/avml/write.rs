//! The writer: a block of memory becomes a record, compressed by whoever read it; or here, by all CPUs, where it had to be gathered.
//!
//! Volatility 3 never ends reading a stream that is as long as its memory, and takes no LiME record in such a file. So a block that
//! does not shrink is put into one record with those about it, of any length. Where the record's header cannot be written over when its
//! end is known, it says beforehand how far the record goes: as far as what was saved so far makes up for the worst that can come. Only
//! where nothing was saved, and [`MAX_RECORD_LEN`] have come, is it a LiME record there, which AVML reads.

use std::collections::VecDeque;
use std::io;
use std::{mem, vec};

use rayon::prelude::*;

use super::super::super::packed::{Packed, Packer, Part};
use super::super::super::writer::ImageWriter;
use super::super::header::{avml_header, lime_header, spans};
use super::super::stream::{CHUNK_LEN, IDENTIFIER, TRAILER_LEN};
use super::blocks::{MAX_RECORD_LEN, blocks};
use super::pack::{BlockPacker, CHUNK_OVERHEAD, Chunks, MIN_CHUNK_LEN};
use crate::{Chunk, Content, Extent, ExtentSet, HoleEncoding, Output, Plan};

pub(super) struct Writer<'a> {
    output: &'a mut dyn Output,
    /// The plan's memory, in whole pages.
    spans: ExtentSet,
    /// Blocks not begun yet.
    ahead: VecDeque<Extent>,
    /// The block that is being gathered.
    block: Option<Extent>,
    /// Its memory so far.
    memory: Vec<u8>,
    /// True if anything but holes is in it.
    has_content: bool,
    /// True if a block of holes is left out.
    is_thinned: bool,
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
    /// The offset in the file at which it begins, once that is written.
    place: Option<u64>,
    /// The end of its memory, once that is written for good.
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
            spans: ExtentSet::default(),
            ahead: VecDeque::new(),
            block: None,
            memory: Vec::new(),
            has_content: false,
            is_thinned: false,
            record: None,
            len: 0,
        }
    }

    /// Writes the present block, filled up with zeros, and begins the next; whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        let is_wanted = |block: Extent| {
            let is_announced =
                |record: &Record| record.until.is_some_and(|end| end > block.start());
            self.has_content || !self.is_thinned || self.record.as_ref().is_some_and(is_announced)
        };
        if let Some(block) = self.block.take().filter(|block| is_wanted(*block)) {
            self.memory.resize(block.len() as usize, 0);
            let chunks = compress(&self.memory)?;
            self.put_record(Record::new(block, &self.memory, chunks))?;
        }
        self.memory.clear();
        self.has_content = false;
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

    /// The address up to which a record shrinks, whatever the memory is that follows.
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
            self.put_bytes(&avml_header(extent.unwrap_or(record.extent)))?;
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
            self.put_bytes(&lime_header(record.extent))?;
            return self.put_bytes(&record.memory);
        }
        if let (Some(place), None) = (record.place, record.until) {
            self.output.write_at(place, &avml_header(record.extent))?;
        }
        self.write(&mut record)?;
        self.put_bytes(&record.len.to_le_bytes())
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    /// Puts a chunk of memory into its block, and what it was packed into.
    fn put(&mut self, chunk: &Chunk<'_>, mut packed: Blocks) -> io::Result<()> {
        let addr = chunk.addr;
        let bytes = match chunk.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Zero { .. } | Content::Hole { .. } => None,
        };
        let mut rest = Extent::with_len(addr, chunk.len()).ok();
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
            let packed = packed.next();
            if let Some(bytes) = bytes.filter(|_| now as u64 == block.len()) {
                // A block that comes whole is compressed where it lies.
                let memory = &bytes[done..done + now];
                let chunks = match packed {
                    Some(chunks) => vec![chunks],
                    None => compress(memory)?,
                };
                self.put_record(Record::new(block, memory, chunks))?;
                self.block = self.ahead.pop_front();
                continue;
            }
            self.memory.resize((here.start() - block.start()) as usize, 0);
            self.has_content |= !chunk.content.is_missing();
            match bytes {
                Some(bytes) => self.memory.extend_from_slice(&bytes[done..done + now]),
                None => self.memory.resize(self.memory.len() + now, 0),
            }
        }
        Ok(())
    }
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Gaps
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.is_thinned = plan.is_thinned;
        self.spans = spans(plan);
        self.ahead = self.spans.iter().flat_map(blocks).collect();
        self.next_block().map(drop)
    }

    fn packer(&self) -> Option<Box<dyn Packer>> {
        Some(Box::new(BlockPacker { spans: self.spans.clone() }))
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.put(chunk, Blocks::default())
    }

    fn packed(&mut self, chunk: &Chunk<'_>, packed: Packed) -> io::Result<()> {
        self.put(chunk, Blocks::new(packed))
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        while self.next_block()? {}
        self.record.take().map_or(Ok(()), |record| self.end(record))
    }
}

impl Record {
    /// A block and what it was compressed into.
    fn new(extent: Extent, memory: &[u8], chunks: Vec<Vec<u8>>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let len = len + IDENTIFIER.len() as u64;
        let mut record = Self { extent, len, place: None, until: None, chunks, memory: Vec::new() };
        if !record.shrinks() {
            record.memory = memory.to_vec();
        }
        record
    }

    /// Returns true if the file is no longer with it than with a LiME record.
    fn shrinks(&self) -> bool {
        shrinks(self.extent.len(), self.len)
    }

    /// Bytes of memory in both.
    fn memory_with(&self, next: &Self) -> u64 {
        self.extent.len().saturating_add(next.extent.len())
    }

    /// Returns true if one record of both shrinks.
    fn shrinks_with(&self, next: &Self) -> bool {
        shrinks(self.memory_with(next), self.len + next.len - IDENTIFIER.len() as u64)
    }

    /// Returns true if the next one is to be joined with this: because one of both needs the other, or this says that it goes so far.
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

/// The blocks of a chunk, packed; none of those that were not.
#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
    parts: vec::IntoIter<Part>,
}

impl Blocks {
    fn new(packed: Packed) -> Self {
        Self { bytes: packed.bytes, parts: packed.parts.into_iter() }
    }

    /// The next block's.
    fn next(&mut self) -> Option<Vec<u8>> {
        let Part { len, .. } = self.parts.next()?;
        let rest = self.bytes.split_off(len as usize);
        Some(mem::replace(&mut self.bytes, rest)).filter(|bytes| !bytes.is_empty())
    }
}

/// Compresses a block that had to be gathered.
fn compress(memory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let chunks = |memory| {
        let mut out = Vec::new();
        Chunks::new().push(memory, &mut out).map(|()| out)
    };
    memory.par_chunks(4 * CHUNK_LEN).map(chunks).collect()
}

/// Returns true if so many bytes of memory in a stream of `len` bytes take no more room than in a LiME record.
fn shrinks(memory: u64, len: u64) -> bool {
    len + TRAILER_LEN <= memory
}
