//! The map of an address space: its regions.
//!
//! Not how to read it (see [`AddressSpace`](crate::AddressSpace)) and not what of it will be taken
//! (see [`Plan`](crate::Plan)).

use std::fmt;

use crate::{Extent, ExtentSet};

/// The space that a map's addresses belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Physical addresses of a machine.
    Physical,
    /// Virtual addresses of a machine's kernel.
    Kernel,
    /// Virtual addresses of the process of that number.
    Process(u32),
}

/// A name for people: `physical`, `kernel` or `process 1234`.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Physical => f.write_str("physical"),
            Space::Kernel => f.write_str("kernel"),
            Space::Process(pid) => write!(f, "process {pid}"),
        }
    }
}

/// The use of a region's memory, as far as its map knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegionKind {
    /// RAM that the kernel manages (`System RAM` in `/proc/iomem`).
    Ram,
    /// Memory that the firmware kept for itself (ACPI tables and the like).
    Reserved,
    /// The kernel's own image: text, data, bss.
    KernelImage,
    /// The area that modules are loaded into.
    Modules,
    /// The vmalloc area.
    Vmalloc,
    /// The array of page structures.
    Vmemmap,
    /// RAM as the kernel sees it, one to one.
    DirectMap,
    /// A process's `brk` heap.
    Heap,
    /// The stack of a process's first thread.
    Stack,
    /// The stack of a further thread.
    ThreadStack,
    /// A program or a library: a file that is mapped in parts, one of them executable.
    Library,
    /// Any other file.
    File,
    /// Private memory without a file.
    Anonymous,
    /// Memory that other processes may see, with no file in a file system.
    Shared,
    /// Memory that the kernel gives to a process: vdso, vvar, vsyscall.
    Special,
    /// An image file did not say.
    Unknown,
}

impl RegionKind {
    /// The name shown to people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            RegionKind::Ram => "ram",
            RegionKind::Reserved => "reserved",
            RegionKind::KernelImage => "kernel",
            RegionKind::Modules => "modules",
            RegionKind::Vmalloc => "vmalloc",
            RegionKind::Vmemmap => "vmemmap",
            RegionKind::DirectMap => "direct-map",
            RegionKind::Heap => "heap",
            RegionKind::Stack => "stack",
            RegionKind::ThreadStack => "thread-stack",
            RegionKind::Library => "library",
            RegionKind::File => "file",
            RegionKind::Anonymous => "anonymous",
            RegionKind::Shared => "shared",
            RegionKind::Special => "special",
            RegionKind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The permissions of a process for a mapping, and if others see its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// It may be read.
    pub read: bool,
    /// It may be written.
    pub write: bool,
    /// It may be executed.
    pub execute: bool,
    /// MAP_SHARED rather than MAP_PRIVATE.
    pub shared: bool,
}

impl Permissions {
    /// Reads the four letters of `/proc/PID/maps`, such as `rw-p`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let &[read, write, execute, sharing] = text else { return None };
        let flag = |letter, yes, no| match letter {
            letter if letter == yes => Some(true),
            letter if letter == no => Some(false),
            _ => None,
        };
        Some(Self {
            read: flag(read, b'r', b'-')?,
            write: flag(write, b'w', b'-')?,
            execute: flag(execute, b'x', b'-')?,
            shared: flag(sharing, b's', b'p')?,
        })
    }

    /// The four letters.
    pub fn letters(self) -> [char; 4] {
        let letter = |flag, yes, no| if flag { yes } else { no };
        [
            letter(self.read, 'r', '-'),
            letter(self.write, 'w', '-'),
            letter(self.execute, 'x', '-'),
            letter(self.shared, 's', 'p'),
        ]
    }
}

/// Four letters, as in `/proc/PID/maps`.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_iter(self.letters()))
    }
}

/// The file behind a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// Its path as the kernel says it, which is any bytes; ` (deleted)` at the end where it is so.
    pub path: Vec<u8>,
    /// The offset in the file at which the mapping begins, in bytes.
    pub offset: u64,
    /// The major and minor number of the device that it lies on.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
}

/// The entry of a region in a process's map (`proc_pid_maps(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its permissions.
    pub permissions: Permissions,
    /// The file behind it, that of shared memory too.
    pub backing: Option<Backing>,
}

/// An extent and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its addresses.
    pub extent: Extent,
    /// Its use.
    pub kind: RegionKind,
    /// The machine's own name for it (`System RAM (kmem)`), for people; may be empty.
    pub label: String,
    /// The address of its first byte in the other space of the same machine: the direct-map address
    /// of physical memory, the physical address of kernel memory that is contiguous there. The
    /// whole region is shifted by the same distance.
    pub alias: Option<u64>,
    /// In a process: its mapping. Such regions stay apart also where one continues another.
    pub mapping: Option<Mapping>,
}

impl Region {
    /// A region with no label, no alias and no mapping.
    pub fn new(extent: Extent, kind: RegionKind) -> Self {
        Self { extent, kind, label: String::new(), alias: None, mapping: None }
    }

    /// The part of it inside `window`, its alias and file offset moved along.
    pub fn clip(&self, window: Extent) -> Option<Region> {
        let extent = self.extent.intersection(window)?;
        let shift = extent.start() - self.extent.start();
        let mut region = Region { extent, ..self.clone() };
        region.alias = self.alias.map(|address| address.wrapping_add(shift));
        if let Some(backing) = region.mapping.as_mut().and_then(|mapping| mapping.backing.as_mut())
        {
            backing.offset = backing.offset.wrapping_add(shift);
        }
        Some(region)
    }

