//! Notes: what a PT_NOTE segment holds, read and written.

use object::LittleEndian as LE;
use object::elf::NoteHeader64;
use object::pod;

/// A note of a core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// Its name, without the NUL.
    pub name: &'a [u8],
    /// Its type, which means something together with the name.
    pub kind: u32,
    /// Its content.
    pub descriptor: &'a [u8],
}

/// The notes in the content of a PT_NOTE segment, up to the first that is damaged.
pub fn notes(mut rest: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let (header, after) = pod::from_bytes::<NoteHeader64<LE>>(rest).ok()?;
        let name_len = header.n_namesz.get(LE) as usize;
        let desc_len = header.n_descsz.get(LE) as usize;
        let desc_at = name_len.checked_next_multiple_of(4)?;
        let name = after.get(..name_len)?;
        let descriptor = after.get(desc_at..desc_at.checked_add(desc_len)?)?;
        rest = after.get(desc_at + desc_len.next_multiple_of(4)..).unwrap_or(&[]);
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        Some(Note { name, kind: header.n_type.get(LE).0, descriptor })
    })
}

/// A note (gABI chapter 5): name and descriptor, each padded to 4 bytes; `namesz` counts the NUL.
pub fn note(name: &str, kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend((name.len() as u32 + 1).to_le_bytes());
    note.extend((descriptor.len() as u32).to_le_bytes());
    note.extend(kind.to_le_bytes());
    for part in [[name.as_bytes(), b"\0"].concat().as_slice(), descriptor] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}
