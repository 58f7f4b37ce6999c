//! The layout of the file.

use object::elf;

use super::fields::{Class, Fields, Header};
use super::notes;
use crate::elf::layout::PN_XNUM;
use crate::elf::{note, notes as read_notes};
use crate::{Arch, Extent, ExtentSet, Plan, Region};

/// Segments begin on such borders of the file, so that direct I/O can write memory as it was read.
const ALIGNMENT: u64 = 4096;
/// Bytes that the record of a copy may have; more is not kept.
pub const RECORD_LEN: usize = 16 * 1024 - 20;

/// The name of the note that holds the record, as JSON, NULs after it.
const RECORD_NAME: &str = "MEMDUMP";
/// The type of that note. Not a small number: gdb looks at types before names, and takes 1 for registers.
const RECORD_KIND: u32 = u32::from_be_bytes(*b"MEMD");

/// The notes of another core but for the record of its copy.
fn kept_notes(whole: &[u8]) -> Vec<u8> {
    let kept = read_notes(whole).filter(|note| note.name != RECORD_NAME.as_bytes());
    kept.flat_map(|kept| note(&String::from_utf8_lossy(kept.name), kept.kind, kept.descriptor))
        .collect()
}

/// A PT_LOAD.
struct Segment {
    start: u64,
    memory_size: u64,
    /// The part of its front that is in the file.
    content: Option<Extent>,
    flags: u32,
    /// The offset of the content in the file, in bytes.
    offset: u64,
}

/// The layout of a core.
pub(super) struct Layout {
    class: Class,
    arch: Arch,
    notes: Vec<u8>,
    segments: Vec<Segment>,
    /// The content, in the order of the file.
    pub(super) spans: Vec<Extent>,
    /// The offset of the first content, in bytes.
    data: u64,
    /// The offset of the record, in bytes.
    record: u64,
    /// Of the whole file.
    pub(super) size: u64,
}

impl Layout {
    pub(super) fn new(plan: &Plan) -> Self {
        let process = plan.facts.process.clone().unwrap_or_default();
        let arch = process.arch.or(plan.facts.arch).unwrap_or(Arch::X86_64);
        let class = Class::of(arch);
        let notes = match &plan.facts.elf_notes {
            // Of another core: its registers are known in no other way.
            Some(whole) if process.threads.is_empty() => kept_notes(whole),
            _ => notes::all(&process, &plan.map, plan.page_size, class),
        };
        let spans: Vec<Extent> = plan.extents().collect();
        let taken: ExtentSet = spans.iter().copied().collect();
        let mut segments: Vec<Segment> =
            plan.map.regions().iter().flat_map(|region| split(region, &taken)).collect();

        let count = segments.len() as u64 + 2;
        let section = if count >= PN_XNUM { class.section_header_len() } else { 0 };
        let headers = class.header_len() + count * class.program_header_len() + section;
        let data = (headers + notes.len() as u64).next_multiple_of(ALIGNMENT);
        let mut record = data;
        // Spans are parts of the plan's order, segments ascend: find each span's own.
        for span in &spans {
            let index = segments.partition_point(|segment| segment.start < span.start());
            if let Some(segment) = segments.get_mut(index) {
                segment.offset = record;
            }
            record += span.len();
        }
        // Those without content go on where the one before ends, as the kernel's do: eu-stack takes 0 for
        // the start of the program.
        let mut end = data;
        for segment in &mut segments {
            match segment.content {
                Some(content) => end = segment.offset + content.len(),
                None => segment.offset = end,
            }
        }
        let size = record + record_note("").len() as u64;
        Self { class, arch, notes, segments, spans, data, record, size }
    }

    /// Everything before the memory.
    pub(super) fn preamble(&self) -> Vec<u8> {
        let class = self.class;
        let count = self.segments.len() as u64 + 2;
        let extended = count >= PN_XNUM;
        let sections_at = class.header_len() + count * class.program_header_len();
        let notes_at = sections_at + if extended { class.section_header_len() } else { 0 };

        let mut file = Fields { class, bytes: Vec::with_capacity(self.data as usize) };
        let ident_class = if class == Class::Elf64 { 2 } else { 1 };
        file.put(&[0x7f, b'E', b'L', b'F', ident_class, 1, 1]).put(&[0; 9]);
        file.u16(elf::ET_CORE.0).u16(self.arch.elf_machine()).u32(1); // e_type, e_machine, e_version
        file.word(0).word(class.header_len()).word(if extended { sections_at } else { 0 }); // e_entry, e_phoff, e_shoff
        file.u32(0).u16(class.header_len() as u16); // e_flags, e_ehsize
        file.u16(class.program_header_len() as u16).u16(count.min(PN_XNUM) as u16); // e_phentsize, e_phnum
        let section_len = if extended { class.section_header_len() as u16 } else { 0 };
        file.u16(section_len).u16(extended.into()).u16(0); // e_shentsize, e_shnum, e_shstrndx

        let note = |offset, len| Header { offset, file_size: len, align: 4, ..Header::default() };
        file.program_header(elf::PT_NOTE.0, note(notes_at, self.notes.len() as u64));
        for segment in &self.segments {
            file.program_header(
                elf::PT_LOAD.0,
                Header {
                    flags: segment.flags,
                    offset: segment.offset,
                    vaddr: segment.start,
                    file_size: segment.content.map_or(0, Extent::len),
                    memory_size: segment.memory_size,
                    align: ALIGNMENT,
                },
            );
        }
        file.program_header(elf::PT_NOTE.0, note(self.record, self.size - self.record));
        if extended {
            file.u32(0).u32(0).word(0).word(0).word(0); // sh_name, sh_type, sh_flags, sh_addr, sh_offset
            file.word(1).u32(0).u32(count as u32).word(0).word(0); // sh_size, sh_link, sh_info, …
        }
        file.put(&self.notes);
        file.bytes.resize(self.data as usize, 0);
        file.bytes
    }
}

/// The note that holds the record, always of the same size. A record that is too long is cut.
pub(super) fn record_note(record: &str) -> Vec<u8> {
    let mut text = record.as_bytes()[..record.len().min(RECORD_LEN)].to_vec();
    text.resize(RECORD_LEN, 0);
    note(RECORD_NAME, RECORD_KIND, &text)
}

/// A region's segments: one for each part that is taken, which reaches to the next in memory.
fn split(region: &Region, taken: &ExtentSet) -> Vec<Segment> {
    let extent = region.extent;
    let permissions = region.mapping.as_ref().map(|mapping| mapping.permissions);
    let flags = permissions.map_or(elf::PF_R.0 | elf::PF_W.0 | elf::PF_X.0, |permissions| {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(permissions.read, elf::PF_R.0)
            | flag(permissions.write, elf::PF_W.0)
            | flag(permissions.execute, elf::PF_X.0)
    });
    let contents: Vec<Extent> = taken.within(extent).collect();
    let mut starts: Vec<(u64, Option<Extent>)> =
        contents.iter().map(|&content| (content.start(), Some(content))).collect();
    if contents.first().is_none_or(|content| content.start() > extent.start()) {
        starts.insert(0, (extent.start(), None));
    }
    let ends = starts.iter().skip(1).map(|&(start, _)| start).chain([extent.end()]);
    let ends: Vec<u64> = ends.collect();
    let segment = |(&(start, content), end)| Segment {
        start,
        memory_size: end - start,
        content,
        flags,
        offset: 0,
    };
    starts.iter().zip(ends).map(segment).collect()
}
