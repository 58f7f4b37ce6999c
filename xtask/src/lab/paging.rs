//! The guest's page tables, walked in the hypervisor's memory: what the kernel had mapped, by its own tables and not by anything that
//! `/proc/kcore` says. Read by the layout of the Intel manual, volume 3A, chapter 4: 512 entries of 8 bytes, bit 0 present, bit 7 a
//! large page, bits 12 to 51 the address.

use anyhow::{Context, Result, ensure};
use lab_guest::pattern::PAGE;

use super::guest::Guest;
use super::truth::Memory;
use super::{Range, view};

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The addresses of the kernel's tables and ranges. Constant from boot to end.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The physical address of the topmost table.
    root: u64,
    levels: u32,
    /// The virtual address of physical address 0.
    direct_map: u64,
    /// The ranges that `-k` dumps: the image, modules, vmalloc, vmemmap. Ascending.
    pub(crate) ranges: Vec<(&'static str, Range)>,
}

/// A run of virtual addresses and the physical one that it begins at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) range: Range,
    pub(crate) physical: u64,
}

impl Kernel {
    /// Finds the tables by the guest's symbols, and the bases of its ranges, which are random, in its own variables.
    pub(crate) fn of(guest: &mut Guest) -> Result<Self> {
        let names =
            ["_text", "_end", "init_top_pgt", "page_offset_base", "vmalloc_base", "vmemmap_base"];
        let symbols = view::symbols(guest, &names)?;
        let code = view::kernel_code(guest)?;
        let registers = guest.monitor("info registers")?;
        // CR4.LA57, bit 12, turns the fifth level on.
        let cr4 = registers.split("CR4=").nth(1).context("QEMU prints CR4")?;
        let cr4 = u64::from_str_radix(&cr4[..8], 16).context("CR4")?;
        let levels = if cr4 & (1 << 12) == 0 { 4 } else { 5 };
        // The image is mapped as one piece, so distances are equal in both spaces.
        let physical = |name: &str| code + (symbols[name] - symbols["_text"]);
        let [direct_map, vmalloc, vmemmap] = guest.paused(|_, memory| {
            let value = |name: &str| {
                let mut bytes = [0; 8];
                ensure!(memory.read(physical(name), &mut bytes)?, "{name} is not in RAM");
                Ok(u64::from_le_bytes(bytes))
            };
            Ok([value("page_offset_base")?, value("vmalloc_base")?, value("vmemmap_base")?])
        })?;
        // Documentation/arch/x86/x86_64/mm.rst: 32 TiB or 12.5 PiB of vmalloc; modules from the end of the image's gigabyte.
        let vmalloc_size = if levels == 4 { 32 << 40 } else { 12800 << 40 };
        Ok(Self {
            root: physical("init_top_pgt"),
            levels,
            direct_map,
            ranges: vec![
                ("vmalloc", vmalloc..vmalloc + vmalloc_size - 1),
                ("vmemmap", vmemmap..vmemmap + (1 << 40)),
                ("kernel image", symbols["_text"]..symbols["_end"]),
                ("modules", 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000),
            ],
        })
    }

    /// The mappings in `range` of virtual addresses, ascending.
    pub(crate) fn mapped(&self, memory: &Memory, range: &Range) -> Result<Vec<Leaf>> {
        let mut found = Vec::new();
        self.walk(memory, self.root, self.levels, 0, range, &mut found)?;
        Ok(found)
    }

    /// The pages of `ram` that the kernel's direct map lacks. Kernels before 6.13 cannot read those through `/proc/kcore`.
    pub(crate) fn unmapped(&self, memory: &Memory, ram: &[Range]) -> Result<Vec<Range>> {
        let mut holes = Vec::new();
        for range in ram {
            let mut at = range.start;
            let seen = self.direct_map + range.start..self.direct_map + range.end;
            for leaf in self.mapped(memory, &seen)? {
                let start = leaf.range.start - self.direct_map;
                if at < start {
                    holes.push(at..start);
                }
                at = leaf.range.end - self.direct_map;
            }
            if at < range.end {
                holes.push(at..range.end);
            }
        }
        Ok(holes)
    }

