//! `kdump`: compressed page by page, as makedumpfile writes it and crash and drgn open it.
//!
//! Layout: `IMPLEMENTATION` and `diskdump_mod.h` in makedumpfile, version 6 of the header: a block
//! each for the header and the sub header (notes behind it), two bitmaps of page frames (which are
//! RAM, which are in the file), a descriptor for each page in the file, the pages. Into an output
//! that goes forward only the same is written *flattened*: records that say where their bytes
//! belong (`flattened.rs`).
//!
//! `makedumpfile --split` makes several files of one image: each has all headers and bitmaps, and says in its sub header of
//! which page frames it has the pages. They are opened together ([`open_parts`]). Not files of big-endian machines.

mod codec;
mod dumped;
mod fields;
mod flattened;
mod header;
mod layout;
mod lzo;
mod open;
mod pages;
mod part;
mod placed;
mod write;

use codec::Codec;
use fields::SIGNATURE;
pub use open::open_parts;

use super::row::Format;
use crate::{HoleEncoding, Space};

/// The row that opens all files of the format, whatever they are compressed with.
pub(super) const ZSTD: Format = Format {
    name: fields::NAME,
    summary: "kdump compressed, version 6: each page by itself with zstd; flattened in a pipe",
    opened_by: "crash 8, drgn, makedumpfile",
    hole_encoding: HoleEncoding::Kept,
    holds: |space| space == Space::Physical,
    size: layout::size,
    compresses: true,
    elides_zeros: true,
    writer: |output| Box::new(write::Writer::new(output, Codec::Zstd)),
    open: Some(open::open),
    magics: &[&SIGNATURE, &flattened::SIGNATURE],
};

pub(super) const ZLIB: Format = Format {
    name: "kdump-zlib",
    summary: "kdump with zlib, which every version of its readers knows; slower",
    opened_by: "crash, drgn, makedumpfile",
    writer: |output| Box::new(write::Writer::new(output, Codec::Zlib)),
    magics: &[],
    ..ZSTD
};

pub(super) const SNAPPY: Format = Format {
    name: "kdump-snappy",
    summary: "kdump with snappy, the quickest to write and the largest",
    opened_by: "crash, drgn, makedumpfile, where built with snappy",
    writer: |output| Box::new(write::Writer::new(output, Codec::Snappy)),
    magics: &[],
    ..ZSTD
};
