//! The sources of physical memory: a file each, and a line each in [`SOURCES`].

mod descriptors;
pub(crate) mod device;
pub(crate) mod exclude;
pub(crate) mod kcore;
mod ram;
pub(crate) mod reserved;
mod source;

pub use source::Source;
pub(crate) use source::{KernelSegments, Physical, trial};

/// Every source there is, best first. Programs derive the names that a user may choose
/// from, and their help, from it; so does the preflight.
pub static SOURCES: &[Source] = &[kcore::SOURCE, device::CRASH, device::MEM];
