//! Page tables laid out entry by entry in a made-up physical memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tables::unmapped;

const PAGE: u64 = 4096;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Flags that say nothing about where a page is: writable, accessed, dirty, global, no execution.
const FLAGS: u64 = 0x163 | 1 << 63;

/// The address of the made-up kernel's image, and of the top table in it.
const IMAGE: u64 = 0xffff_ffff_8100_0000;
const IMAGE_PHYS: u64 = 0x20_0000;
const TOP_PHYS: u64 = IMAGE_PHYS + 0x5000;
const VMALLOC: u64 = 0xffff_c900_0000_0000;
const VMALLOC_5: u64 = 0xffa0_0000_0000_0000;

/// Physical memory that is zero where nothing was put.
struct Ram {
    map: MemoryMap,
    words: BTreeMap<u64, u64>,
}

impl Ram {
    fn new() -> Self {
        let extent = Extent::half_open(0x1000, 0x1000_0000).unwrap();
        let region =
            Region { alias: Some(0xffff_8880_0000_1000), ..Region::new(extent, RegionKind::Ram) };
        Self { map: MemoryMap::new(Space::Physical, vec![region]).unwrap(), words: BTreeMap::new() }
    }

    /// Maps `virt` by a leaf at `level` (1 a page, 2 of 2 MiB, 3 of 1 GiB) through tables of
    /// `levels`; tables are taken from 0x100000 on.
    fn put(&mut self, levels: u32, virt: u64, phys: u64, level: u32) {
        let mut table = TOP_PHYS;
        for at in (level..=levels).rev() {
            let index = virt >> (12 + 9 * (at - 1)) & 511;
            let entry = table + index * 8;
            if at == level {
                let large = if level > 1 { LARGE } else { 0 };
                self.words.insert(entry, phys | FLAGS | large);
                return;
            }
            let next = match self.words.get(&entry) {
                Some(entry) => entry & 0x000f_ffff_ffff_f000,
                None => 0x10_0000 + self.words.len() as u64 * PAGE,
            };
            self.words.insert(entry, next | FLAGS);
            table = next;
        }
    }
}

impl AddressSpace for Ram {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        if self.map.find(addr).is_none() {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        }
        for (byte, addr) in buf.iter_mut().zip(addr..) {
            let word = self.words.get(&(addr & !7)).copied();
            *byte = match word {
                Some(word) => word.to_le_bytes()[(addr % 8) as usize],
                // Something to recognise pages by.
                None if addr >= 0x80_0000 => (addr >> 12) as u8,
                None => 0,
            };
        }
        Ok(buf.len())
    }
}

fn vmcoreinfo(five_levels: bool) -> VmCoreInfo {
    let top = IMAGE + (TOP_PHYS - IMAGE_PHYS);
    let levels = u8::from(five_levels);
    let text = format!("SYMBOL(swapper_pg_dir)={top:x}\nNUMBER(pgtable_l5_enabled)={levels}\n");
    VmCoreInfo::new(text.into_bytes()).unwrap()
}

fn segments(vmalloc: u64) -> KernelSegments {
    let segment = |vaddr, paddr, memory_size| Segment {
        offset: 0,
        vaddr,
        paddr,
        file_size: memory_size,
        memory_size,
        flags: 0,
        header: 0,
        is_32_bit: false,
    };
    let none = memdump_image::elf::NO_PADDR;
    KernelSegments {
        image: vec![segment(IMAGE, IMAGE_PHYS, 0x20_0000)],
        mapped: vec![
            segment(vmalloc, none, 1 << 44),
            segment(vmalloc + (1 << 45), none, 3 * PAGE),
            segment(vmalloc + (1 << 45) + 4 * PAGE, none, PAGE),
            segment(0xffff_ffff_c000_0000, none, 0x3f00_0000),
        ],
    }
}

