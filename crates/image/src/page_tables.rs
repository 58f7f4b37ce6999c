//! The kernel's page tables on x86-64, read through physical memory, live or in an image.
//!
//! Layout: Intel SDM volume 3, chapter 5 (4-level and 5-level paging): tables of 512 entries of 8
//! bytes; bit 0 present, bit 7 of a level above the last a large page, bits 12 to 51 the address.
//! Their content is as hostile as any input: depth, tables and results are bounded.

use std::cell::Cell;

use crate::{AddressSpace, Extent, ExtentSet, VmCoreInfo};

const ENTRIES: u64 = 512;
const TABLE_LEN: usize = 4096;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// 24 MiB of them: with more, another way is taken than to keep them all.
const MAX_TRANSLATIONS: usize = 1 << 20;
/// `__START_KERNEL_map` (`arch/x86/include/asm/page_64_types.h`): where the kernel's image is mapped from, `phys_base` being there.
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// The reason that page tables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageTablesError {
    /// They refer to each other in circles, or are no page tables.
    #[error("the page tables have more tables than RAM has pages")]
    TooManyTables,
    /// The mapped memory lies in too many pieces.
    #[error("the page tables map more than {MAX_TRANSLATIONS} runs")]
    TooManyRuns,
    /// Their place is not known.
    #[error("VMCOREINFO lacks {0}")]
    Lacking(&'static str),
}

/// A run of virtual addresses and where it stands in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The virtual addresses.
    pub virt: Extent,
    /// The physical address of the first.
    pub phys: u64,
}

impl Translation {
    /// The parts of it that stand in `ram`.
    pub fn within(self, ram: &ExtentSet) -> Vec<Translation> {
        let Ok(phys) = Extent::with_len(self.phys, self.virt.len()) else { return Vec::new() };
        let whole: ExtentSet = [phys].into_iter().collect();
        let part = |phys: Extent| {
            let start = self.virt.start() + (phys.start() - self.phys);
            Some(Translation {
                virt: Extent::with_len(start, phys.len()).ok()?,
                phys: phys.start(),
            })
        };
        if ram.covers(phys) {
            return vec![self];
        }
        whole.intersection(ram).iter().filter_map(part).collect()
    }
}

/// The kernel's page tables.
pub struct PageTables<'a> {
    physical: &'a dyn AddressSpace,
    top: u64,
    levels: u32,
    /// Set in the addresses of encrypted memory (AMD SME).
    encryption_bit: u64,
    /// The number of tables that may still be read: no more than fit into RAM.
    budget: Cell<u64>,
}

impl<'a> PageTables<'a> {
    /// The tables whose topmost is at the physical address `top`.
    pub fn new(physical: &'a dyn AddressSpace, info: &VmCoreInfo, top: u64) -> Self {
        let levels = if info.number("pgtable_l5_enabled") == Some(1) { 5 } else { 4 };
        Self {
            physical,
            top,
            levels,
            encryption_bit: info.number("sme_mask").unwrap_or(0).cast_unsigned(),
            budget: Cell::new(physical.map().total() / TABLE_LEN as u64),
        }
    }

    /// Finds the topmost table by what the kernel says of itself: `swapper_pg_dir` lies in its image, which begins at `phys_base`.
    ///
    /// # Errors
    /// When VMCOREINFO lacks one of the two.
    pub fn find(
        physical: &'a dyn AddressSpace,
        info: &VmCoreInfo,
    ) -> Result<Self, PageTablesError> {
        let top =
            info.symbol("swapper_pg_dir").ok_or(PageTablesError::Lacking("swapper_pg_dir"))?;
        let base = info.number("phys_base").ok_or(PageTablesError::Lacking("phys_base"))?;
        let top = top.wrapping_sub(START_KERNEL_MAP).wrapping_add(base.cast_unsigned());
        Ok(Self::new(physical, info, top))
    }

    /// The mapped parts of `window`, ascending. Neighbours in both spaces are joined.
    ///
    /// # Errors
    /// When there are more tables than RAM has pages, in all calls together, or too many runs.
    pub fn mapped(&self, window: Extent) -> Result<Vec<Translation>, PageTablesError> {
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
        found: &mut Vec<Translation>,
    ) -> Result<(), PageTablesError> {
        let left = self.budget.get().checked_sub(1);
        self.budget.set(left.ok_or(PageTablesError::TooManyTables)?);
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
                push(
                    found,
                    Translation { virt: part, phys: phys + (part.start() - covered.start()) },
                )?;
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
        self.physical.read_exact(table, bytes).ok()
    }
}

fn push(found: &mut Vec<Translation>, next: Translation) -> Result<(), PageTablesError> {
    if let Some(last) = found.last_mut()
        && last.virt.end() == next.virt.start()
        && last.phys.wrapping_add(last.virt.len()) == next.phys
    {
        last.virt = last.virt.hull(next.virt);
        return Ok(());
    }
    if found.len() == MAX_TRANSLATIONS {
        return Err(PageTablesError::TooManyRuns);
    }
    found.push(next);
    Ok(())
}
