//! The running kernel's page tables of its direct map, found by VMCOREINFO and kcore's segments.

use memdump_image::elf::Segment;
use memdump_image::{AddressSpace, Arch, Extent, ExtentSet, PageTables, VmCoreInfo};

/// The RAM among `physical` that the kernel has no mapping for at its direct-map address: guard pages,
/// secret memory. Kernels from late 2024 on, and many older ones since, give zeros for it without a
/// word. None where the page tables cannot be asked.
pub(crate) fn unmapped(
    physical: &dyn AddressSpace,
    info: Option<&VmCoreInfo>,
    arch: Option<Arch>,
    image: &[Segment],
) -> Option<ExtentSet> {
    if arch != Some(Arch::X86_64) {
        return None;
    }
    let info = info?;
    let tables = PageTables::new(physical, info, top_table(info, image).ok()?);
    let mut unmapped = Vec::new();
    for region in physical.map().regions() {
        let virt = Extent::with_len(region.alias?, region.extent.len()).ok()?;
        let mapped: ExtentSet =
            tables.mapped(virt).ok()?.iter().map(|mapping| mapping.virt).collect();
        let whole: ExtentSet = [virt].into_iter().collect();
        unmapped.extend(whole.difference(&mapped).iter().filter_map(|gap| {
            let start = region.extent.start() + (gap.start() - virt.start());
            Extent::with_len(start, gap.len()).ok()
        }));
    }
    Some(unmapped.into_iter().collect())
}

/// The physical address of the topmost page table. It is in the kernel's image, whose segments have physical addresses.
pub(crate) fn top_table(info: &VmCoreInfo, image: &[Segment]) -> Result<u64, String> {
    let top = info.symbol("swapper_pg_dir").ok_or("VMCOREINFO lacks swapper_pg_dir")?;
    let inside = |segment: &&Segment| {
        top.checked_sub(segment.vaddr).is_some_and(|within| within < segment.memory_size)
    };
    let segment = image.iter().find(inside).ok_or("swapper_pg_dir is not in the image")?;
    Ok(segment.paddr.wrapping_add(top - segment.vaddr))
}
