//! The scan: memory is read in blocks and looked at by all CPUs at once, and what was found is
//! handed on in the order of addresses.
//!
//! Not about what is looked for (a [`Look`]), and not about how it is shown. Memory in use is a
//! block and what was found in it for each thread, whatever there is to scan.
//!
//! Neighbouring memory is one stretch here, wherever blocks, reads and regions end: a part's bytes
//! have others around them, so that what lies across a border is found once. Nothing lies across
//! a hole.

mod cut;
mod pool;
pub(crate) mod turns;

use std::io;
use std::ops::Range;

use memdump_image::{AddressSpace, Cause, Extent, HoleList, Plan};

/// What is looked for.
pub trait Look: Sync {
    /// What is found in a part, ready to be handed on.
    type Found: Send;

    /// How many bytes before and after an address have to be seen to tell whether something begins
    /// there. Small beside a block.
    fn reach(&self) -> usize;

    /// Looks at a part. Many threads do so at once, in no order.
    fn look(&self, part: &Part<'_>) -> Self::Found;
}

/// A part of memory. Parts are disjoint; they are handed on in ascending order.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The addresses that it stands for: what begins at one of them is found in this part alone.
    pub extent: Extent,
    /// What is there.
    pub content: Content<'a>,
}

/// What a part holds.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Memory that was read.
    Bytes(Window<'a>),
    /// Zeros that were never touched, and were not read. The first and the last of a run stand in
    /// windows, as far as [`Look::reach`] says.
    Zero,
    /// Nothing could be read.
    Hole(Cause),
}

/// Bytes and their surroundings.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    /// The part's bytes; before and after them [`Look::reach`] bytes, or as many as there are up to
    /// the next hole.
    pub bytes: &'a [u8],
    /// Where in `bytes` the part's own begin and end. Where it begins at 0, or ends with `bytes`,
    /// the stretch of memory does so too (unless the reach is 0, which shows nothing of what is around).
    pub own: Range<usize>,
    /// The address of the first of `bytes`.
    pub addr: u64,
}

impl Window<'_> {
    /// The address of a byte.
    pub fn addr_of(&self, index: usize) -> u64 {
        self.addr.wrapping_add(index as u64)
    }
}

/// How to scan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that read and look, at least 1.
    pub threads: usize,
    /// Bytes in a block, at least 1.
    pub block_len: usize,
}

impl Options {
    /// Fits into a CPU's own cache, and is large beside the cost of a read.
    pub const DEFAULT_BLOCK_LEN: usize = 1 << 20;
    /// More would mostly wait for memory.
    const MAX_DEFAULT_THREADS: usize = 16;
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(Self::MAX_DEFAULT_THREADS);
        Self { threads, block_len: Self::DEFAULT_BLOCK_LEN }
    }
}

/// What a scan has seen.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that were known to be zero without being read.
    pub zero: u64,
    /// Memory that could not be read.
    pub holes: HoleList,
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The source failed as a whole.
    #[error("cannot read memory at {addr:#x}: {source}")]
    Read {
        /// The start of the block that was being read.
        addr: u64,
        /// Why.
        source: io::Error,
    },
    /// What was found could not be handed on.
    #[error("cannot hand on what was found: {0}")]
    Deliver(#[source] io::Error),
}

/// Looks at the memory that `plan` names, and hands on what was found: `deliver` gets every part in
/// ascending order, and what was found in it. It may be called by any thread, by one at a time.
///
/// What was seen is in the summary, also when the scan ends early.
pub fn scan<L: Look>(
    space: &dyn AddressSpace,
    plan: &Plan,
    options: &Options,
    look: &L,
    deliver: Deliver<'_, L::Found>,
) -> (Summary, Result<(), ScanError>) {
    pool::run(space, plan, options, look, deliver)
}

/// See [`scan`]. An error ends the scan.
pub type Deliver<'a, Found> = &'a mut (dyn FnMut(&Part<'_>, Found) -> io::Result<()> + Send);

#[cfg(test)]
mod tests;
