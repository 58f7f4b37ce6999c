//! The kernel's page tables on x86-64, read through physical memory.
//!
//! Layout: Intel SDM volume 3, chapter 5 (4-level and 5-level paging): tables of 512 entries of 8
//! bytes; bit 0 present, bit 7 of a level above the last a large page, bits 12 to 51 the address.
//! Where the top table is: VMCOREINFO's `SYMBOL(swapper_pg_dir)`, a virtual address in the kernel's
//! image. Their content is as hostile as any input: depth, tables and results are bounded.

use std::cell::Cell;

use memdump_image::format::Segment;
use memdump_image::{AddressSpace, Extent, ExtentSet, VmCoreInfo};

const ENTRIES: u64 = 512;
const TABLE_LEN: usize = 4096;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// 24 MiB of them: with more, another way is taken than to keep them all.
const MAX_MAPPINGS: usize = 1 << 20;

/// A run of virtual addresses and where it stands in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) virt: Extent,
    pub(super) phys: u64,
}

impl Mapping {
    /// The parts of it that stand in `ram`.
    pub(super) fn within(self, ram: &ExtentSet) -> Vec<Mapping> {
        let Ok(phys) = Extent::with_len(self.phys, self.virt.len()) else { return Vec::new() };
        let whole: ExtentSet = [phys].into_iter().collect();
        let part = |phys: Extent| {
            let start = self.virt.start() + (phys.start() - self.phys);
            Some(Mapping { virt: Extent::with_len(start, phys.len()).ok()?, phys: phys.start() })
        };
        if ram.covers(phys) {
            return vec![self];
        }
        whole.intersection(ram).iter().filter_map(part).collect()
    }
}

/// The kernel's page tables.
pub(super) struct PageTables<'a> {
    physical: &'a dyn AddressSpace,
    top: u64,
    levels: u32,
    /// Set in the addresses of encrypted memory (AMD SME).
    encryption_bit: u64,
    /// How many more tables may be read: no more than fit into RAM.
    budget: Cell<u64>,
}

impl<'a> PageTables<'a> {
    /// Finds the top table; `image` are the segments of the kernel's image, which have physical
    /// addresses.
    pub(super) fn find(
        physical: &'a dyn AddressSpace,
        info: &VmCoreInfo,
        image: &[Segment],
    ) -> Result<Self, String> {
        let top = info.symbol("swapper_pg_dir").ok_or("VMCOREINFO lacks swapper_pg_dir")?;
        let inside = |segment: &&Segment| {
            top.checked_sub(segment.vaddr).is_some_and(|within| within < segment.memory_size)
        };
        let segment = image.iter().find(inside).ok_or("swapper_pg_dir is not in the image")?;
        let levels = if info.number("pgtable_l5_enabled") == Some(1) { 5 } else { 4 };
        Ok(Self {
            physical,
            top: segment.paddr.wrapping_add(top - segment.vaddr),
            levels,
            encryption_bit: info.number("sme_mask").unwrap_or(0).cast_unsigned(),
            budget: Cell::new(physical.map().total() / TABLE_LEN as u64),
        })
    }

    /// What is mapped of `window`, ascending, neighbours in both spaces joined.
    pub(super) fn mapped(&self, window: Extent) -> Result<Vec<Mapping>, String> {
        let mut found = Vec::new();
        self.walk(self.top, self.levels, 0, window, &mut found)?;
        Ok(found)
    }

    /// `base` is the virtual address of the table's first entry, its upper bits not yet extended.
    fn walk(
        &self,
        table: u64,
        level: u32,
        base: u64,
        window: Extent,
        found: &mut Vec<Mapping>,
    ) -> Result<(), String> {
        let left = self.budget.get().checked_sub(1);
        self.budget.set(left.ok_or("the page tables have more tables than RAM has pages")?);
        let mut bytes = [0; TABLE_LEN];
        if self.read_table(table, &mut bytes).is_none() {
            return Ok(());
        }
        let entry_len = 1_u64 << (12 + 9 * (level - 1));
        let (entries, _) = bytes.as_chunks::<8>();
        for (index, entry) in (0..ENTRIES).zip(entries) {
            let entry = u64::from_le_bytes(*entry);
            if entry & PRESENT == 0 {
                continue;
            }
            let virt = base + index * entry_len;
            let start = self.canonical(virt);
            // The last entry covers the last address, which no extent can hold.
            let Ok(covered) = Extent::half_open(start, start.saturating_add(entry_len)) else {
                continue;
            };
            let Some(part) = covered.intersection(window) else { continue };
            let phys = entry & ADDRESS & !self.encryption_bit;
            if level == 1 || (level <= 3 && entry & LARGE != 0) {
                // The low bits of a large page's address are flags.
                let phys = phys & !(entry_len - 1);
                push(found, Mapping { virt: part, phys: phys + (part.start() - covered.start()) })?;
            } else {
                self.walk(phys, level - 1, virt, window, found)?;
            }
        }
        Ok(())
    }

    /// Copies the highest translated bit into those above it.
    fn canonical(&self, virt: u64) -> u64 {
        let unused = 64 - (12 + 9 * self.levels);
        ((virt << unused).cast_signed() >> unused).cast_unsigned()
    }

    /// A table that is not in RAM, or cannot be read, maps nothing that can be.
    fn read_table(&self, table: u64, bytes: &mut [u8; TABLE_LEN]) -> Option<()> {
        let mut done = 0;
        while done < TABLE_LEN {
            done += self.physical.read_at(table + done as u64, &mut bytes[done..]).ok()?;
        }
        Some(())
    }
}

fn push(found: &mut Vec<Mapping>, mapping: Mapping) -> Result<(), String> {
    if let Some(last) = found.last_mut()
        && last.virt.end() == mapping.virt.start()
        && last.phys.wrapping_add(last.virt.len()) == mapping.phys
    {
        last.virt = Extent::half_open(last.virt.start(), mapping.virt.end())
            .map_err(|error| error.to_string())?;
        return Ok(());
    }
    if found.len() == MAX_MAPPINGS {
        return Err(format!("the page tables map more than {MAX_MAPPINGS} runs"));
    }
    found.push(mapping);
    Ok(())
}
