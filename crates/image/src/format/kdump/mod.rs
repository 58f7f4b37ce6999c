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
mod flattened;
mod header;
mod layout;
mod lzo;
mod open;
mod pages;
mod part;
mod target;
mod write;

use codec::Codec;
pub use open::open_parts;

use super::row::Format;
use crate::{HoleEncoding, Space};

/// The row that opens all files of the format, whatever they are compressed with.
pub(super) const ZSTD: Format = Format {
    name: "kdump",
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

/// `KDUMP_SIGNATURE`.
const SIGNATURE: [u8; 8] = *b"KDUMP   ";
/// `header_version` with 64-bit page frame numbers; the highest there is.
const VERSION: u32 = 6;
/// Bytes of `struct disk_dump_header` on 64-bit machines.
const HEADER_LEN: usize = 464;
/// Bytes of `struct kdump_sub_header` on 64-bit machines.
const SUB_HEADER_LEN: usize = 104;
/// Bytes of `page_desc_t`: offset u64, size u32, flags u32, page_flags u64.
const DESCRIPTOR_LEN: u64 = 24;
/// Bytes of a block, which is a page: from the smallest to the largest page of a 64-bit machine.
const BLOCK_LENS: std::ops::RangeInclusive<u64> = 4096..=65536;
/// Bytes of a field of `struct new_utsname`.
const UTS_LEN: usize = 65;

/// What stands for `utsname.version` where it is not known.
const NO_VERSION: &str = "unknown";
/// `DUMP_DH_COMPRESSED_INCOMPLETE`: the status of a file that lacks pages it should have.
const INCOMPLETE: u32 = 0x8;

/// Where the fields of the header stand, in bytes.
mod at {
    pub(super) const VERSION: usize = 8;
    pub(super) const SYSNAME: usize = 12;
    pub(super) const NODENAME: usize = SYSNAME + super::UTS_LEN;
    pub(super) const RELEASE: usize = NODENAME + super::UTS_LEN;
    pub(super) const UTS_VERSION: usize = RELEASE + super::UTS_LEN;
    pub(super) const MACHINE: usize = UTS_VERSION + super::UTS_LEN;
    /// `struct timeval`: seconds and microseconds since 1970, 8 bytes each.
    pub(super) const TIMESTAMP: usize = 408;
    pub(super) const STATUS: usize = 424;
    pub(super) const BLOCK_SIZE: usize = 428;
    pub(super) const SUB_HDR_SIZE: usize = 432;
    pub(super) const BITMAP_BLOCKS: usize = 436;
    pub(super) const MAX_MAPNR: usize = 440;
    pub(super) const NR_CPUS: usize = 460;
}

/// Where the fields of the sub header stand in it, in bytes.
mod sub {
    pub(super) const PHYS_BASE: usize = 0;
    pub(super) const SPLIT: usize = 12;
    pub(super) const OFFSET_VMCOREINFO: usize = 32;
    pub(super) const OFFSET_NOTE: usize = 48;
    /// Since version 6; the 32-bit fields of versions before stand at 16 and 24, a word of 64 bits each.
    pub(super) const START_PFN: usize = 16;
    pub(super) const END_PFN: usize = 24;
    pub(super) const START_PFN_64: usize = 80;
    pub(super) const END_PFN_64: usize = 88;
    pub(super) const MAX_MAPNR_64: usize = 96;
}
