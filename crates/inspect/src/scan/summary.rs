//! The account of a scan.

use memdump_image::HoleList;

/// The memory that a scan has seen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The number of bytes that were known to be zero without being read.
    pub zero: u64,
    /// The memory that could not be read.
    pub holes: HoleList,
}

impl Summary {
    /// Adds what another scan has seen.
    pub fn add(&mut self, other: &Summary) {
        self.bytes += other.bytes;
        self.zero += other.zero;
        self.holes.extend(&other.holes);
    }
}
