//! The threads of a scan. Each takes the next block, reads and searches it, and delivers the results when it is its turn.
//!
//! A thread waits only for blocks before its own, which other threads have taken, so nothing can stall. It has one
//! buffer, so memory is bounded.

use std::io;
use std::iter::Zip;
use std::ops::RangeFrom;
use std::sync::{Mutex, PoisonError};
use std::thread;

use memdump_image::blocks::{Block, Blocks, Piece, read_block};
use memdump_image::buffer::Buffer;
use memdump_image::{CopyError, Hole, View};

use super::cut::{Cut, Cutter, Tail};
use super::flow::{Flow, ScanError};
use super::options::Options;
use super::part::{Content, Look, Part};
use super::summary::Summary;
use super::turns::Line;

/// The receiver of the results: each part in ascending order, and what was found in it. Any thread may call it, one at a
/// time.
pub type Deliver<'a, Found> = &'a mut (dyn FnMut(&Part<'_>, Found) -> io::Result<Flow> + Send);

/// Searches the memory of `view` and delivers what was found, until all is searched or the receiver stops it.
///
/// # Errors
/// When the source fails as a whole, or `deliver` does.
pub fn scan<L: Look>(
    view: &View<'_>,
    options: &Options,
    look: &L,
    deliver: Deliver<'_, L::Found>,
) -> Result<Summary, ScanError> {
    let block_len = options.block_len.max(1);
    let pool = Pool {
        view,
        block_len,
        look,
        blocks: Mutex::new(Blocks::of_view(view, block_len as u64).zip(0..)),
        tails: Line::new(Tail::default()),
        turns: Line::new(Delivery {
            deliver,
            summary: Summary::default(),
            flow: Ok(Flow::Continue),
        }),
    };
    thread::scope(|scope| {
        for _ in 1..options.threads {
            scope.spawn(|| pool.work());
        }
        pool.work();
    });
    let tail = pool.tails.into_inner();
    let mut delivery = pool.turns.into_inner();
    if delivery.goes_on() {
        let mut cutter = Cutter::new(look.reach(), tail);
        cutter.end_stretch();
        for cut in &cutter.take().0 {
            let part = cut.part(&[]);
            let found = look.look(&part);
            delivery.part(&part, found);
        }
    }
    delivery.flow.map(|_| delivery.summary)
}

struct Pool<'a, L: Look> {
    view: &'a View<'a>,
    block_len: usize,
    look: &'a L,
    blocks: Mutex<Zip<Blocks<'a>, RangeFrom<u64>>>,
    /// The rest of the block before.
    tails: Line<Tail>,
    turns: Line<Delivery<'a, L::Found>>,
}

impl<L: Look> Pool<'_, L> {
    /// Works until no blocks are left, or no more are wanted.
    fn work(&self) {
        let mut buffer = Buffer::new(self.block_len);
        // Should this thread panic, the others do not wait for it.
        let leaving = Leaving(self);
        loop {
            let next = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((block, sequence)) = next else { break };
            let read = block.map_err(scan_error).and_then(|block| self.read(&block, &mut buffer));
            let Some(mut tail) = self.tails.wait(sequence) else { break };
            let mut cutter = Cutter::new(self.look.reach(), std::mem::take(&mut tail.value));
            let read = read.map(|pieces| cutter.block(&pieces, &buffer));
            let (cuts, rest) = cutter.take();
            tail.value = rest;
            self.tails.pass(tail);

            let part = |cut: &Cut| self.look.look(&cut.part(&buffer));
            let found: Vec<L::Found> = cuts.iter().map(part).collect();
            let Some(mut turn) = self.turns.wait(sequence) else { break };
            for (cut, found) in cuts.iter().zip(found) {
                turn.value.part(&cut.part(&buffer), found);
            }
            if let (Err(error), true) = (read, turn.value.goes_on()) {
                turn.value.flow = Err(error);
            }
            if !turn.value.goes_on() {
                drop(turn);
                break self.close();
            }
            self.turns.pass(turn);
        }
        std::mem::forget(leaving);
    }

    fn read(&self, block: &Block, buffer: &mut Buffer) -> Result<Vec<Piece>, ScanError> {
        read_block(self.view.space(), block, buffer, self.block_len, self.view.page_size())
            .map_err(|source| ScanError::Read { addr: block.span.start(), source })
    }

    fn close(&self) {
        self.tails.close();
        self.turns.close();
    }
}

/// Lets the other threads go when one ends before its time.
struct Leaving<'a, 'b, L: Look>(&'a Pool<'b, L>);

impl<L: Look> Drop for Leaving<'_, '_, L> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn scan_error(error: CopyError) -> ScanError {
    match error {
        CopyError::Read { addr, source } => ScanError::Read { addr, source },
        error => ScanError::Read { addr: 0, source: io::Error::other(error) },
    }
}

/// The receiver of the parts, and what was seen so far.
struct Delivery<'a, Found> {
    deliver: Deliver<'a, Found>,
    summary: Summary,
    /// The receiver's last answer, or what went wrong.
    flow: Result<Flow, ScanError>,
}

impl<Found> Delivery<'_, Found> {
    fn goes_on(&self) -> bool {
        matches!(self.flow, Ok(Flow::Continue))
    }

    fn part(&mut self, part: &Part<'_>, found: Found) {
        if !self.goes_on() {
            return;
        }
        let len = part.extent.len();
        match part.content {
            Content::Bytes(_) => self.summary.bytes += len,
            Content::Zero => self.summary.zero += len,
            Content::Hole(cause) => {
                self.summary.holes.add(Hole { extent: part.extent, cause });
            }
        }
        self.flow = (self.deliver)(part, found).map_err(ScanError::Deliver);
    }
}
