//! The blocks that memory is cut into: each is compressed by itself, and is a record by itself where it shrinks.

use crate::{CopyOptions, Extent};

/// Memory in one record, as a rule: what is read at a time, so that it is compressed where it lies.
pub(super) const BLOCK_LEN: u64 = CopyOptions::DEFAULT_READ_SIZE as u64;
/// Memory in one record at most. AVML writes 16 MiB and reads any length; this much is kept until it shrinks.
pub(super) const MAX_RECORD_LEN: u64 = 32 << 20;

/// The parts of a span that stand in a record each: cut at multiples of [`BLOCK_LEN`], as reads are.
pub(super) fn blocks(span: Extent) -> impl Iterator<Item = Extent> {
    let mut at = span.start();
    std::iter::from_fn(move || {
        let block = span.contains(at).then(|| block_at(span, at))?;
        at = block.end();
        Some(block)
    })
}

/// The part that has `addr`, which lies in `span`.
pub(super) fn block_at(span: Extent, addr: u64) -> Extent {
    let one = Extent::with_len(addr, 1).map(|byte| byte.align_outward(BLOCK_LEN));
    one.ok().and_then(|block| block.intersection(span)).unwrap_or(span)
}
