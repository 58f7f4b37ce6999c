//! The copy: the one loop that takes memory out of an address space and hands it to a writer.
//!
//! Reader threads take blocks of the plan, each into a buffer of its own, and compress them where the
//! format does; the calling thread puts them in order and writes. A reader takes a free buffer *before* it takes a block, so the block
//! that is due next always has one and the loop cannot stall. Memory in use is the buffers,
//! whatever the size of the machine.
//!
//! Not about formats, and it decides nothing about what to take: that is the [`Plan`].

mod blocks;
mod error;
mod narrow;
mod options;
mod summary;
mod until;
mod zeros;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::buffer::Buffer;
use crate::format::{ImageWriter, Packed, Packer};
use crate::{AddressSpace, Chunk, Content, ExtentSet, Plan};
pub use blocks::{Block, Blocks};
pub use error::CopyError;
pub use narrow::{Piece, PieceContent, read_block};
pub use options::CopyOptions;
pub use summary::{Summary, Timeline, TimelineEntry};
use until::Until;

/// An observer of a copy, which may also end it.
pub trait Observer {
    /// A chunk has been written. An error ends the copy.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()>;

    /// Returns true if the copy is to stop now. Asked before each chunk, and while none comes.
    fn wants_stop(&self) -> bool;

    /// Everything that the plan wants [first](Plan::first) has been read and written. Called once,
    /// also when there is no such thing. An error ends the copy.
    fn first_taken(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The last chunk has been written. Gives the record of the copy for the image to keep, where
    /// its format has a place for one; empty where there is none. An error ends the copy.
    fn all_taken(&mut self, _: &Summary) -> io::Result<String> {
        Ok(String::new())
    }
}

/// Copies the plan's memory from `space` to `writer`.
///
/// Memory that cannot be read becomes holes of whole pages and the copy goes on. Holes that the source knows of beforehand
/// become gaps where the format has them, as [`Plan::fitted`] does. What was taken is in the summary, also when the copy
/// ends early.
pub fn copy(
    space: &dyn AddressSpace,
    plan: &Plan,
    writer: &mut dyn ImageWriter,
    options: &CopyOptions,
    observer: &mut dyn Observer,
) -> (Summary, Result<(), CopyError>) {
    let started = Instant::now();
    let plan = match plan.fits(space, writer.hole_encoding()) {
        true => Cow::Borrowed(plan),
        false => Cow::Owned(plan.clone().fitted(space, writer.hole_encoding())),
    };
    let plan = &*plan;
    let mut delivery = Delivery {
        writer,
        observer,
        first: Some(&plan.first),
        left: options.limit,
        summary: Summary::default(),
    };
    let mut result = delivery.writer.begin(plan).map_err(CopyError::Write);
    if result.is_ok() {
        let packer = delivery.writer.packer();
        let space = &Until::new(space);
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
                packer: packer.as_deref(),
                page_size: plan.page_size,
                started,
                blocks: Mutex::new(Blocks::new(space, plan, options.block_len() as u64).zip(0..)),
            };
            let reading = std::sync::Arc::new(reading);
            for _ in 0..options.threads() {
                let (reading, free_rx, done_tx) =
                    (reading.clone(), free_rx.clone(), done_tx.clone());
                scope.spawn(move || reading.run(&free_rx, &done_tx));
            }
            drop(done_tx);
            // The channels end with this call, and with them the readers, however it ends.
            let result = delivery.run(done_rx, free_tx);
            space.end();
            result
        });
    }
    delivery.summary.elapsed = started.elapsed();
    delivery.summary.holes.extend(plan.known_holes());
    if result.is_ok() {
        let record = delivery.observer.all_taken(&delivery.summary).map_err(CopyError::Observe);
        result =
            record.and_then(|record| delivery.writer.finish(&record).map_err(CopyError::Write));
    }
    delivery.summary.elapsed = started.elapsed();
    (delivery.summary, result)
}

/// The time that a block may take before the observer is asked if it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// A block that was read, or the error.
struct Outcome {
    sequence: u64,
    buffer: Buffer,
    result: Result<Read, CopyError>,
}

/// A block that has been read.
struct Read {
    pieces: Vec<Piece>,
    /// The pieces of bytes as the writer's packer has compressed them, in their order; empty if there is no packer.
    packed: VecDeque<Packed>,
    timing: TimelineEntry,
}

/// The state that the reader threads share.
struct Reading<'a> {
    space: &'a dyn AddressSpace,
    options: &'a CopyOptions,
    packer: Option<&'a dyn Packer>,
    page_size: u64,
    started: Instant,
    blocks: Mutex<std::iter::Zip<Blocks<'a>, std::ops::RangeFrom<u64>>>,
}

