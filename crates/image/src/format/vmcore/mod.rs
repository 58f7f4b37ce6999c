//! `elf`: an ELF64 core of a machine (a vmcore), as crash, drgn and Volatility open it.
//!
//! The layout of ELF files is in [`crate::elf`]; further demands of readers are described in `write.rs`.
//! Not the cores of processes: `core`.

mod notes;
mod read;
mod write;

use super::row::Format;
use crate::{HoleEncoding, Space, elf};
pub(super) use notes::machine_notes;

pub(super) const FORMAT: Format = Format {
    name: elf::NAME,
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
