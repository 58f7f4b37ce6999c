//! Strings: runs of characters that can be printed, in the encodings of `strings(1)` and in UTF-8.
//!
//! The result agrees with GNU strings byte for byte. By default [`find`] sends the strings themselves. A [`Collect`] can
//! turn them into something else on many threads at once: into lines of output, or into [counts](crate::text::tally).

mod collect;
mod find;
mod join;
mod options;

pub use collect::{Collect, FoundString, List, Lister};
pub use find::{Event, Sink, find};
pub use options::Options;

#[cfg(test)]
mod tests;
