//! `elf`: an ELF64 core of a machine, as crash, drgn and Volatility open it.
//!
//! [`ElfCore`] reads the headers of any such file, `/proc/kcore` too. Not the cores of processes.
//!
//! Layout: System V ABI, gABI chapters 4 and 5; core files: `fs/proc/kcore.c` in Linux. What the
//! readers want beyond that is said where it is written, in `write.rs`.

mod read;
mod write;

pub use read::{ElfCore, Note, Segment, notes};
pub(super) use write::machine_notes;
pub use write::note;

use super::row::Format;
use crate::{HoleEncoding, Space};

pub(super) const FORMAT: Format = Format {
    name: "elf",
    summary: "ELF64 vmcore: program headers with physical and virtual addresses, VMCOREINFO",
    opened_by: "crash, drgn, gdb, Volatility 3",
    hole_encoding: HoleEncoding::Gaps,
    holds: |space| matches!(space, Space::Physical | Space::Kernel),
    size: write::size,
    compresses: false,
    elides_zeros: false,
    writer: |output| Box::new(write::Writer::new(output)),
    open: Some(read::open),
    magics: &[b"\x7fELF\x02\x01", b"\x7fELF\x01\x01"],
};

/// The physical address of kernel memory that is not contiguous there, as `/proc/kcore` writes it.
pub const NO_PADDR: u64 = u64::MAX;

/// `e_ident` up to `EI_VERSION`: 64-bit, little-endian, version 1.
const IDENT: [u8; 7] = *b"\x7fELF\x02\x01\x01";
/// The same of 32 bits, which is only read.
const IDENT_32: [u8; 7] = *b"\x7fELF\x01\x01\x01";
const EHDR_LEN: u64 = 64;
const PHDR_LEN: u64 = 56;
const SHDR_LEN: u64 = 64;
/// `PN_XNUM`: the number of program headers stands in section header 0's `sh_info`.
const PN_XNUM: u64 = 0xffff;
