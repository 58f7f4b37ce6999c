//! `core`: an ELF core of a process, as gdb, lldb and drgn open it.
//!
//! It has what the kernel's own dump has, in its order (`fs/binfmt_elf.c`): a PT_NOTE, then a PT_LOAD
//! for every mapping, those that are left out too. A second PT_NOTE at the end holds the record of
//! the copy: what is known only when it is over. Not the cores of machines: `elf`.

mod fields;
mod kinds;
mod layout;
mod notes;
mod read;
mod write;

use super::row::Format;
use crate::{HoleEncoding, Space};
pub use layout::RECORD_LEN;
pub(super) use read::{from_headers, is_process};

pub(super) const FORMAT: Format = Format {
    name: read::NAME,
    summary: "ELF core of a process: registers, auxv, files, a segment for each mapping",
    opened_by: "gdb, lldb, drgn, eu-stack",
    hole_encoding: HoleEncoding::Gaps,
    holds: |space| matches!(space, Space::Process(_)),
    size: |plan| layout::Layout::new(plan).size,
    compresses: false,
    elides_zeros: false,
    writer: |output| Box::new(write::Writer::new(output)),
    open: Some(read::open),
    // The magic of all ELF files is the row `elf`'s, which tells them apart by their notes.
    magics: &[],
};
