//! Runs of characters in a window of memory, by encoding.

mod bytes;
mod run;
mod utf8;
mod wide;

pub(super) use bytes::{Class, byte_runs};
pub(super) use run::{Ends, Run};
pub(super) use utf8::utf8_runs;
pub(super) use wide::wide_runs;
