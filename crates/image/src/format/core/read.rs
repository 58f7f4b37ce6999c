//! The reader: the memory of any ELF64 core of a process, gdb's and the kernel's too.

use std::sync::Arc;

use object::elf;

use super::super::elf::{ElfCore, Segment};
use super::super::problem::Wanted;
use super::super::stretches::{FirstWins, Shift, Stretches, held, known_size};
use super::super::{FormatError, Image, Problems, Rigor};
use super::{FORMAT, kinds};
use crate::{Mapping, MemoryMap, Permissions, Process, ReadAt, Region, RegionKind, Space};

/// Whether the notes are a process's.
pub(in crate::format) fn is_process(core: &ElfCore) -> bool {
    core.note("VMCOREINFO").is_none()
        && core.notes().any(|note| note.name == b"CORE" && note.kind == elf::NT_PRPSINFO.0)
}

pub(super) fn open(file: Arc<dyn ReadAt>, rigor: Rigor) -> Result<Image, FormatError> {
    let mut problems = Problems::new(rigor);
    from_headers(ElfCore::read_with(&*file, &mut problems)?, file, problems)
}

/// An image of a core whose headers have been read, and what is wrong with its notes. Of addresses that two segments claim the first one's count.
pub(in crate::format) fn from_headers(
    (core, with_notes): (ElfCore, Option<FormatError>),
    file: Arc<dyn ReadAt>,
    mut problems: Problems,
) -> Result<Image, FormatError> {
    let process = process(&core);
    let place = |offset| Wanted { format: FORMAT.name, field: "p_vaddr", offset };
    let end = known_size(&*file, FORMAT.name)?;
    let mut parts = FirstWins::new();
    for (index, segment) in core.segments.iter().enumerate() {
        let content = segment.file_size.min(segment.memory_size);
        let Some(Some(extent)) = problems.or_none(segment.extent(segment.vaddr, content))? else {
            continue;
        };
        if let Some(twice) = parts.insert_held(extent, held(end, segment.offset, content), index) {
            let problem = format!("{twice} is in a segment before");
            problems.found(place(segment.header + 16).bad(problem))?;
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
    let names = (FORMAT.name, "segments");
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

/// What PRPSINFO says (`struct elf_prpsinfo`, x86-64 and arm64).
fn process(core: &ElfCore) -> Process {
    let mut process = Process::default();
    for note in core.notes().filter(|note| note.name == b"CORE") {
        if note.kind == elf::NT_AUXV.0 {
            process.auxv = note.descriptor.to_vec();
        }
        if note.kind == elf::NT_PRPSINFO.0
            && let Some(info) = note.descriptor.first_chunk::<136>()
        {
            let number = |at: usize| {
                let bytes: [u8; 4] = std::array::from_fn(|i| info[at + i]);
                u32::from_le_bytes(bytes)
            };
            let text = |bytes: &[u8]| -> Vec<u8> {
                bytes.iter().copied().take_while(|&byte| byte != 0).collect()
            };
            process.state = info[1];
            process.nice = info[3].cast_signed();
            (process.uid, process.gid) = (number(16), number(20));
            (process.pid, process.ppid) = (number(24), number(28));
            (process.pgrp, process.sid) = (number(32), number(36));
            process.name = text(&info[40..56]);
            process.arguments = text(&info[56..136]);
        }
    }
    process
}
