//! The kernel's virtual memory, where something is mapped.
//!
//! kcore describes 32 TiB of vmalloc space and gives zeros wherever nothing is mapped. So the
//! kernel's own page tables are asked (x86-64), and memory is read by its physical address: what is
//! not RAM, such as a device's registers, is not read. On other machines `/proc/vmallocinfo` names
//! the areas, and kcore is read by virtual address.

use std::path::Path;
use std::sync::Arc;

use memdump_image::elf::Segment;
use memdump_image::{
    AddressSpace, Arch, Cause, Extent, ExtentSet, MemoryMap, PageTables, ReadError, Region,
    RegionKind, Space, Translation, VmCoreInfo,
};

use crate::machine::{Machine, page_size};
use crate::physical::KernelSegments;
use crate::physical::kcore::KernelView;
use crate::proc::vmallocinfo;
use crate::refusal::Reason;
use crate::tables::top_table;

/// The facts from which the kernel's virtual memory is found.
pub(crate) struct KernelSource<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) path: &'a Path,
    pub(crate) physical: Arc<dyn AddressSpace>,
    pub(crate) segments: KernelSegments,
    pub(crate) vmcoreinfo: Option<&'a VmCoreInfo>,
    pub(crate) arch: Option<Arch>,
    pub(crate) direct_map: bool,
}

/// The kernel's memory, and a note for people where it was found otherwise than by its page tables.
pub(crate) fn open(
    source: KernelSource<'_>,
) -> Result<(Box<dyn AddressSpace>, Option<String>), Reason> {
    let areas = areas(&source.segments);
    match by_page_tables(&source, &areas) {
        Ok(space) => Ok((Box::new(space), None)),
        Err(why) => {
            let view = by_vmallocinfo(&source, &areas)?;
            let way = format!("kernel memory was found by /proc/vmallocinfo, as {why}");
            Ok((Box::new(view), Some(way)))
        }
    }
}

/// A part of the kernel's address space and what it is for.
struct Area {
    extent: Extent,
    kind: RegionKind,
}

/// Names kcore's kernel-only segments by their order, which is the same on every x86-64 kernel:
/// vmalloc, page structures, the kernel's image, modules. Vmalloc is by far the largest.
fn areas(segments: &KernelSegments) -> Vec<Area> {
    let area = |segment: &Segment, kind| {
        let extent = Extent::with_len(segment.vaddr, segment.memory_size).ok()?;
        Some(Area { extent, kind })
    };
    let image = segments.image.iter().filter_map(|segment| area(segment, RegionKind::KernelImage));
    let image_start = segments.image.iter().map(|segment| segment.vaddr).min();
    let vmalloc = segments.mapped.iter().max_by_key(|segment| segment.memory_size);
    let mapped = segments.mapped.iter().filter_map(|segment| {
        let kind = match (image_start, vmalloc) {
            (Some(image), _) if segment.vaddr > image => RegionKind::Modules,
            (_, Some(vmalloc)) if segment.vaddr > vmalloc.vaddr => RegionKind::Vmemmap,
            _ => RegionKind::Vmalloc,
        };
        area(segment, kind)
    });
    let mut areas: Vec<Area> = image.chain(mapped).collect();
    areas.sort_by_key(|area| area.extent);
    // kcore has a segment of page structures for each range of RAM. Between them are those of the
    // pages that are no RAM, as far as they share a page with others: the page tables know.
    areas.dedup_by(|next, area| {
        let both = (area.kind, next.kind) == (RegionKind::Vmemmap, RegionKind::Vmemmap);
        match Extent::half_open(area.extent.start(), next.extent.end().max(area.extent.end())) {
            Ok(hull) if both => {
                area.extent = hull;
                true
            }
            _ => false,
        }
    });
    // Where two overlap the first keeps its name; nothing is listed twice.
    areas.dedup_by(|next, area| match Extent::half_open(area.extent.end(), next.extent.end()) {
        Ok(rest) if next.extent.start() < area.extent.end() => {
            next.extent = rest;
            false
        }
        Ok(_) => false,
        Err(_) => true,
    });
    areas
}

