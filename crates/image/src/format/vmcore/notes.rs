//! The notes of a machine, as `elf` and `kdump` keep them.

use crate::Facts;
use crate::elf::note;

/// The source's own notes; VMCOREINFO is added where they lack it, as kernels before 4.19 do.
pub(in crate::format) fn machine_notes(facts: &Facts) -> Vec<u8> {
    let mut notes = facts.elf_notes.clone().unwrap_or_default();
    let has_it = notes.windows(11).any(|window| window == b"VMCOREINFO\0");
    if let (false, Some(info)) = (has_it, &facts.vmcoreinfo) {
        notes.resize(notes.len().next_multiple_of(4), 0);
        notes.extend(note("VMCOREINFO", 0, info.as_bytes()));
    }
    notes
}