fn open_with(ram: Ram, five_levels: bool, direct_map: bool) -> Result<Kernel, String> {
    let machine = Machine::here();
    let info = vmcoreinfo(five_levels);
    let vmalloc = if five_levels { VMALLOC_5 } else { VMALLOC };
    let source = KernelSource {
        machine: &machine,
        path: Path::new("/nonexistent"),
        physical: Arc::new(ram),
        segments: segments(vmalloc),
        vmcoreinfo: Some(&info),
        arch: Some(Arch::X86_64),
        direct_map,
    };
    by_page_tables(&source, &areas(&source.segments))
}

fn found(kernel: &Kernel) -> Vec<(u64, u64, RegionKind, Option<u64>)> {
    let regions = kernel.map.regions().iter();
    regions
        .map(|region| (region.extent.start(), region.extent.len(), region.kind, region.alias))
        .collect()
}

#[test]
fn what_is_mapped_is_found_with_four_and_five_levels() {
    for (levels, vmalloc) in [(4, VMALLOC), (5, VMALLOC_5)] {
        let mut ram = Ram::new();
        ram.put(levels, IMAGE, IMAGE_PHYS, 2);
        // Three pages in a row, of which the second stands elsewhere; then one alone.
        ram.put(levels, vmalloc + 0x1000, 0x90_1000, 1);
        ram.put(levels, vmalloc + 0x2000, 0x80_5000, 1);
        ram.put(levels, vmalloc + 0x3000, 0x90_3000, 1);
        ram.put(levels, vmalloc + 0x20_0000, 0xa0_0000, 2);
        // Page structures: the page between kcore's two segments is mapped as well.
        ram.put(levels, vmalloc + (1 << 45), 0xc0_0000, 2);
        ram.put(levels, 0xffff_ffff_c000_5000, 0x95_0000, 1);
        let kernel = open_with(ram, levels == 5, false).unwrap();
        assert_eq!(
            found(&kernel),
            [
                (vmalloc + 0x1000, 0x3000, RegionKind::Vmalloc, None),
                (vmalloc + 0x20_0000, 0x20_0000, RegionKind::Vmalloc, Some(0xa0_0000)),
                (vmalloc + (1 << 45), 5 * PAGE, RegionKind::Vmemmap, Some(0xc0_0000)),
                (IMAGE, 0x20_0000, RegionKind::KernelImage, Some(IMAGE_PHYS)),
                (0xffff_ffff_c000_5000, PAGE, RegionKind::Modules, Some(0x95_0000)),
            ],
            "{levels} levels"
        );
        // A read goes on over the borders of mappings and ends with the run.
        let mut bytes = vec![0; 0x4000];
        assert_eq!(kernel.read_at(vmalloc + 0x1800, &mut bytes).unwrap(), 0x2800);
        assert_eq!([bytes[0], bytes[0x800], bytes[0x1800]], [0x01, 0x05, 0x03]);
        let error = kernel.read_at(vmalloc, &mut bytes).unwrap_err();
        assert!(matches!(error, ReadError::Fault { cause: Cause::NotOffered, .. }));
    }
}

#[test]
fn what_is_no_ram_is_never_read() {
    let mut ram = Ram::new();
    ram.put(4, IMAGE, IMAGE_PHYS, 2);
    ram.put(4, VMALLOC, 0xfec0_0000, 1); // an I/O APIC
    ram.put(4, VMALLOC + 0x4000_0000, 0, 3); // 1 GiB, of which RAM is the first part but a page
    let kernel = open_with(ram, false, false).unwrap();
    let vmalloc: Vec<_> =
        found(&kernel).into_iter().filter(|found| found.2 == RegionKind::Vmalloc).collect();
    let expected = (VMALLOC + 0x4000_1000, 0x1000_0000 - 0x1000, RegionKind::Vmalloc, Some(0x1000));
    assert_eq!(vmalloc, [expected]);
}

#[test]
fn the_direct_map_comes_when_it_is_asked_for() {
    let mut ram = Ram::new();
    ram.put(4, IMAGE, IMAGE_PHYS, 2);
    let kernel = open_with(ram, false, true).unwrap();
    let expected =
        (0xffff_8880_0000_1000, 0x1000_0000 - 0x1000, RegionKind::DirectMap, Some(0x1000));
    assert_eq!(found(&kernel)[0], expected);
}

