//! `/proc/kcore`: the kernel's memory as an ELF core.
//!
//! Written by `fs/proc/kcore.c`. It never fails on what is not there: beyond a segment's end and in
//! unmapped holes it gives zeros. So only what both a program header and `/proc/iomem` call RAM is
//! read. Addresses come from the headers alone: no constant of the direct map is known here, so
//! neither KASLR nor five-level page tables matter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;

use memdump_image::FormatError;
use memdump_image::elf::{ElfFile, NO_PADDR, Segment};
use memdump_image::{
    AddressSpace, Cause, Extent, ExtentSet, Hole, MemoryMap, ReadError, Region, RegionKind, Space,
    VmCoreInfo,
};

use rustix::fs::{PROC_SUPER_MAGIC, statfs};

use super::descriptors::Descriptors;
use super::ram::{IomemRam, firmware_differences};
use super::source::{KernelSegments, Physical, Source, changes};
use crate::machine::{Machine, page_size};
use crate::proc::page_flags;
use crate::refusal::Reason;
use crate::tables::unmapped;

pub(super) const SOURCE: Source = Source {
    name: "kcore",
    path: "/proc/kcore",
    summary: "all RAM that the kernel manages, and its virtual memory; works under lockdown=integrity",
    needs: "CAP_SYS_RAWIO; CAP_SYS_ADMIN for the cross-check with /proc/iomem",
    may_refuse_reads: false,
    open,
};

/// Pages asked about at once: the longest read that one look at the page flags serves.
const FLAGS_PAGES: usize = 4096;

pub(crate) fn open(machine: &Machine, path: &Path) -> Result<Physical, Reason> {
    if is_masked(path) {
        return Err(Reason::Masked);
    }
    let descriptors =
        Arc::new(Descriptors::open(path).map_err(|error| machine.refusal_of_open(path, &error))?);
    let core = ElfFile::read(&*descriptors).map_err(malformed)?;
    let iomem = IomemRam::read(machine);
    let (segments, kernel) = sort_segments(&core.segments, iomem.as_ref().ok())?;
    let in_core: ExtentSet = segments.iter().map(|segment| segment.extent).collect();

    let mut differences = Vec::new();
    let (ram, mut omitted) = match &iomem {
        Ok(iomem) => {
            let extra = in_core.difference(&iomem.extents());
            if !extra.is_empty() {
                differences.push(format!(
                    "kcore has RAM segments that /proc/iomem does not call System RAM; they are not \
                     read: {:?}",
                    extra.as_slice()
                ));
            }
            differences.extend(firmware_differences(machine, &iomem.extents()));
            (iomem.whole_pages(), iomem.omitted(&in_core))
        }
        Err(reason) => {
            differences.push(format!("kcore's own ranges are taken unchecked: {reason}"));
            let unnamed = in_core.iter().map(|extent| Region::new(extent, RegionKind::Ram));
            (unnamed.collect(), Vec::new())
        }
    };
    let regions = segments.iter().flat_map(|segment| {
        ram.iter().filter_map(|range| {
            let region = range.clip(segment.extent)?;
            let within = region.extent.start() - segment.extent.start();
            let alias = segment.vaddr.map(|vaddr| vaddr.wrapping_add(within));
            Some(Region { alias, ..region })
        })
    });
    let map = MemoryMap::new(Space::Physical, regions.collect())
        .map_err(|error| Reason::Malformed(error.to_string()))?;

    let flags = File::open(machine.proc.join("kpageflags")).ok();
    if flags.is_none() {
        differences.push(
            "/proc/kpageflags cannot be read: offline pages cannot be told from zeros".into(),
        );
    }
    let mut space = Kcore { map, segments, descriptors: descriptors.clone(), flags };
    let mut facts = machine.facts();
    facts.vmcoreinfo = core.vmcoreinfo().or_else(|| vmcoreinfo_by_address(machine, &space));
    facts.elf_notes = Some(core.notes);
    if let Some(release) = facts.vmcoreinfo.as_ref().and_then(VmCoreInfo::release) {
        // The kernel that the memory is of, also when it is not the one we run on.
        if facts.release.as_deref() != Some(release) {
            facts.version = None;
        }
        facts.release = Some(release.to_owned());
    }
    match unmapped(&space, facts.vmcoreinfo.as_ref(), facts.arch, &kernel.image) {
        // An entry for every page, or none: these are no page tables of that memory.
        Some(gaps) if gaps.total() < space.map.total() => {
            omitted.extend(gaps.iter().map(|extent| Hole { extent, cause: Cause::Unmapped }));
            omitted.sort_by_key(|hole| hole.extent);
            space.map = space.map.subtract(&gaps);
        }
        _ => tracing::info!("the page tables cannot tell which RAM is not mapped"),
    }
    let before = (machine.clone(), in_core);
    Ok(Physical {
        space: Arc::new(space),
        facts,
        omitted,
        differences,
        recheck: Box::new(move || recheck(&before.0, &descriptors, &before.1)),
        kernel: Some(kernel),
    })
}

