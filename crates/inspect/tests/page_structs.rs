//! Page structures laid out word by word in a made-up machine, with page tables that lead to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use memdump_image::{
    AddressSpace, Arch, Cause, Extent, Facts, MemoryMap, PageUse, PageUses, ReadError, Region,
    RegionKind, Space, VmCoreInfo,
};
use memdump_inspect::kernel::{PageStructs, PageStructsError};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
/// The end of physical memory.
const RAM: u64 = 64 * MIB;
/// The top page table, in the kernel's image: `phys_base` is 16 MiB, and the table 2 MiB into the image.
const PHYS_BASE: u64 = 16 * MIB;
const TOP_VIRT: u64 = 0xffff_ffff_8020_0000;
const TOP: u64 = PHYS_BASE + 2 * MIB;
/// The virtual address of the array of structures, and the memory that holds it.
const ARRAY: u64 = 0xffff_ea00_0000_0000;
const ARRAY_PHYS: u64 = 32 * MIB;
/// The addresses of mem_section, its first root and the first section.
const SECTIONS: u64 = 0xffff_8880_0300_0000;
const SECTIONS_PHYS: u64 = 48 * MIB;
const LEN: u64 = 64;

const LRU: u64 = 1 << 4;
const SWAPBACKED: u64 = 1 << 19;
const SLAB: u64 = 1 << 9;
const BUDDY: u32 = -129_i32 as u32;

fn info() -> String {
    format!(
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)={TOP_VIRT:x}\n\
         NUMBER(phys_base)={PHYS_BASE}\nNUMBER(pgtable_l5_enabled)=0\n\
         SYMBOL(mem_section)={SECTIONS:x}\nLENGTH(mem_section)=2048\nSIZE(mem_section)=32\n\
         OFFSET(mem_section.section_mem_map)=0\nSIZE(page)={LEN}\nOFFSET(page.flags)=0\n\
         OFFSET(page.mapping)=24\nOFFSET(page._mapcount)=48\nOFFSET(page.private)=40\n\
         OFFSET(page.compound_head)=8\nNUMBER(PG_lru)=4\nNUMBER(PG_swapbacked)=19\n\
         NUMBER(PG_slab)=9\nNUMBER(PG_hwpoison)=22\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n"
    )
}

/// Physical memory that is zero where nothing was put.
struct Ram {
    map: MemoryMap,
    words: BTreeMap<u64, u64>,
}

impl Ram {
    fn new() -> Self {
        let whole = Extent::half_open(0, RAM).unwrap();
        let regions = vec![Region::new(whole, RegionKind::Ram)];
        let map = MemoryMap::new(Space::Physical, regions).unwrap();
        let mut ram = Self { map, words: BTreeMap::new() };
        ram.map_large(ARRAY, ARRAY_PHYS, 0x4000);
        ram.map_large(SECTIONS, SECTIONS_PHYS, 0x8000);
        // The second root; in it the third section.
        let root = SECTIONS + 0x1_0000;
        ram.words.insert(SECTIONS_PHYS + 8, root);
        ram.words.insert(SECTIONS_PHYS + 0x1_0000 + 2 * 32, ARRAY | 7);
        ram
    }

    /// Maps 2 MiB through three tables that lie at `tables` after the top one.
    fn map_large(&mut self, virt: u64, phys: u64, tables: u64) {
        let index = |level: u64| virt >> (12 + 9 * (level - 1)) & 511;
        let (third, second) = (TOP + tables, TOP + tables + 0x1000);
        self.words.insert(TOP + index(4) * 8, third | 0x63);
        self.words.insert(third + index(3) * 8, second | 0x63);
        self.words.insert(second + index(2) * 8, phys | 0xe3);
    }

    fn page(&mut self, frame: u64, fields: &[(u64, u64)]) {
        for (offset, value) in fields {
            self.words.insert(ARRAY_PHYS + frame * LEN + offset, *value);
        }
    }
}

impl AddressSpace for Ram {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let here = Extent::with_len(addr, buf.len() as u64).ok();
        let here = here.and_then(|here| here.intersection(self.map.regions()[0].extent));
        let Some(here) = here.filter(|here| here.start() == addr) else {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        };
        let buf = &mut buf[..here.len() as usize];
        buf.fill(0);
        for (at, word) in self.words.range(addr.saturating_sub(7)..here.end()) {
            for (index, byte) in word.to_le_bytes().into_iter().enumerate() {
                let place = (at + index as u64).checked_sub(addr).map(|place| place as usize);
                if let Some(place) = place.and_then(|place| buf.get_mut(place)) {
                    *place = byte;
                }
            }
        }
        Ok(buf.len())
    }
}

