//! The constants of ELF files: marks, and lengths of headers.

/// The physical address of kernel memory that is not contiguous there, as `/proc/kcore` writes it.
pub const NO_PADDR: u64 = u64::MAX;

/// `e_ident` up to `EI_VERSION`: 64-bit, little-endian, version 1.
pub(crate) const IDENT: [u8; 7] = *b"\x7fELF\x02\x01\x01";
/// The same of 32 bits, which is only read.
pub(crate) const IDENT_32: [u8; 7] = *b"\x7fELF\x01\x01\x01";
pub(crate) const EHDR_LEN: u64 = 64;
pub(crate) const PHDR_LEN: u64 = 56;
pub(crate) const SHDR_LEN: u64 = 64;
/// `PN_XNUM`: the number of program headers stands in section header 0's `sh_info`.
pub(crate) const PN_XNUM: u64 = 0xffff;
