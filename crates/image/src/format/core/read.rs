//! The reader: the memory of any ELF core of a process, gdb's and the kernel's too.

use std::sync::Arc;

use object::elf;

use super::super::row::Image;
use super::super::stretches::{FirstWins, Shift, Stretches, held};
use super::kinds;
use crate::elf::{ElfFile, Segment};
use crate::problem::{Field, FormatError, OpenMode, Problems, known_size};
use crate::{Mapping, MemoryMap, Permissions, ProcessFacts, ReadAt, Region, RegionKind, Space};

/// The name of the format.
pub(super) const NAME: &str = "core";
/// The offset of `p_vaddr` in `Elf64_Phdr`, in bytes.
const P_VADDR: u64 = 16;

/// Returns true if the notes are a process's.
pub(in crate::format) fn is_process(core: &ElfFile) -> bool {
    core.note("VMCOREINFO").is_none()
        && core.notes().any(|note| note.name == b"CORE" && note.kind == elf::NT_PRPSINFO.0)
}

pub(super) fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    from_headers(ElfFile::read_with(&*file, &mut problems)?, file, problems)
}

/// An image of a core whose headers have been read, and what is wrong with its notes. Of addresses that two segments claim the first one's count.
pub(in crate::format) fn from_headers(
    (core, with_notes): (ElfFile, Option<FormatError>),
    file: Arc<dyn ReadAt>,
    mut problems: Problems,
) -> Result<Image, FormatError> {
    let process = process(&core);
    let place = |offset| Field { format: NAME, field: "p_vaddr", offset };
    let end = known_size(&*file, NAME)?;
    let mut parts = FirstWins::new();
    for (index, segment) in core.segments.iter().enumerate() {
        let content = segment.file_size.min(segment.memory_size);
        let Some(Some(extent)) = problems.or_none(segment.extent(segment.vaddr, content))? else {
            continue;
        };
        if let Some(twice) = parts.insert_held(extent, held(end, segment.offset, content), index) {
            let problem = format!("{twice} is in a segment before");
            problems.found(place(segment.place(P_VADDR)).bad(problem))?;
        }
    }
    let parts = parts.into_parts();
    let regions = parts.iter().map(|&(extent, index)| {
        let mapping = Some(mapping(&core.segments[index]));
        Region { mapping, ..Region::new(extent, RegionKind::Unknown) }
    });
    let mut regions: Vec<Region> = regions.collect();
    kinds::tell(&core, &mut regions);
    let map = MemoryMap::new(Space::Process(process.pid), regions)
        .map_err(|error| place(0).bad(error.to_string()))?;
    let parts = parts.into_iter().map(|(extent, index)| {
        let Segment { vaddr, offset, .. } = core.segments[index];
        (extent, Shift::new(vaddr, offset))
    });
    let names = (NAME, "segments");
    let space = Stretches::new(map, parts.collect(), file, names, &mut problems)?;
    with_notes.map_or(Ok(()), |problem| problems.found(problem))?;
    let mut facts = core.facts();
    facts.process = Some(process);
    Ok(Image { facts, space: Box::new(space), problems })
}

fn mapping(segment: &Segment) -> Mapping {
    let has = |flag: u32| segment.flags & flag != 0;
    let permissions = Permissions {
        read: has(elf::PF_R.0),
        write: has(elf::PF_W.0),
        execute: has(elf::PF_X.0),
        shared: false,
    };
    Mapping { permissions, backing: None }
}

/// The facts in PRPSINFO (`struct elf_prpsinfo`); with 32 bits `pr_flag` is half as long, and the numbers of user and group are, too.
fn process(core: &ElfFile) -> ProcessFacts {
    let mut process = ProcessFacts { arch: core.arch(), ..ProcessFacts::default() };
    for note in core.notes().filter(|note| note.name == b"CORE") {
        if note.kind == elf::NT_AUXV.0 {
            process.auxv = note.descriptor.to_vec();
        }
        // Where the numbers of the process begin, behind those of user and group.
        let numbers = if core.is_32_bit { 12 } else { 24 };
        if note.kind == elf::NT_PRPSINFO.0
            && let Some(info) = note.descriptor.get(..numbers + 112)
        {
            let number = |at: usize| {
                let bytes: [u8; 4] = std::array::from_fn(|i| info[at + i]);
                u32::from_le_bytes(bytes)
            };
            let text = |bytes: &[u8]| -> Vec<u8> {
                bytes.iter().copied().take_while(|&byte| byte != 0).collect()
            };
            let half = |at: usize| u32::from(u16::from_le_bytes([info[at], info[at + 1]]));
            process.state = info[1];
            process.nice = info[3].cast_signed();
            (process.uid, process.gid) = match core.is_32_bit {
                true => (half(8), half(10)),
                false => (number(16), number(20)),
            };
            (process.pid, process.ppid) = (number(numbers), number(numbers + 4));
            (process.pgrp, process.sid) = (number(numbers + 8), number(numbers + 12));
            process.name = text(&info[numbers + 16..numbers + 32]);
            process.arguments = text(&info[numbers + 32..]);
        }
    }
    process
}