fn of(arch: Arch) -> Facts {
    Facts { arch: Some(arch), ..Facts::default() }
}

fn find(ram: Ram, info: &str) -> Result<PageStructs, PageStructsError> {
    let info = VmCoreInfo::new(info.as_bytes().to_vec()).unwrap();
    PageStructs::find(Arc::new(ram), &info, &of(Arch::X86_64))
}

#[test]
fn each_page_is_told_by_its_structure() {
    const MAPPING: u64 = 24;
    const PRIVATE: u64 = 40;
    const MAPCOUNT: u64 = 48;
    const HEAD: u64 = 8;
    let mut ram = Ram::new();
    // Free: four pages from 100 on, of which only the first says so.
    ram.page(100, &[(MAPCOUNT, u64::from(BUDDY)), (PRIVATE, 2)]);
    ram.page(110, &[(0, LRU)]);
    ram.page(111, &[(0, LRU | SWAPBACKED)]);
    ram.page(112, &[(0, LRU | SWAPBACKED), (MAPPING, 0xffff_8880_0000_0001)]);
    ram.page(113, &[(0, SLAB), (MAPPING, 1)]);
    // Of two pages: what the first is for, the second is for too.
    ram.page(120, &[(0, LRU), (MAPPING, 0xffff_8880_0000_0001)]);
    ram.page(121, &[(HEAD, (ARRAY + 120 * LEN) | 1)]);
    ram.page(122, &[(HEAD, (ARRAY + 113 * LEN) | 1)]);
    // It says that it leads out of memory.
    ram.page(123, &[(HEAD, 0xffff_ffff_ffff_ffc1)]);
    let structs = find(ram, &info()).unwrap();
    let uses = structs.page_uses(101..125).unwrap();
    let told = |frame: usize| uses[frame - 101];
    assert_eq!(uses.len(), 24);
    for frame in 101..104 {
        assert_eq!(told(frame), Some(PageUse::Free), "{frame}");
    }
    for (frame, wanted) in [
        (104, None),
        (110, Some(PageUse::Cache)),
        (111, Some(PageUse::User)),
        (112, Some(PageUse::User)),
        (113, None),
        (120, Some(PageUse::User)),
        (121, Some(PageUse::User)),
        (122, None),
        (123, None),
    ] {
        assert_eq!(told(frame), wanted, "{frame}");
    }
    // Nothing is mapped so far up the array: nothing is known, and nothing is left out.
    assert_eq!(structs.page_uses(40_000..40_002).unwrap(), [None, None]);
}

#[test]
fn what_is_lacking_is_named() {
    for line in ["SYMBOL(mem_section)", "SIZE(page)", "NUMBER(PG_lru)", "NUMBER(phys_base)"] {
        let kept: Vec<_> =
            info().lines().filter(|kept| !kept.starts_with(line)).map(str::to_owned).collect();
        let error = find(Ram::new(), &kept.join("\n")).err().unwrap().to_string();
        let name = line.split(['(', ')']).nth(1).unwrap();
        assert!(error.contains(name), "{error}");
    }
    let error =
        find(Ram::new(), &info().replace("OFFSET(page.mapping)=24", "OFFSET(page.mapping)=60"));
    assert!(error.err().unwrap().to_string().contains("page.mapping"));
    let info = VmCoreInfo::new(info().into_bytes()).unwrap();
    let arm = PageStructs::find(Arc::new(Ram::new()), &info, &of(Arch::Aarch64));
    assert!(matches!(arm, Err(PageStructsError::Machine)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_structure_leads_astray(
        words in prop::collection::vec((0..RAM / 8, any::<u64>()), 0..50),
        structs in prop::collection::vec((0_u64..2000, 0_u64..8, any::<u64>()), 0..100),
        numbers in prop::collection::vec((0_usize..20, any::<u64>()), 0..4),
        first in 0_u64..20_000,
    ) {
        let mut ram = Ram::new();
        ram.words.extend(words.into_iter().map(|(place, word)| (place * 8, word)));
        for (frame, field, value) in structs {
            ram.page(frame, &[(field * 8, value)]);
        }
        let mut lines: Vec<String> = info().lines().map(str::to_owned).collect();
        for (line, number) in numbers {
            let key = lines[line].split('=').next().unwrap().to_owned();
            lines[line] = format!("{key}={number}");
        }
        if let Ok(structs) = find(ram, &lines.join("\n")) {
            prop_assert!(structs.page_uses(first..first + 300).unwrap().len() <= 300);
        }
    }
}
