//! The parts that memory is searched in.

use std::ops::Range;

use memdump_image::{Cause, Extent};

/// A search: what is looked for in each part of memory.
pub trait Look: Sync {
    /// The results in one part, ready to be delivered.
    type Found: Send;

    /// The number of bytes before and after an address that must be seen to tell if something begins there. Small beside
    /// a block.
    fn reach(&self) -> usize;

    /// Searches one part. Many threads do so at once, in no order.
    fn look(&self, part: &Part<'_>) -> Self::Found;
}

/// A part of memory. Parts are disjoint, and are delivered in ascending order.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The addresses of the part: what begins at one of them is found in this part alone.
    pub extent: Extent,
    /// The content.
    pub content: Content<'a>,
}

/// The content of a part.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Memory that was read.
    Bytes(Window<'a>),
    /// Unpopulated memory: zeros that were not read. The first and the last [`Look::reach`] bytes of a run of them stand
    /// in windows.
    Zero,
    /// Memory that could not be read.
    Hole(Cause),
}

/// Bytes and their surroundings.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    /// The part's bytes, and [`Look::reach`] bytes before and after them; fewer where a hole is nearer.
    pub bytes: &'a [u8],
    /// The range of the part's own bytes in `bytes`. If it begins at 0, or ends where `bytes` ends, the stretch of memory
    /// does so too (unless the reach is 0, which shows nothing of the surroundings).
    pub own: Range<usize>,
    /// The address of the first of `bytes`.
    pub addr: u64,
}

impl Window<'_> {
    /// The address of the byte at `index`.
    pub fn addr_of(&self, index: usize) -> u64 {
        self.addr.wrapping_add(index as u64)
    }
}