    /// Returns true if `next` begins where this ends, in both spaces, and is of the same kind.
    fn continues_in(&self, next: &Region) -> bool {
        let aliases_meet = match (self.alias, next.alias) {
            (Some(here), Some(there)) => here.wrapping_add(self.extent.len()) == there,
            (None, None) => true,
            _ => false,
        };
        self.extent.end() == next.extent.start()
            && aliases_meet
            && self.kind == next.kind
            && self.label == next.label
            && self.mapping.is_none()
            && next.mapping.is_none()
    }
}

/// Sorted regions of one space, no two of which overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    space: Space,
    regions: Vec<Region>,
}

/// The reason that regions do not make a [`MemoryMap`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the regions {first} and {second} overlap")]
pub struct MapError {
    first: Extent,
    second: Extent,
}

impl MemoryMap {
    /// Sorts `regions`, and joins those that continue each other.
    ///
    /// # Errors
    /// When two of them overlap: which of the two is right is for the caller to know.
    pub fn new(space: Space, mut regions: Vec<Region>) -> Result<Self, MapError> {
        regions.sort_by_key(|region| region.extent);
        if let Some([a, b]) =
            regions.array_windows().find(|[a, b]| a.extent.end() > b.extent.start())
        {
            return Err(MapError { first: a.extent, second: b.extent });
        }
        Ok(Self { space, regions: join(regions) })
    }

    /// The space that these addresses belong to.
    pub fn space(&self) -> Space {
        self.space
    }

    /// The regions, ascending.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The addresses of all regions.
    pub fn extents(&self) -> ExtentSet {
        self.regions.iter().map(|region| region.extent).collect()
    }

    /// The length of all regions together, in bytes.
    pub fn total(&self) -> u64 {
        self.regions.iter().map(|region| region.extent.len()).sum()
    }

    /// The region around `addr`.
    pub fn find(&self, addr: u64) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.extent.start() <= addr);
        self.regions[..after].last().filter(|region| region.extent.contains(addr))
    }

    /// The same memory in as few regions as may be: those that go on in both spaces become one,
    /// whatever they are for.
    pub fn joined(&self) -> MemoryMap {
        let plain = self.regions.iter().map(|region| Region {
            alias: region.alias,
            ..Region::new(region.extent, RegionKind::Unknown)
        });
        MemoryMap { space: self.space, regions: join(plain.collect()) }
    }

    /// The part of the map inside `window`.
    pub fn clip(&self, window: &ExtentSet) -> MemoryMap {
        let regions = self
            .regions
            .iter()
            .flat_map(|region| window.within(region.extent).filter_map(|piece| region.clip(piece)));
        MemoryMap { space: self.space, regions: regions.collect() }
    }

    /// The part of the map outside `holes`.
    pub fn subtract(&self, holes: &ExtentSet) -> MemoryMap {
        self.clip(&self.extents().difference(holes))
    }

    /// The first `limit` bytes of the map, counted over its regions.
    pub fn truncate(&self, limit: u64) -> MemoryMap {
        let mut left = limit;
        let regions = self.regions.iter().map_while(|region| {
            let (head, _) = region.extent.split_at(left);
            let head = region.clip(head?)?;
            left -= head.extent.len();
            Some(head)
        });
        MemoryMap { space: self.space, regions: regions.collect() }
    }
}

/// Makes one of sorted regions that continue each other.
fn join(mut regions: Vec<Region>) -> Vec<Region> {
    regions.dedup_by(|next, region| {
        let joins = region.continues_in(next);
        if let (true, Ok(both)) =
            (joins, Extent::half_open(region.extent.start(), next.extent.end()))
        {
            region.extent = both;
        }
        joins
    });
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, end: u64, alias: Option<u64>) -> Region {
        let extent = Extent::half_open(start, end).unwrap();
        Region { alias, ..Region::new(extent, RegionKind::Ram) }
    }

    #[test]
    fn joins_only_what_continues_in_both_spaces() {
        let map = MemoryMap::new(
            Space::Physical,
            vec![
                region(0x3000, 0x4000, Some(0x9000)),
                region(0x1000, 0x2000, Some(0x7000)),
                region(0x2000, 0x3000, Some(0x8000)),
                region(0x4000, 0x5000, Some(0x1000)),
            ],
        )
        .unwrap();
        assert_eq!(
            map.regions(),
            [region(0x1000, 0x4000, Some(0x7000)), region(0x4000, 0x5000, Some(0x1000))]
        );
        assert_eq!(map.find(0x3fff).unwrap().extent.start(), 0x1000);
        assert!(map.find(0x5000).is_none());
    }

    #[test]
    fn overlap_is_refused() {
        let overlapping = vec![region(0, 0x2000, None), region(0x1fff, 0x3000, None)];
        let error = MemoryMap::new(Space::Physical, overlapping).unwrap_err();
        assert_eq!(error.to_string(), "the regions 0x0-0x2000 and 0x1fff-0x3000 overlap");
    }

    #[test]
    fn a_cut_moves_the_alias_along() {
        let map =
            MemoryMap::new(Space::Physical, vec![region(0x1000, 0x5000, Some(0xf000))]).unwrap();
        let hole = [Extent::half_open(0x2000, 0x3000).unwrap()].into_iter().collect();
        assert_eq!(
            map.subtract(&hole).regions(),
            [region(0x1000, 0x2000, Some(0xf000)), region(0x3000, 0x5000, Some(0x11000))]
        );
        assert_eq!(map.truncate(0x1800).total(), 0x1800);
        assert_eq!(map.truncate(0).regions(), []);
        assert_eq!(map.truncate(u64::MAX), map);
    }
}
