//! What will be taken, decided before the first read.

use crate::{Facts, MemoryMap};

/// The regions to copy, in order, and what the image should say of the machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to take. It lies within the source's map.
    pub map: MemoryMap,
    /// The page size of the machine that the memory is of, in bytes: a power of two.
    pub page_size: u64,
    /// What the image carries beside bytes.
    pub facts: Facts,
}
