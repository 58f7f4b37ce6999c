//! The writer: all headers first, then the segments' bytes, so that it streams.

use std::io;

use object::elf;

use super::super::fill::SpanWriter;
use super::super::writer::ImageWriter;
use super::notes::machine_notes;
use crate::elf::NO_PADDR;
use crate::elf::layout::{EHDR_LEN, IDENT, PHDR_LEN, PN_XNUM, SHDR_LEN};
use crate::{Arch, Chunk, HoleEncoding, Output, Plan, Region, Space};

/// Memory begins on such a border of the file, so that direct I/O can write it as it was read.
const DATA_ALIGNMENT: u64 = 4096;

/// The layout of the file.
struct Layout {
    notes: Vec<u8>,
    /// One for each PT_LOAD. Readers differ in how many they take (LeechCore: 145), so regions that
    /// touch in both spaces share one, whatever their kinds.
    segments: Vec<Region>,
    /// The offset of the first segment's bytes.
    data: u64,
    size: u64,
}

impl Layout {
    fn new(plan: &Plan) -> Self {
        let notes = machine_notes(&plan.facts);
        let segments = plan.map.joined().regions().to_vec();
        let headers = segments.len() as u64 + 1;
        let section = if headers >= PN_XNUM { SHDR_LEN } else { 0 };
        let end = EHDR_LEN + headers * PHDR_LEN + section + notes.len() as u64;
        let data = end.next_multiple_of(DATA_ALIGNMENT);
        Self { notes, segments, data, size: data + plan.map.total() }
    }

    /// Everything before the memory.
    fn preamble(&self, plan: &Plan) -> Vec<u8> {
        let count = self.segments.len() as u64 + 1;
        let extended = count >= PN_XNUM;
        let sections_at = EHDR_LEN + count * PHDR_LEN;
        let notes_at = sections_at + if extended { SHDR_LEN } else { 0 };

        let mut bytes = Bytes(Vec::with_capacity(self.data as usize));
        bytes.put(&IDENT).put(&[0; 9]);
        let machine = plan.facts.arch.unwrap_or(Arch::X86_64).elf_machine();
        bytes.u16(elf::ET_CORE.0).u16(machine).u32(1); // e_type, e_machine, e_version
        bytes.u64(0).u64(EHDR_LEN).u64(if extended { sections_at } else { 0 }); // e_entry, e_phoff, e_shoff
        bytes.u32(0).u16(EHDR_LEN as u16).u16(PHDR_LEN as u16); // e_flags, e_ehsize, e_phentsize
        bytes.u16(count.min(PN_XNUM) as u16); // e_phnum
        bytes.u16(if extended { SHDR_LEN as u16 } else { 0 }).u16(extended.into()).u16(0); // e_shentsize, e_shnum, e_shstrndx

        // crash takes the file for its own only when the notes come first.
        bytes.program_header(elf::PT_NOTE.0, 0, notes_at, 0, 0, self.notes.len() as u64);
        let mut offset = self.data;
        for segment in &self.segments {
            let (start, other) = (segment.extent.start(), segment.alias);
            let (vaddr, paddr) = match plan.map.space() {
                Space::Physical => (other.unwrap_or(0), start),
                Space::Kernel | Space::Process(_) => (start, other.unwrap_or(NO_PADDR)),
            };
            let flags = elf::PF_R.0 | elf::PF_W.0 | elf::PF_X.0;
            bytes.program_header(elf::PT_LOAD.0, flags, offset, vaddr, paddr, segment.extent.len());
            offset += segment.extent.len();
        }
        if extended {
            bytes.u32(0).u32(0).u64(0).u64(0).u64(0); // sh_name, sh_type, sh_flags, sh_addr, sh_offset
            bytes.u64(1).u32(0).u32(count as u32).u64(0).u64(0); // sh_size, sh_link, sh_info, …
        }
        bytes.put(&self.notes);
        bytes.0.resize(self.data as usize, 0);
        bytes.0
    }
}

/// Little-endian fields, one after another.
struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// `p_filesz` equals `p_memsz`: Volatility and LeechCore drop a segment where they differ.
    /// `p_align` is 0: with anything else crash takes the file for a netdump.
    fn program_header(&mut self, kind: u32, flags: u32, at: u64, vaddr: u64, paddr: u64, len: u64) {
        self.u32(kind).u32(flags).u64(at).u64(vaddr).u64(paddr).u64(len).u64(len).u64(0);
    }
}

pub(super) fn size(plan: &Plan) -> u64 {
    Layout::new(plan).size
}

pub(super) struct Writer<'a>(SpanWriter<'a>);

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        Self(SpanWriter::new(output, |_| Vec::new()))
    }
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Gaps
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let layout = Layout::new(plan);
        self.0.around(&layout.preamble(plan))?;
        self.0.begin(layout.segments.iter().map(|segment| segment.extent));
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.0.chunk(chunk)
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        self.0.finish()
    }
}
