//! The physical addresses that are RAM, by the machine's several accounts of it.

use memdump_image::{Cause, Extent, ExtentSet, Hole, Region, RegionKind};

use crate::machine::{Machine, page_size};
use crate::proc::iomem::{self, IomemError};

/// The RAM that `/proc/iomem` names: each range with its name, to the byte.
pub(super) struct IomemRam {
    pub(super) ranges: Vec<Region>,
}

impl IomemRam {
    /// None when the kernel shows no such file or hides the addresses; the reason is for people.
    pub(super) fn read(machine: &Machine) -> Result<Self, String> {
        let resources = match machine.iomem() {
            None => return Err("/proc/iomem cannot be read".into()),
            Some(Err(error @ (IomemError::Hidden | IomemError::Empty))) => {
                return Err(error.to_string());
            }
            Some(Ok(resources)) => resources,
        };
        let ranges = iomem::system_ram(&resources).into_iter().map(|ram| Region {
            label: ram.name.clone(),
            ..Region::new(ram.extent, RegionKind::Ram)
        });
        Ok(Self { ranges: ranges.collect() })
    }

    pub(super) fn extents(&self) -> ExtentSet {
        self.ranges.iter().map(|range| range.extent).collect()
    }

    /// The whole pages of each range: what the kernel manages. A page that two ranges share is in
    /// neither.
    pub(super) fn whole_pages(&self) -> Vec<Region> {
        let whole = |range: &Region| range.clip(range.extent.align_inward(page_size())?);
        self.ranges.iter().filter_map(whole).collect()
    }

    /// RAM that is named here and not in `offered`, and why.
    pub(super) fn omitted(&self, offered: &ExtentSet) -> Vec<Hole> {
        let missing = self.extents().difference(offered);
        let pages: ExtentSet = self.whole_pages().iter().map(|range| range.extent).collect();
        let mut holes: Vec<Hole> = [
            (missing.intersection(&pages), Cause::NotOffered),
            (missing.difference(&pages), Cause::PartialPage),
        ]
        .iter()
        .flat_map(|(extents, cause)| extents.iter().map(|extent| Hole { extent, cause: *cause }))
        .collect();
        holes.sort_by_key(|hole| hole.extent);
        holes
    }
}

/// Says where the firmware's account and the kernel's differ by whole pages.
pub(super) fn firmware_differences(machine: &Machine, ram: &ExtentSet) -> Vec<String> {
    let Some(firmware) = machine.firmware_ram() else { return Vec::new() };
    let whole_pages = |set: ExtentSet| -> ExtentSet {
        set.iter().filter_map(|extent: Extent| extent.align_inward(page_size())).collect()
    };
    let list = |set: &ExtentSet| {
        let extents: Vec<String> = set.iter().map(|extent| extent.to_string()).collect();
        extents.join(", ")
    };
    let kib = |set: &ExtentSet| format!("{} KiB", set.total() / 1024);
    let mut differences = Vec::new();
    // In the first MiB the kernel keeps pages for itself that old firmware writes to.
    let low = Extent::half_open(0, 1 << 20).into_iter().collect();
    let unused = whole_pages(firmware.difference(ram).difference(&low));
    if !unused.is_empty() {
        differences.push(format!(
            "the firmware names {} more RAM than the kernel manages (mem= or a reservation): {}",
            kib(&unused),
            list(&unused),
        ));
    }
    let added = whole_pages(ram.difference(&firmware));
    if !added.is_empty() {
        differences.push(format!(
            "the kernel manages {} of RAM that the firmware did not name at boot (plugged in \
             since): {}",
            kib(&added),
            list(&added),
        ));
    }
    differences
}