/// Container runtimes lay `/dev/null` or an empty file over it. The kernel's own is on procfs and
/// never empty.
fn is_masked(path: &Path) -> bool {
    let is_proc = statfs(path).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC);
    let is_empty = std::fs::metadata(path)
        .is_ok_and(|found| found.len() == 0 || found.file_type().is_char_device());
    is_empty && !is_proc
}

fn malformed(error: FormatError) -> Reason {
    match error {
        FormatError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Reason::Refused
        }
        error => Reason::Malformed(error.to_string()),
    }
}

/// RAM that came or went since `before` was read: hot-plug.
fn recheck(
    machine: &Machine,
    descriptors: &Descriptors,
    before: &ExtentSet,
) -> io::Result<Vec<Hole>> {
    // A fresh descriptor: the kernel builds the headers anew for each.
    let again = Descriptors::open(descriptors.path())?;
    let core = ElfFile::read(&again).map_err(io::Error::other)?;
    let iomem = IomemRam::read(machine).ok();
    let (segments, _) = sort_segments(&core.segments, iomem.as_ref()).map_err(io::Error::other)?;
    let now: ExtentSet = segments.iter().map(|segment| segment.extent).collect();
    Ok(changes(before, &now))
}

/// A stretch of RAM in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RamSegment {
    extent: Extent,
    /// The offset of its first byte in the file.
    offset: u64,
    /// Its direct-map address, where the headers can be trusted with it.
    vaddr: Option<u64>,
}

/// Tells RAM from the kernel's other segments.
///
/// RAM's segments share one distance between virtual and physical address; those of the kernel's
/// text (KCORE_TEXT) and of older kernels' remapping (KCORE_REMAP) have another and show RAM once
/// more.
fn sort_segments(
    segments: &[Segment],
    iomem: Option<&IomemRam>,
) -> Result<(Vec<RamSegment>, KernelSegments), Reason> {
    let mut kernel = KernelSegments::default();
    let mut by_distance: BTreeMap<u64, Vec<Segment>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.memory_size > 0) {
        match segment.paddr {
            NO_PADDR => kernel.mapped.push(*segment),
            paddr => {
                by_distance.entry(segment.vaddr.wrapping_sub(paddr)).or_default().push(*segment)
            }
        }
    }
    let all = || by_distance.values().flatten();
    // Before Linux 4.11 every p_paddr is 0; RAM may well begin there, but only once.
    if all().count() > 1 && all().all(|segment| segment.paddr == 0) {
        return without_paddr(segments, iomem);
    }
    let size = |group: &Vec<Segment>| -> u128 {
        group.iter().map(|segment| u128::from(segment.memory_size)).sum()
    };
    let Some(ram) = by_distance.iter().max_by_key(|(_, group)| size(group)).map(|(key, _)| *key)
    else {
        return Err(Reason::Malformed("no segment has a physical address".into()));
    };
    let group = by_distance.remove(&ram).unwrap_or_default();
    kernel.image = by_distance.into_values().flatten().collect();
    Ok((ram_segments(&group, ram)?, kernel))
}

/// The segments at `distance` from their physical addresses, sorted and disjoint.
fn ram_segments(group: &[Segment], distance: u64) -> Result<Vec<RamSegment>, Reason> {
    let malformed = |what: String| Reason::Malformed(what);
    let mut ram = Vec::new();
    for segment in group {
        let extent = Extent::with_len(segment.vaddr.wrapping_sub(distance), segment.memory_size)
            .map_err(|error| malformed(error.to_string()))?;
        if segment.offset.checked_add(extent.len()).is_none_or(|end| end > i64::MAX as u64) {
            return Err(malformed(format!("the segment at {extent} lies past any file")));
        }
        ram.push(RamSegment { extent, offset: segment.offset, vaddr: Some(segment.vaddr) });
    }
    ram.sort_by_key(|segment| segment.extent);
    match ram.array_windows().find(|[a, b]| a.extent.end() > b.extent.start()) {
        Some([a, b]) => {
            Err(malformed(format!("the RAM segments {} and {} overlap", a.extent, b.extent)))
        }
        None => Ok(ram),
    }
}

