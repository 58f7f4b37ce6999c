//! The constants of kdump files: marks, lengths, and offsets of the headers' fields (`diskdump_mod.h` in makedumpfile).

/// The name of the format, whatever its pages are compressed with.
pub(super) const NAME: &str = "kdump";
/// `KDUMP_SIGNATURE`.
pub(super) const SIGNATURE: [u8; 8] = *b"KDUMP   ";
/// `header_version` with 64-bit page frame numbers; the highest there is.
pub(super) const VERSION: u32 = 6;
/// Bytes of `struct disk_dump_header` on 64-bit machines.
pub(super) const HEADER_LEN: usize = 464;
/// Bytes of `struct kdump_sub_header` on 64-bit machines.
pub(super) const SUB_HEADER_LEN: usize = 104;
/// Bytes of `page_desc_t`: offset u64, size u32, flags u32, page_flags u64.
pub(super) const DESCRIPTOR_LEN: u64 = 24;
/// Bytes of a block, which is a page: from the smallest to the largest page of a 64-bit machine.
pub(super) const BLOCK_LENS: std::ops::RangeInclusive<u64> = 4096..=65536;
/// Bytes of a field of `struct new_utsname`.
pub(super) const UTS_LEN: usize = 65;

/// The text for a `utsname.version` that is not known.
pub(super) const NO_VERSION: &str = "unknown";
/// `DUMP_DH_COMPRESSED_INCOMPLETE`: the status of a file that lacks pages it should have.
pub(super) const INCOMPLETE: u32 = 0x8;

/// The offsets of the header's fields, in bytes.
pub(super) mod at {
    pub(in crate::format::kdump) const VERSION: usize = 8;
    pub(in crate::format::kdump) const SYSNAME: usize = 12;
    pub(in crate::format::kdump) const NODENAME: usize = SYSNAME + super::UTS_LEN;
    pub(in crate::format::kdump) const RELEASE: usize = NODENAME + super::UTS_LEN;
    pub(in crate::format::kdump) const UTS_VERSION: usize = RELEASE + super::UTS_LEN;
    pub(in crate::format::kdump) const MACHINE: usize = UTS_VERSION + super::UTS_LEN;
    /// `struct timeval`: seconds and microseconds since 1970, 8 bytes each.
    pub(in crate::format::kdump) const TIMESTAMP: usize = 408;
    pub(in crate::format::kdump) const STATUS: usize = 424;
    pub(in crate::format::kdump) const BLOCK_SIZE: usize = 428;
    pub(in crate::format::kdump) const SUB_HDR_SIZE: usize = 432;
    pub(in crate::format::kdump) const BITMAP_BLOCKS: usize = 436;
    pub(in crate::format::kdump) const MAX_MAPNR: usize = 440;
    pub(in crate::format::kdump) const NR_CPUS: usize = 460;
}

/// The offsets of the sub header's fields in it, in bytes.
pub(super) mod sub {
    pub(in crate::format::kdump) const PHYS_BASE: usize = 0;
    pub(in crate::format::kdump) const SPLIT: usize = 12;
    pub(in crate::format::kdump) const OFFSET_VMCOREINFO: usize = 32;
    pub(in crate::format::kdump) const OFFSET_NOTE: usize = 48;
    /// Since version 6; the 32-bit fields of versions before stand at 16 and 24, a word of 64 bits each.
    pub(in crate::format::kdump) const START_PFN: usize = 16;
    pub(in crate::format::kdump) const END_PFN: usize = 24;
    pub(in crate::format::kdump) const START_PFN_64: usize = 80;
    pub(in crate::format::kdump) const END_PFN_64: usize = 88;
    pub(in crate::format::kdump) const MAX_MAPNR_64: usize = 96;
}
