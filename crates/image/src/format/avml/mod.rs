//! `avml`: AVML's compressed records: LiME's, but with another magic, version 2, and the bytes as a stream of snappy frames.
//!
//! Layout: `src/image.rs` of AVML. A record is LiME's header of 32 bytes with the magic `AVML` (0x4C4D5641) and version 2, then one stream in
//! snappy's framing format (`framing_format.txt` of snappy: chunks of a type u8, a length u24, a masked CRC-32C and at most 64 KiB of
//! memory), then the length of that stream as u64. LiME's own records may stand between them, and AVML takes both.

mod chunks;
mod pack;
mod read;
mod records;
mod search;
mod write;

pub(super) use read::open;

use super::{Format, HoleEncoding, lime};
use crate::{CopyOptions, Extent, Space};

pub(super) const FORMAT: Format = Format {
    name: "avml",
    summary: "AVML version 2: LiME's records, compressed with snappy",
    opened_by: "AVML, Volatility 3",
    hole_encoding: HoleEncoding::Gaps,
    holds: |space| space == Space::Physical,
    // The most is a LiME record for every block.
    size: |plan| {
        let blocks = lime::spans(plan).iter().map(|span| span.len() / BLOCK_LEN + 2).sum::<u64>();
        lime::spans(plan).total() + blocks * lime::HEADER_LEN
    },
    compresses: true,
    elides_zeros: false,
    writer: |output| Box::new(write::Writer::new(output)),
    open: Some(open),
    magics: &[&MAGIC],
};

/// The magic, as it stands in the file.
const MAGIC: [u8; 4] = *b"AVML";
const VERSION: u32 = 2;
/// Memory in one record, as a rule: what is read at a time, so that it is compressed where it lies.
const BLOCK_LEN: u64 = CopyOptions::DEFAULT_READ_SIZE as u64;
/// Memory in one record at most. AVML writes 16 MiB and reads any length; this much is kept until it shrinks.
const MAX_RECORD_LEN: u64 = 32 << 20;
/// Memory in one chunk at most (`framing_format.txt`, 4.2).
const CHUNK_LEN: usize = 64 << 10;
/// What a stream begins with: a chunk of type 0xff.
const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";
/// The types of chunks with memory in them.
const COMPRESSED: u8 = 0;
const STORED: u8 = 1;
/// Chunks of these types may be skipped; of those between, not.
const FIRST_SKIPPABLE: u8 = 0x80;
/// The length of the stream, after it.
const TRAILER_LEN: u64 = 8;

/// The parts of a span that stand in a record each: cut at multiples of [`BLOCK_LEN`], as reads are.
fn blocks(span: Extent) -> impl Iterator<Item = Extent> {
    let mut at = span.start();
    std::iter::from_fn(move || {
        let block = span.contains(at).then(|| block_at(span, at))?;
        at = block.end();
        Some(block)
    })
}

/// The part that has `addr`, which lies in `span`.
fn block_at(span: Extent, addr: u64) -> Extent {
    let one = Extent::with_len(addr, 1).map(|byte| byte.align_outward(BLOCK_LEN));
    one.ok().and_then(|block| block.intersection(span)).unwrap_or(span)
}
