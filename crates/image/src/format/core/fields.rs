//! Little-endian fields of the width of a process's words, as ELF headers and notes have them.

use crate::Arch;

/// The width of the fields, which is that of the process's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Elf32,
    Elf64,
}

impl Class {
    pub(super) fn of(arch: Arch) -> Self {
        if arch.pointer_size() == 4 { Class::Elf32 } else { Class::Elf64 }
    }

    pub(super) fn header_len(self) -> u64 {
        if self == Class::Elf64 { 64 } else { 52 }
    }

    pub(super) fn program_header_len(self) -> u64 {
        if self == Class::Elf64 { 56 } else { 32 }
    }

    pub(super) fn section_header_len(self) -> u64 {
        if self == Class::Elf64 { 64 } else { 40 }
    }

    /// Bytes in an address, an offset, a `long`.
    pub(super) fn word_len(self) -> usize {
        if self == Class::Elf64 { 8 } else { 4 }
    }
}

/// The fields of a program header, but its type and `p_paddr`, which is 0.
#[derive(Default)]
pub(super) struct Header {
    pub(super) flags: u32,
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) file_size: u64,
    pub(super) memory_size: u64,
    pub(super) align: u64,
}

/// Little-endian fields, one after another.
pub(super) struct Fields {
    pub(super) class: Class,
    pub(super) bytes: Vec<u8>,
}

impl Fields {
    pub(super) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// `bytes`, cut or filled up with NULs to `len`; the last is always a NUL.
    pub(super) fn text(&mut self, bytes: &[u8], len: usize) -> &mut Self {
        let end = self.bytes.len() + len;
        self.put(&bytes[..bytes.len().min(len - 1)]);
        self.bytes.resize(end, 0);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// An address, an offset, a `long`; of a wider one the low half.
    pub(super) fn word(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes()[..self.class.word_len()])
    }

    /// Fills up to a multiple of a word, as C structures are.
    pub(super) fn pad_to_word(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(self.class.word_len()), 0);
        self
    }

    pub(super) fn program_header(&mut self, kind: u32, header: Header) {
        let Header { flags, offset, vaddr, file_size, memory_size, align } = header;
        self.u32(kind);
        match self.class {
            Class::Elf64 => self.u32(flags).word(offset).word(vaddr).word(0),
            Class::Elf32 => self.word(offset).word(vaddr).word(0),
        };
        self.word(file_size).word(memory_size);
        match self.class {
            Class::Elf64 => self.word(align),
            Class::Elf32 => self.u32(flags).word(align),
        };
    }
}