#[test]
fn ram_that_is_not_mapped_is_known() {
    let mut ram = Ram::new();
    ram.put(4, IMAGE, IMAGE_PHYS, 2);
    let direct_map = 0xffff_8880_0000_0000;
    for large in 1..128 {
        ram.put(4, direct_map + (large << 21), large << 21, 2);
    }
    // The first 2 MiB by single pages, but for two of them.
    for page in (1..512).filter(|page| ![7, 300].contains(page)) {
        ram.put(4, direct_map + page * PAGE, page * PAGE, 1);
    }
    let image = &segments(VMALLOC).image;
    let info = vmcoreinfo(false);
    let gaps = unmapped(&ram, Some(&info), Some(Arch::X86_64), image).unwrap();
    let page = |page| Extent::with_len(page * PAGE, PAGE).unwrap();
    assert_eq!(gaps.as_slice(), [page(7), page(300)]);
    assert_eq!(unmapped(&ram, None, Some(Arch::X86_64), image), None);
    assert_eq!(unmapped(&ram, Some(&info), Some(Arch::Aarch64), image), None);
}

#[test]
fn tables_that_name_themselves_end() {
    let mut ram = Ram::new();
    // Every entry of the top table is the top table: 512 to the power of 4 pages, for who believes it.
    for index in 0..512 {
        ram.words.insert(TOP_PHYS + index * 8, TOP_PHYS | PRESENT);
    }
    let error = open_with(ram, false, false).err().unwrap();
    assert!(error.starts_with("the page tables "), "{error}");
}

#[test]
fn without_page_tables_the_areas_of_vmallocinfo_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let area = "0xffffc90000001000-0xffffc90000004000   12288 some+0x1/0x2 pages=2 vmalloc\n";
    std::fs::write(folder.path().join("vmallocinfo"), area).unwrap();
    // As kcore: the vmalloc segment at offset 0 of the file.
    std::fs::write(folder.path().join("kcore"), [7; 0x8000]).unwrap();
    let machine = Machine { proc: folder.path().into(), sys: folder.path().into() };
    let path = folder.path().join("kcore");
    let source = KernelSource {
        machine: &machine,
        path: &path,
        physical: Arc::new(Ram::new()),
        segments: segments(VMALLOC),
        vmcoreinfo: None,
        arch: Some(Arch::Aarch64),
        direct_map: false,
    };
    let (space, way) = open(source).unwrap();
    assert!(way.unwrap().contains("page tables are walked on x86-64 only"));
    let vmalloc = space.map().find(VMALLOC + 0x1000).unwrap();
    assert_eq!((vmalloc.extent.len(), vmalloc.kind), (0x2000, RegionKind::Vmalloc));
    let mut bytes = [0; 16];
    assert_eq!(space.read_at(VMALLOC + 0x2ff8, &mut bytes).unwrap(), 16);
    assert_eq!(bytes, [7; 16]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_in_tables_is_survived(
        entries in prop::collection::vec((0u64..512, any::<u64>(), 0u64..0x400), 0..40),
        five_levels: bool,
    ) {
        let mut ram = Ram::new();
        for (index, value, page) in entries {
            ram.words.insert(TOP_PHYS + index * 8, value);
            ram.words.insert(0x10_0000 + page * PAGE + index * 8, (page * PAGE + 0x10_0000) | 1);
            ram.words.insert(TOP_PHYS + (511 - index) * 8, (0x10_0000 + page * PAGE) | PRESENT);
        }
        if let Ok(kernel) = open_with(ram, five_levels, false) {
            for region in kernel.map.regions().iter().take(32) {
                let _ = kernel.read_at(region.extent.start(), &mut [0; 256]);
                let _ = kernel.read_at(region.extent.last(), &mut [0; 256]);
            }
        }
    }
}
