//! The scan: memory is read in blocks, searched by all CPUs at once, and the results are delivered in ascending order
//! of addresses.
//!
//! A [`Look`] says what to search for. Everything in this crate that searches memory is one, and calls [`scan`]; a
//! search of your own is one too. The memory in use is one block and its results for each thread, whatever there is to
//! scan.
//!
//! Neighbouring memory is one stretch, wherever blocks, reads and regions end: the bytes of a part have others around
//! them, so what lies across a border is found, and found once. Nothing lies across a hole.

mod cut;
mod flow;
mod options;
mod part;
mod pool;
mod summary;
pub(crate) mod turns;

pub use flow::{Flow, ScanError};
pub use options::Options;
pub use part::{Content, Look, Part, Window};
pub use pool::{Deliver, scan};
pub use summary::Summary;

#[cfg(test)]
mod tests;
