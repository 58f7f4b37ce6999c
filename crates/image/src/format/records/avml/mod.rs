//! `avml`: AVML's compressed records: LiME's, but with another magic, version 2, and the bytes as a stream of snappy frames.
//!
//! Layout: `src/image.rs` of AVML. A record is LiME's header of 32 bytes with the magic `AVML` (0x4C4D5641) and version 2, then one stream in
//! snappy's framing format (`framing_format.txt` of snappy: chunks of a type u8, a length u24, a masked CRC-32C and at most 64 KiB of
//! memory), then the length of that stream as u64. LiME's own records may stand between them, and AVML takes both.

mod blocks;
mod pack;
mod write;

use super::super::row::Format;
use super::header::{self, AVML_MAGIC, HEADER_LEN, spans};
use super::read;
use crate::{HoleEncoding, Space};
use blocks::BLOCK_LEN;

pub(in crate::format) const FORMAT: Format = Format {
    name: header::AVML,
    summary: "AVML version 2: LiME's records, compressed with snappy",
    opened_by: "AVML, Volatility 3",
    hole_encoding: HoleEncoding::Gaps,
    holds: |space| space == Space::Physical,
    // The most is a LiME record for every block.
    size: |plan| {
        let blocks = spans(plan).iter().map(|span| span.len() / BLOCK_LEN + 2).sum::<u64>();
        spans(plan).total() + blocks * HEADER_LEN
    },
    compresses: true,
    elides_zeros: false,
    writer: |output| Box::new(write::Writer::new(output)),
    open: Some(read::open),
    magics: &[&AVML_MAGIC],
};