    fn walk(
        &self,
        memory: &Memory,
        table: u64,
        level: u32,
        base: u64,
        range: &Range,
        found: &mut Vec<Leaf>,
    ) -> Result<()> {
        let entries = memory
            .page(table)?
            .with_context(|| format!("the page table at {table:#x} is not in RAM"))?;
        let span = 1_u64 << (12 + 9 * (level - 1));
        for (index, entry) in entries.as_chunks::<8>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            let start = base | sign_extended(index as u64 * span, level, self.levels);
            // The topmost range of all ends at 2^64.
            let last = start + (span - 1);
            if entry & PRESENT == 0 || last < range.start || start >= range.end {
                continue;
            }
            if level > 1 && (entry & LARGE == 0 || level > 3) {
                self.walk(memory, entry & ADDRESS, level - 1, start, range, found)?;
                continue;
            }
            // Bit 12 of a large page's entry is its memory type, so the address is taken by the size.
            let physical = entry & ADDRESS & !(span - 1);
            let clipped = start.max(range.start)..last.saturating_add(1).min(range.end);
            let physical = physical + (clipped.start - start);
            debug_assert_eq!(clipped.start % PAGE as u64, 0);
            match found.last_mut() {
                Some(before)
                    if before.range.end == clipped.start
                        && before.physical + (before.range.end - before.range.start)
                            == physical =>
                {
                    before.range.end = clipped.end;
                }
                _ => found.push(Leaf { range: clipped, physical }),
            }
        }
        Ok(())
    }
}

/// The topmost table's upper half stands for addresses whose upper bits are all ones.
fn sign_extended(address: u64, level: u32, levels: u32) -> u64 {
    let bits = 12 + 9 * levels;
    if level == levels && address >> (bits - 1) == 1 {
        address | (u64::MAX << bits)
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Four tables at 0x0, 0x1000, 0x2000 and 0x3000: the last gigabyte of all addresses, with a large page and two small ones.
    fn memory() -> Memory {
        let mut bytes = vec![0; 4 * PAGE];
        let mut entry = |table: usize, index: usize, value: u64| {
            let at = table * PAGE + index * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        entry(0, 511, 0x1000 | PRESENT);
        entry(1, 511, 0x2000 | PRESENT);
        // Bit 12 of a large page's entry is no part of its address, bit 63 forbids execution.
        entry(2, 0, (1 << 63) | 0x4000_0000 | 0x1000 | LARGE | PRESENT);
        entry(2, 511, 0x3000 | PRESENT);
        entry(3, 510, 0x7000 | PRESENT);
        entry(3, 511, 0x8000 | PRESENT);
        entry(3, 5, 0x9000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        Memory::in_file(0..4 * PAGE as u64, file)
    }

    fn kernel(direct_map: u64) -> Kernel {
        Kernel { root: 0, levels: 4, direct_map, ranges: Vec::new() }
    }

    const LAST_GIGABYTE: u64 = 0xffff_ffff_c000_0000;

    #[test]
    fn what_is_present_is_found_up_to_the_last_address() {
        let found = kernel(0).mapped(&memory(), &(LAST_GIGABYTE..u64::MAX)).unwrap();
        assert_eq!(
            found,
            [
                Leaf { range: LAST_GIGABYTE..LAST_GIGABYTE + 0x20_0000, physical: 0x4000_0000 },
                Leaf { range: 0xffff_ffff_ffff_e000..u64::MAX, physical: 0x7000 },
            ]
        );
    }

    #[test]
    fn what_the_direct_map_lacks_is_told() {
        let memory = memory();
        let kernel = kernel(LAST_GIGABYTE);
        let ram = [0x1000..0x2000, 0x10_0000..0x30_0000, 0x40_0000..0x50_0000];
        let holes = kernel.unmapped(&memory, &ram).unwrap();
        assert_eq!(holes, [0x20_0000..0x30_0000, 0x40_0000..0x50_0000]);
    }
}
