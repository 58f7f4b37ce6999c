//! The reader: the memory of an ELF core of a machine.

use std::cmp::Reverse;
use std::sync::Arc;

use super::super::core::{from_headers, is_process};
use super::super::row::Image;
use super::super::stretches::{FirstWins, Shift, Stretches, held};
use crate::elf::layout::EHDR_LEN;
use crate::elf::{self, ElfFile, NO_PADDR};
use crate::problem::{Field, FormatError, OpenMode, Problems, known_size};
use crate::{MemoryMap, ReadAt, Region, RegionKind, Space};

/// An image of the kernel's virtual memory has segments without a physical address; in every other
/// core of a machine the physical addresses are the ones that no two segments share.
///
/// The core of a process is left to its own format.
pub(super) fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    let (core, with_notes) = ElfFile::read_with(&*file, &mut problems)?;
    if is_process(&core) {
        return from_headers((core, with_notes), file, problems);
    }
    let virtual_only = core.segments.iter().any(|segment| segment.paddr == NO_PADDR);
    let space = if virtual_only { Space::Kernel } else { Space::Physical };

    let mut found = Vec::new();
    for segment in &core.segments {
        let (start, other) = match space {
            Space::Physical => (segment.paddr, Some(segment.vaddr).filter(|&vaddr| vaddr != 0)),
            _ => (segment.vaddr, Some(segment.paddr).filter(|&p| p != NO_PADDR)),
        };
        let Some(extent) = problems.or_none(segment.extent(start, segment.file_size))? else {
            continue;
        };
        found.extend(extent.map(|extent| (extent, segment.offset, other)));
    }
    // The kernel's own vmcore has its text once more, as a part of RAM: it is the same memory, and the RAM has all of it.
    found.sort_unstable_by_key(|(extent, ..)| (extent.start(), Reverse(extent.end())));
    let end = known_size(&*file, elf::NAME)?;
    let mut parts = FirstWins::new();
    for (extent, offset, other) in found {
        let alias = other.map(|other: u64| other.wrapping_sub(extent.start()));
        let item = (Shift::new(extent.start(), offset), alias);
        parts.insert_held(extent, held(end, offset, extent.len()), item);
    }
    let parts = parts.into_parts();
    let regions = parts.iter().map(|&(extent, (_, alias))| Region {
        alias: alias.map(|distance| extent.start().wrapping_add(distance)),
        ..Region::new(extent, RegionKind::Unknown)
    });
    let place = Field { format: elf::NAME, field: "p_paddr", offset: EHDR_LEN };
    let map =
        MemoryMap::new(space, regions.collect()).map_err(|error| place.bad(error.to_string()))?;
    let parts = parts.into_iter().map(|(extent, (shift, _))| (extent, shift)).collect();
    let space = Stretches::new(map, parts, file, (elf::NAME, "segments"), &mut problems)?;
    with_notes.map_or(Ok(()), |problem| problems.found(problem))?;
    Ok(Image { facts: core.facts(), space: Box::new(space), problems })
}