fn by_page_tables(source: &KernelSource<'_>, areas: &[Area]) -> Result<Kernel, String> {
    if source.arch != Some(Arch::X86_64) {
        return Err("page tables are walked on x86-64 only".into());
    }
    let info = source.vmcoreinfo.ok_or("there is no VMCOREINFO")?;
    let top = top_table(info, &source.segments.image)?;
    let tables = PageTables::new(&*source.physical, info, top);
    let ram = source.physical.map().extents();
    let mut mappings = Vec::new();
    let mut regions = Vec::new();
    for area in areas {
        let found = tables.mapped(area.extent).map_err(|error| error.to_string())?;
        let found = found.into_iter().flat_map(|mapping| mapping.within(&ram));
        let start = mappings.len();
        mappings.extend(found);
        regions.extend(regions_of(&mappings[start..], area.kind));
    }
    if source.direct_map {
        for region in source.physical.map().regions() {
            let Some(virt) = region.alias else { continue };
            let virt = Extent::with_len(virt, region.extent.len()).map_err(|e| e.to_string())?;
            let mapping = Translation { virt, phys: region.extent.start() };
            regions.extend(regions_of(&[mapping], RegionKind::DirectMap));
            mappings.push(mapping);
        }
    }
    mappings.sort_by_key(|mapping| mapping.virt);
    let map = MemoryMap::new(Space::Kernel, regions).map_err(|error| error.to_string())?;
    if map.regions().is_empty() {
        return Err("they map no RAM".into());
    }
    Ok(Kernel { map, mappings, physical: source.physical.clone() })
}

/// One region for each run of virtual addresses; its alias is known where the run is one in
/// physical memory too.
fn regions_of(mappings: &[Translation], kind: RegionKind) -> Vec<Region> {
    let runs: ExtentSet = mappings.iter().map(|mapping| mapping.virt).collect();
    let mut rest = mappings;
    let region = |run: Extent| {
        let count = rest.partition_point(|mapping| mapping.virt.start() < run.end());
        let (mine, after) = rest.split_at(count);
        rest = after;
        let is_one = mine.array_windows().all(|[a, b]| a.phys.wrapping_add(a.virt.len()) == b.phys);
        let alias = mine.first().filter(|_| is_one).map(|first| first.phys);
        Region { alias, ..Region::new(run, kind) }
    };
    runs.iter().map(region).collect()
}

/// Virtual memory read by its physical address.
struct Kernel {
    map: MemoryMap,
    /// Ascending by virtual address.
    mappings: Vec<Translation>,
    physical: Arc<dyn AddressSpace>,
}

impl AddressSpace for Kernel {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    /// Reads on over borders of mappings: vmalloc memory is a page here and a page there, and a call
    /// for each page of it would show.
    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let mut index = self.mappings.partition_point(|mapping| mapping.virt.end() <= addr);
        let mut done = 0;
        while done < buf.len() {
            let at = addr + done as u64;
            let mapping = self.mappings.get(index).filter(|mapping| mapping.virt.contains(at));
            let result = match mapping {
                None => Err(ReadError::Fault { addr: at, cause: Cause::NotOffered }),
                Some(mapping) => {
                    let left = usize::try_from(mapping.virt.end() - at).unwrap_or(usize::MAX);
                    let len = left.min(buf.len() - done);
                    let phys = mapping.phys + (at - mapping.virt.start());
                    self.physical.read_at(phys, &mut buf[done..done + len])
                }
            };
            match result {
                Ok(read) => {
                    done += read;
                    let ended = mapping.is_some_and(|m| m.virt.end() == addr + done as u64);
                    index += usize::from(ended);
                }
                Err(_) if done > 0 => break,
                // The fault's address is one of physical memory; the caller knows virtual ones.
                Err(ReadError::Fault { cause, .. }) => {
                    return Err(ReadError::Fault { addr, cause });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

fn by_vmallocinfo(source: &KernelSource<'_>, areas: &[Area]) -> Result<KernelView, Reason> {
    let failed = |why: &str| Reason::NoKernelMap(why.to_owned());
    let text = source.machine.proc_text("vmallocinfo");
    let text = text.ok_or_else(|| failed("/proc/vmallocinfo cannot be read"))?;
    let mapped: ExtentSet = vmallocinfo::parse(&text, page_size()).into_iter().collect();
    let regions = areas.iter().flat_map(|area| {
        let whole: ExtentSet = [area.extent].into_iter().collect();
        let extents = match area.kind {
            RegionKind::KernelImage => whole,
            _ => whole.intersection(&mapped),
        };
        extents.iter().map(|extent| Region::new(extent, area.kind)).collect::<Vec<_>>()
    });
    let map = MemoryMap::new(Space::Kernel, regions.collect())
        .map_err(|error| failed(&error.to_string()))?;
    if map.regions().is_empty() {
        return Err(failed("/proc/vmallocinfo names no memory (it hides addresses without root)"));
    }
    let segments = [source.segments.image.as_slice(), &source.segments.mapped].concat();
    KernelView::open(source.path, map, segments).map_err(|error| failed(&error.to_string()))
}

#[cfg(test)]
mod tests;