/// Kernels before 4.11: tries each way in which a segment can be the first RAM of `/proc/iomem`,
/// and takes the one by which the segments hold all RAM that is named there.
fn without_paddr(
    segments: &[Segment],
    iomem: Option<&IomemRam>,
) -> Result<(Vec<RamSegment>, KernelSegments), Reason> {
    let ranges = iomem.map(IomemRam::whole_pages).unwrap_or_default();
    let Some(first) = ranges.first() else { return Err(Reason::NoPhysicalAddresses) };
    let named: ExtentSet = ranges.iter().map(|range| range.extent).collect();
    // The named RAM is far below this.
    let top = named.as_slice().last().map_or(0, |last| last.end());
    let fits = |distance: u64| {
        let group: Vec<Segment> = segments
            .iter()
            .filter(|segment| {
                let paddr = segment.vaddr.wrapping_sub(distance);
                paddr.checked_add(segment.memory_size).is_some_and(|end| end <= top)
            })
            .copied()
            .collect();
        let ram = ram_segments(&group, distance).ok()?;
        let extents: ExtentSet = ram.iter().map(|segment| segment.extent).collect();
        named.difference(&extents).is_empty().then_some((ram, distance))
    };
    let distances = segments.iter().map(|segment| segment.vaddr.wrapping_sub(first.extent.start()));
    let mut found = distances.filter_map(fits);
    match (found.next(), found.next()) {
        (Some((ram, distance)), None) => {
            let is_ram = |segment: &&Segment| {
                ram.iter().any(|ram| {
                    segment.vaddr.wrapping_sub(distance) == ram.extent.start()
                        && segment.memory_size == ram.extent.len()
                })
            };
            let mapped = segments.iter().filter(|segment| !is_ram(segment)).copied().collect();
            Ok((ram, KernelSegments { image: Vec::new(), mapped }))
        }
        _ => Err(Reason::NoPhysicalAddresses),
    }
}

/// Before Linux 4.19 the note is not in kcore; `/sys/kernel/vmcoreinfo` says at which physical
/// address it is and how long, both hexadecimal.
fn vmcoreinfo_by_address(machine: &Machine, space: &Kcore) -> Option<VmCoreInfo> {
    let text = machine.sys_text("kernel/vmcoreinfo")?;
    let (addr, len) = text.trim().split_once(' ')?;
    let addr = u64::from_str_radix(addr.trim_start_matches("0x"), 16).ok()?;
    let len = usize::from_str_radix(len.trim_start_matches("0x"), 16).ok()?;
    let mut notes = vec![0; len.min(VmCoreInfo::MAX_LEN)];
    space.read_exact(addr, &mut notes).ok()?;
    ElfFile { notes, ..ElfFile::default() }.vmcoreinfo()
}

/// Physical memory through kcore.
struct Kcore {
    map: MemoryMap,
    /// The segments of RAM, ascending.
    segments: Vec<RamSegment>,
    descriptors: Arc<Descriptors>,
    /// `/proc/kpageflags`.
    flags: Option<File>,
}

impl Kcore {
    /// The number of bytes from `addr` on, of `len`, before the first page that must not be read;
    /// and what is wrong with that page.
    fn readable(&self, addr: u64, len: usize) -> (usize, Option<Cause>) {
        let Some(file) = &self.flags else { return (len, None) };
        let page = page_size();
        let (first, last) = (addr / page, (addr + len as u64 - 1) / page);
        let mut flags = [0; FLAGS_PAGES * 8];
        let flags = &mut flags[..((last - first + 1) as usize).min(FLAGS_PAGES) * 8];
        let known = match file.read_at(flags, first * 8) {
            Ok(known) => known,
            // A frame beyond the last has no flags, and none that object.
            Err(_) => return (len, None),
        };
        let (frames, cause) = page_flags::readable_prefix(&flags[..known]);
        let end = (first + frames as u64) * page;
        match cause {
            Some(_) => (end.saturating_sub(addr) as usize, cause),
            // A longer read than was asked about goes on with another.
            None if known < flags.len() => (len, None),
            None => (len.min((end - addr) as usize), None),
        }
    }
}

impl AddressSpace for Kcore {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.segments.partition_point(|segment| segment.extent.start() <= addr);
        let segment = self.segments[..after].last();
        let Some(segment) = segment.filter(|segment| segment.extent.contains(addr)) else {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        };
        let within = addr - segment.extent.start();
        let left = segment.extent.len() - within;
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (len, objection) = self.readable(addr, len);
        match (len, objection) {
            (0, Some(cause)) => Err(ReadError::Fault { addr, cause }),
            _ => self.descriptors.read_memory(addr, segment.offset + within, &mut buf[..len]),
        }
    }
}

/// The kernel's own segments, read by their virtual addresses; for machines whose page tables
/// cannot be walked here.
pub(crate) struct KernelView {
    map: MemoryMap,
    segments: Vec<Segment>,
    descriptors: Descriptors,
}

impl KernelView {
    pub(crate) fn open(path: &Path, map: MemoryMap, segments: Vec<Segment>) -> io::Result<Self> {
        Ok(Self { map, segments, descriptors: Descriptors::open(path)? })
    }
}

impl AddressSpace for KernelView {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let segment = self.segments.iter().find(|segment| {
            addr.checked_sub(segment.vaddr).is_some_and(|within| within < segment.memory_size)
        });
        let Some(segment) = segment else {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        };
        let within = addr - segment.vaddr;
        let left = usize::try_from(segment.memory_size - within).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        self.descriptors.read_memory(addr, segment.offset.wrapping_add(within), &mut buf[..len])
    }
}

#[cfg(test)]
mod tests;
