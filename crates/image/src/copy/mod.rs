//! The copy: the one loop that takes memory out of an address space and hands it to a writer.
//!
//! Reader threads take blocks of the plan, each into a buffer of its own; the calling thread puts
//! them in order and writes. A reader takes a free buffer *before* it takes a block, so the block
//! that is due next always has one and the loop cannot stall. Memory in use is the buffers,
//! whatever the size of the machine.
//!
//! Not about formats, and it decides nothing about what to take: that is the [`Plan`].

mod blocks;
mod narrow;
mod summary;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::buffer::Buffer;
use crate::format::ImageWriter;
use crate::{AddressSpace, Chunk, Content, Extent, Plan};
use blocks::Blocks;
use narrow::{Piece, read_block};
pub use summary::{Summary, Timeline, TimelineEntry, Totals};

/// How to copy.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Bytes asked for by one read, at least 1.
    pub read_size: usize,
    /// Threads that read, at least 1.
    pub readers: usize,
    /// Stop after this many bytes of memory, not counting holes.
    pub limit: Option<u64>,
}

impl CopyOptions {
    /// Below this, throughput falls (4 KiB reads cost 40 %); above it, nothing is gained.
    pub const DEFAULT_READ_SIZE: usize = 1 << 20;
    /// The largest read size: two buffers of it must fit into the 32 MiB that all buffers may take.
    pub const MAX_READ_SIZE: usize = 16 << 20;
    /// What all buffers together may take, in bytes.
    const MAX_BUFFERS_LEN: usize = 32 << 20;
    /// Small reads are gathered in blocks of at least this many bytes, so that threads do not meet
    /// at every one of them.
    const MIN_BLOCK_LEN: usize = 256 << 10;

    /// Bytes in a block: a multiple of the read size.
    fn block_len(&self) -> usize {
        Self::MIN_BLOCK_LEN.next_multiple_of(self.read_size)
    }

    /// Threads to start. No more than there are buffers: when nothing is left to read, each reader
    /// finds that out with a buffer in its hand, and those without would wait for ever.
    fn threads(&self) -> usize {
        self.readers.min(self.buffers())
    }

    /// Buffers to read into: for each reader one to fill and one that is being written.
    fn buffers(&self) -> usize {
        (2 * self.readers + 1).min(Self::MAX_BUFFERS_LEN / self.block_len()).max(2)
    }
}

/// Is told what happens, and may end it.
pub trait Observer {
    /// A chunk has been written. An error ends the copy.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()>;

    /// Asked before each chunk: whether to stop now.
    fn wants_stop(&self) -> bool;
}

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed as a whole.
    #[error("cannot read memory at {addr:#x}: {source}")]
    Read {
        /// The start of the block that was being read.
        addr: u64,
        /// Why.
        source: io::Error,
    },
    /// The output failed.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
    /// The observer failed.
    #[error("cannot record what was taken: {0}")]
    Observe(#[source] io::Error),
    /// The observer asked to stop.
    #[error("stopped on request")]
    Stopped,
}

/// Copies the plan's memory from `space` to `writer`.
///
/// Memory that cannot be read becomes holes of whole pages and the copy goes on. What was taken is
/// in the summary, also when the copy ends early.
pub fn copy(
    space: &dyn AddressSpace,
    plan: &Plan,
    writer: &mut dyn ImageWriter,
    options: &CopyOptions,
    observer: &mut dyn Observer,
) -> (Summary, Result<(), CopyError>) {
    let started = Instant::now();
    let mut delivery =
        Delivery { writer, observer, left: options.limit, summary: Summary::default() };
    let mut result = delivery.writer.begin(plan).map_err(CopyError::Write);
    if result.is_ok() {
        result = thread::scope(|scope| {
            let (free_tx, free_rx) = bounded(options.buffers());
            let (done_tx, done_rx) = bounded(options.buffers());
            for _ in 0..options.buffers() {
                // The channel holds as many, so this cannot fail or block.
                let _ = free_tx.send(Buffer::new(options.block_len()));
            }
            let reading = Reading {
                space,
                options,
                page_size: plan.page_size,
                started,
                blocks: Mutex::new(Blocks::new(plan, options.block_len() as u64).zip(0..)),
            };
            let reading = std::sync::Arc::new(reading);
            for _ in 0..options.threads() {
                let (reading, free_rx, done_tx) =
                    (reading.clone(), free_rx.clone(), done_tx.clone());
                scope.spawn(move || reading.run(&free_rx, &done_tx));
            }
            drop(done_tx);
            // The channels end with this call, and with them the readers, however it ends.
            delivery.run(done_rx, free_tx)
        });
    }
    if result.is_ok() {
        result = delivery.writer.finish().map_err(CopyError::Write);
    }
    delivery.summary.elapsed = started.elapsed();
    (delivery.summary, result)
}

