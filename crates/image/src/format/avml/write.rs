//! The writer: a block of memory is gathered, compressed by all CPUs, and written. One that does not shrink becomes a LiME record:
//! Volatility 3 never ends reading a stream that is longer than its memory.

use std::collections::VecDeque;
use std::io::{self, Write};

use rayon::prelude::*;
use snap::write::FrameEncoder;

use super::super::{ImageWriter, Output, lime};
use super::{CHUNK_LEN, IDENTIFIER, MAGIC, VERSION, blocks};
use crate::{Chunk, Content, Extent, Plan};

pub(super) struct Writer<'a> {
    output: &'a mut dyn Output,
    /// Blocks not begun yet.
    ahead: VecDeque<Extent>,
    /// The block that is being gathered.
    block: Option<Extent>,
    /// Its memory so far.
    memory: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        Self { output, ahead: VecDeque::new(), block: None, memory: Vec::new() }
    }

    /// Writes the present block, filled up with zeros, and begins the next; whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        if let Some(block) = self.block.take() {
            self.memory.resize(block.len() as usize, 0);
            write_block(self.output, block, &self.memory)?;
            self.memory.clear();
        }
        self.block = self.ahead.pop_front();
        Ok(self.block.is_some())
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
        Ok(())
    }
}

fn write_block(output: &mut dyn Output, block: Extent, memory: &[u8]) -> io::Result<()> {
    let chunks: io::Result<Vec<Vec<u8>>> = memory.par_chunks(CHUNK_LEN).map(frame).collect();
    let chunks = chunks?;
    let len = IDENTIFIER.len() + chunks.iter().map(Vec::len).sum::<usize>();
    if len >= memory.len() {
        output.write_all(&lime::header(block))?;
        return output.write_all(memory);
    }
    output.write_all(&lime::record(MAGIC, VERSION, block))?;
    output.write_all(&IDENTIFIER)?;
    for chunk in &chunks {
        output.write_all(chunk)?;
    }
    output.write_all(&(len as u64).to_le_bytes())
}

/// One chunk of a stream.
fn frame(memory: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = FrameEncoder::new(Vec::with_capacity(memory.len() + 64));
    encoder.write_all(memory)?;
    let mut stream = encoder.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    stream.drain(..IDENTIFIER.len());
    Ok(stream)
}