impl Reading<'_> {
    /// Reads blocks until there are none left or nobody wants them.
    fn run(&self, free: &Receiver<Buffer>, done: &Sender<Outcome>) {
        for mut buffer in free {
            let next = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((block, sequence)) = next else { break };
            let result = block.and_then(|block| self.read(&block, &mut buffer));
            if done.send(Outcome { sequence, buffer, result }).is_err() {
                break;
            }
        }
    }

    fn read(&self, block: &Block, buffer: &mut Buffer) -> Result<Read, CopyError> {
        let read_from = self.started.elapsed();
        let CopyOptions { read_size, .. } = *self.options;
        let pieces = read_block(self.space, block, buffer, read_size, self.page_size)
            .map_err(|source| CopyError::Read { addr: block.span.start(), source })?;
        let pieces = match self.options.no_zeros {
            true => zeros::leave_out(pieces, buffer, self.page_size),
            false => pieces,
        };
        let timing =
            TimelineEntry { extent: block.span, read_from, read_to: self.started.elapsed() };
        let packed = self.packer.map(|packer| {
            let bytes = pieces.iter().filter_map(|piece| match piece.content {
                PieceContent::Bytes(at) => Some((piece.extent, at)),
                PieceContent::Zero | PieceContent::Hole(_) => None,
            });
            bytes
                .map(|(extent, at)| {
                    packer.pack(extent.start(), &buffer[at..at + extent.len() as usize])
                })
                .collect::<io::Result<_>>()
        });
        let packed = packed.transpose().map_err(CopyError::Write)?.unwrap_or_default();
        Ok(Read { pieces, packed, timing })
    }
}

/// The writing side.
struct Delivery<'a> {
    writer: &'a mut dyn ImageWriter,
    observer: &'a mut dyn Observer,
    /// The memory that comes before the rest, while any of it may; see [`Plan::first`].
    first: Option<&'a ExtentSet>,
    left: Option<u64>,
    summary: Summary,
}

impl Delivery<'_> {
    fn run(&mut self, done: Receiver<Outcome>, free: Sender<Buffer>) -> Result<(), CopyError> {
        let mut early = BTreeMap::new();
        let mut due = 0;
        loop {
            let outcome = match done.recv_timeout(PATIENCE) {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) if self.observer.wants_stop() => {
                    return Err(CopyError::Stopped);
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            early.insert(outcome.sequence, outcome);
            while let Some(Outcome { buffer, result, .. }) = early.remove(&due) {
                self.block(result?, &buffer)?;
                if self.left == Some(0) {
                    return Ok(());
                }
                due += 1;
                // Readers that have nothing left to do are gone; the buffer is then not needed.
                let _ = free.send(buffer);
            }
        }
        self.end_first_pass()
    }

    fn block(&mut self, read: Read, buffer: &Buffer) -> Result<(), CopyError> {
        let Read { pieces, mut packed, timing } = read;
        self.summary.timeline.push(timing);
        for piece in pieces {
            let len = piece.extent.len();
            let content = match piece.content {
                PieceContent::Bytes(at) => {
                    let len = self.left.map_or(len, |left| left.min(len)) as usize;
                    Content::Bytes(&buffer[at..at + len])
                }
                PieceContent::Zero => Content::Zero { len },
                PieceContent::Hole(cause) => Content::Hole { len, cause },
            };
            let chunk = Chunk { addr: piece.extent.start(), content };
            if chunk.is_empty() {
                return Ok(());
            }
            if self.observer.wants_stop() {
                return Err(CopyError::Stopped);
            }
            if self.first.is_some_and(|first| first.find(chunk.addr).is_none()) {
                self.end_first_pass()?;
            }
            // What the limit cuts short was packed whole.
            let packed = match piece.content {
                PieceContent::Bytes(_) => packed.pop_front().filter(|_| chunk.len() == len),
                PieceContent::Zero | PieceContent::Hole(_) => None,
            };
            match packed {
                Some(packed) => self.writer.packed(&chunk, packed),
                None => self.writer.chunk(&chunk),
            }
            .map_err(CopyError::Write)?;
            self.summary.add(&chunk);
            self.observer.chunk(&chunk).map_err(CopyError::Observe)?;
            if let (Content::Bytes(bytes), Some(left)) = (content, &mut self.left) {
                *left -= bytes.len() as u64;
            }
        }
        Ok(())
    }

    fn end_first_pass(&mut self) -> Result<(), CopyError> {
        match self.first.take() {
            Some(_) => self.observer.first_taken().map_err(CopyError::Observe),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
