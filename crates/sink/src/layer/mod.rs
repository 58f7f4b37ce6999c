//! Layers: sinks around a sink that hash, compress or count what passes.
//!
//! A layer passes on gaps and bytes that are written over where that makes sense. Committing or aborting it does the same to the
//! sink inside, and dropping it drops the sink inside.

mod compress;
mod count;
mod hash;
#[cfg(test)]
mod tests;

pub use compress::Compress;
pub use count::Count;
pub use hash::Hash;
