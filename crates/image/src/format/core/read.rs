//! The reader: the memory of any ELF64 core of a process, gdb's and the kernel's too.

use std::sync::Arc;

use object::elf;

use super::super::elf::{ElfCore, Segment};
use super::super::{FormatError, Image, not_in_image, read_file};
use super::{FORMAT, kinds};
use crate::{
    AddressSpace, Extent, Mapping, MemoryMap, Permissions, Process, ReadAt, ReadError, Region,
    RegionKind, Space,
};

/// Whether the notes are a process's.
pub(in crate::format) fn is_process(core: &ElfCore) -> bool {
    core.note("VMCOREINFO").is_none()
        && core.notes().any(|note| note.name == b"CORE" && note.kind == elf::NT_PRPSINFO.0)
}

pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    from_headers(ElfCore::read(&*file)?, file)
}

/// An image of a core whose headers have been read.
pub(in crate::format) fn from_headers(
    core: ElfCore,
    file: Arc<dyn ReadAt>,
) -> Result<Image, FormatError> {
    let process = process(&core);
    let bad = |offset, field, problem: String| FormatError::Field {
        format: FORMAT.name,
        offset,
        field,
        problem,
    };
    let mut regions = Vec::new();
    let mut segments = Vec::new();
    for segment in &core.segments {
        let content = segment.file_size.min(segment.memory_size);
        if content == 0 {
            continue;
        }
        let extent = Extent::with_len(segment.vaddr, content)
            .map_err(|error| bad(segment.header, "p_filesz", error.to_string()))?;
        if segment.offset.checked_add(content).is_none() {
            return Err(bad(segment.header, "p_offset", "the segment lies past any file".into()));
        }
        segments.push((extent, segment.offset));
        regions.push(Region { mapping: Some(mapping(segment)), ..region(extent) });
    }
    segments.sort_unstable();
    kinds::tell(&core, &mut regions);
    let map = MemoryMap::new(Space::Process(process.pid), regions)
        .map_err(|error| bad(0, "p_vaddr", error.to_string()))?;
    let mut facts = core.facts();
    facts.process = Some(process);
    Ok(Image { facts, space: Box::new(Core { map, segments, file }) })
}

fn region(extent: Extent) -> Region {
    Region::new(extent, RegionKind::Unknown)
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

struct Core {
    map: MemoryMap,
    /// Where content lies and where it stands in the file; ascending.
    segments: Vec<(Extent, u64)>,
    file: Arc<dyn ReadAt>,
}

impl AddressSpace for Core {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.segments.partition_point(|(extent, _)| extent.start() <= addr);
        let segment = self.segments[..after].last().filter(|(extent, _)| extent.contains(addr));
        let Some((extent, offset)) = segment else {
            return Err(not_in_image(addr));
        };
        let within = addr - extent.start();
        let len = buf.len().min(usize::try_from(extent.len() - within).unwrap_or(usize::MAX));
        read_file(&*self.file, addr, offset + within, &mut buf[..len])
    }
}
