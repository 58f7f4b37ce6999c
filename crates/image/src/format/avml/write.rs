//! The writer: a block of memory is gathered and compressed by all CPUs, and becomes a record.
//!
//! Volatility 3 never ends reading a stream that is as long as its memory, and takes no LiME record in such a file. So a block that
//! does not shrink is put into one record with those about it. Only a longer run than [`MAX_RECORD_LEN`] of memory that does not
//! shrink becomes a LiME record, which AVML reads.

use std::collections::VecDeque;
use std::io::{self, Write};

use rayon::prelude::*;
use snap::write::FrameEncoder;

use super::super::{ImageWriter, Output, lime};
use super::{CHUNK_LEN, IDENTIFIER, MAGIC, MAX_RECORD_LEN, TRAILER_LEN, VERSION, blocks};
use crate::{Chunk, Content, Extent, Plan};

pub(super) struct Writer<'a> {
    output: &'a mut dyn Output,
    /// Blocks not begun yet.
    ahead: VecDeque<Extent>,
    /// The block that is being gathered.
    block: Option<Extent>,
    /// Its memory so far.
    memory: Vec<u8>,
    /// What is compressed and not written.
    record: Option<Record>,
}

/// Blocks that touch, compressed.
struct Record {
    extent: Extent,
    chunks: Vec<Vec<u8>>,
    /// The memory itself, for as long as it does not shrink.
    memory: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        Self { output, ahead: VecDeque::new(), block: None, memory: Vec::new(), record: None }
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

    /// Writes the record before, or makes it one with the next.
    fn put_record(&mut self, mut next: Record) -> io::Result<()> {
        match self.record.take() {
            Some(before) if before.wants(&next) => next = before.joined(next),
            Some(before) => before.write(self.output)?,
            None => {}
        }
        self.record = Some(next);
        Ok(())
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
            self.memory.resize((here.start() - block.start()) as usize, 0);
            match bytes {
                Some(bytes) => self.memory.extend_from_slice(&bytes[done..done + now]),
                None => self.memory.resize(self.memory.len() + now, 0),
            }
            rest = after;
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
        self.record.take().map_or(Ok(()), |record| record.write(self.output))
    }
}

impl Record {
    fn new(extent: Extent, memory: &[u8]) -> io::Result<Self> {
        let chunks: io::Result<_> = memory.par_chunks(CHUNK_LEN).map(frame).collect();
        let mut record = Self { extent, chunks: chunks?, memory: Vec::new() };
        if !record.shrinks() {
            record.memory = memory.to_vec();
        }
        Ok(record)
    }

    /// Bytes of the stream.
    fn len(&self) -> u64 {
        IDENTIFIER.len() as u64 + self.chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>()
    }

    /// Whether the file is no longer with it than with a LiME record.
    fn shrinks(&self) -> bool {
        self.len() + TRAILER_LEN <= self.extent.len()
    }

    /// Whether the next one is to be one with this: both shrink then, or neither did before.
    fn wants(&self, next: &Self) -> bool {
        let len = self.extent.len() + next.extent.len();
        let stream = self.len() + next.len() - IDENTIFIER.len() as u64;
        self.extent.end() == next.extent.start()
            && len <= MAX_RECORD_LEN
            && match (self.shrinks(), next.shrinks()) {
                (true, true) => false,
                (false, false) => true,
                _ => stream + TRAILER_LEN <= len,
            }
    }

    fn joined(self, next: Self) -> Self {
        let mut joined = Self { extent: self.extent.hull(next.extent), ..self };
        joined.chunks.extend(next.chunks);
        match joined.shrinks() {
            true => joined.memory = Vec::new(),
            false => joined.memory.extend_from_slice(&next.memory),
        }
        joined
    }

    fn write(&self, output: &mut dyn Output) -> io::Result<()> {
        if !self.shrinks() {
            output.write_all(&lime::header(self.extent))?;
            return output.write_all(&self.memory);
        }
        output.write_all(&lime::record(MAGIC, VERSION, self.extent))?;
        output.write_all(&IDENTIFIER)?;
        for chunk in &self.chunks {
            output.write_all(chunk)?;
        }
        output.write_all(&self.len().to_le_bytes())
    }
}

/// One chunk of a stream.
fn frame(memory: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = FrameEncoder::new(Vec::with_capacity(memory.len() + 64));
    encoder.write_all(memory)?;
    let mut stream = encoder.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    stream.drain(..IDENTIFIER.len());
    Ok(stream)
}