/// A block that was read, or could not be.
struct Block {
    sequence: u64,
    extent: Extent,
    buffer: Buffer,
    pieces: io::Result<Vec<Piece>>,
    timing: TimelineEntry,
}

/// What the reader threads share.
struct Reading<'a> {
    space: &'a dyn AddressSpace,
    options: &'a CopyOptions,
    page_size: u64,
    started: Instant,
    blocks: Mutex<std::iter::Zip<Blocks<'a>, std::ops::RangeFrom<u64>>>,
}

impl Reading<'_> {
    /// Reads blocks until there are none left or nobody wants them.
    fn run(&self, free: &Receiver<Buffer>, done: &Sender<Block>) {
        for mut buffer in free {
            let next = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((extent, sequence)) = next else { break };
            let read_from = self.started.elapsed();
            let pieces = read_block(
                self.space,
                extent,
                &mut buffer[..extent.len() as usize],
                self.options.read_size,
                self.page_size,
            );
            let timing = TimelineEntry { extent, read_from, read_to: self.started.elapsed() };
            if done.send(Block { sequence, extent, buffer, pieces, timing }).is_err() {
                break;
            }
        }
    }
}

/// The writing side.
struct Delivery<'a> {
    writer: &'a mut dyn ImageWriter,
    observer: &'a mut dyn Observer,
    left: Option<u64>,
    summary: Summary,
}

impl Delivery<'_> {
    fn run(&mut self, done: Receiver<Block>, free: Sender<Buffer>) -> Result<(), CopyError> {
        let mut early = BTreeMap::new();
        let mut due = 0;
        for block in done {
            early.insert(block.sequence, block);
            while let Some(block) = early.remove(&due) {
                self.block(&block)?;
                if self.left == Some(0) {
                    return Ok(());
                }
                due += 1;
                // Readers that have nothing left to do are gone; the buffer is then not needed.
                let _ = free.send(block.buffer);
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<(), CopyError> {
        let pieces = match &block.pieces {
            Ok(pieces) => pieces,
            Err(error) => {
                // An `io::Error` is not `Clone`; its number or its text says all it knows.
                let source = match error.raw_os_error() {
                    Some(errno) => io::Error::from_raw_os_error(errno),
                    None => io::Error::new(error.kind(), error.to_string()),
                };
                return Err(CopyError::Read { addr: block.extent.start(), source });
            }
        };
        self.summary.timeline.push(block.timing);
        for piece in pieces {
            let within = (piece.extent.start() - block.extent.start()) as usize;
            let content = match piece.hole {
                None => {
                    let whole = piece.extent.len();
                    let len = self.left.map_or(whole, |left| left.min(whole)) as usize;
                    Content::Bytes(&block.buffer[within..within + len])
                }
                Some(cause) => Content::Hole { len: piece.extent.len(), cause },
            };
            let chunk = Chunk { addr: piece.extent.start(), content };
            if chunk.is_empty() {
                return Ok(());
            }
            if self.observer.wants_stop() {
                return Err(CopyError::Stopped);
            }
            self.writer.chunk(&chunk).map_err(CopyError::Write)?;
            self.summary.add(&chunk);
            self.observer.chunk(&chunk).map_err(CopyError::Observe)?;
            if let (Content::Bytes(bytes), Some(left)) = (content, &mut self.left) {
                *left -= bytes.len() as u64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
