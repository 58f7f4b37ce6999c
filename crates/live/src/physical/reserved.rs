//! Memory that the firmware kept for itself: ACPI tables and the like, read through `/dev/mem`.
//!
//! Device registers look the same to `/dev/mem`, and reading one can change a device or hang the
//! machine. So only what is memory for certain is read; see [`ranges`].

use std::path::Path;
use std::sync::Arc;

use memdump_image::{
    AddressSpace, Cause, ExtentSet, MapError, MemoryMap, ReadError, Region, RegionKind, Space,
};

use super::device::Device;
use super::source::trial;
use crate::machine::Machine;
use crate::machine::page_size;
use crate::proc::iomem::{Resource, system_ram};

const DEV_MEM: &str = "/dev/mem";
/// Above this lie no chip registers in the gaps of RAM, and none of the ranges wanted here either.
const FOUR_GIB: u64 = 1 << 32;
/// The legacy area below it is a patchwork of ROMs, video memory and what the BIOS left.
const ONE_MIB: u64 = 1 << 20;

/// The ranges of `/proc/iomem` that hold firmware's memory for certain, in whole pages.
///
/// ACPI's own are memory by definition. A `Reserved` range may be anything; it counts when it lies
/// below 4 GiB and above 1 MiB, directly follows RAM or another range that counts (what the firmware
/// cuts off the end of RAM does), lies in no bus, and no driver has claimed a part of it.
fn ranges(resources: &[Resource]) -> Vec<Region> {
    let ram: ExtentSet = system_ram(resources).iter().map(|ram| ram.extent).collect();
    let ram_pages: ExtentSet = ram.iter().map(|ram| ram.align_outward(page_size())).collect();
    let mut memory = ram;
    let mut found = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let is_acpi = matches!(resource.name.as_str(), "ACPI Tables" | "ACPI Non-volatile Storage");
        let has_parts = resources.get(index + 1).is_some_and(|next| next.depth > resource.depth);
        let follows_memory = || memory.iter().any(|m| m.end() == resource.extent.start());
        let is_memory = is_acpi
            || (resource.name.eq_ignore_ascii_case("reserved")
                && resource.depth == 0
                && !has_parts
                && resource.extent.start() >= ONE_MIB
                && resource.extent.end() <= FOUR_GIB
                && follows_memory());
        if !is_memory {
            continue;
        }
        memory = memory.union(&[resource.extent].into_iter().collect());
        let pages: ExtentSet = resource.extent.align_inward(page_size()).into_iter().collect();
        found.extend(pages.difference(&ram_pages).iter().map(|extent| Region {
            label: resource.name.clone(),
            ..Region::new(extent, RegionKind::Reserved)
        }));
    }
    found
}

/// `physical`, and the firmware's memory as far as it can be read; what could not, and why, in
/// lines for people.
pub(crate) fn add(
    machine: &Machine,
    physical: Arc<dyn AddressSpace>,
) -> (Arc<dyn AddressSpace>, Vec<String>) {
    let unavailable = |why: String| format!("reserved memory is not taken: {why}");
    if machine.is_confidential_guest() {
        let why = "this is a confidential guest, where reading /dev/mem can kill the machine";
        return (physical, vec![unavailable(why.into())]);
    }
    let resources = match machine.iomem() {
        Some(Ok(resources)) => resources,
        Some(Err(error)) => return (physical, vec![unavailable(error.to_string())]),
        None => return (physical, vec![unavailable("/proc/iomem cannot be read".into())]),
    };
    let path = Path::new(DEV_MEM);
    let (mut readable, mut notes) = (Vec::new(), Vec::new());
    for region in ranges(&resources) {
        match Device::with_regions(path, vec![region.clone()]) {
            Err(error) => {
                let reason = machine.refusal_of_open(path, &error);
                notes.push(unavailable(format!("{DEV_MEM}: {reason}")));
                return (physical, notes);
            }
            Ok(device) => match trial(&device) {
                Ok(()) => readable.push(region),
                Err(reason) => {
                    let (extent, label) = (region.extent, region.label);
                    notes.push(format!("{label} {extent} is not taken: {reason}"));
                }
            },
        }
    }
    match Both::new(physical.clone(), path, readable) {
        Ok(both) => (Arc::new(both), notes),
        Err(error) => {
            notes.push(unavailable(error));
            (physical, notes)
        }
    }
}

/// Two spaces that do not overlap, as one.
struct Both {
    map: MemoryMap,
    ram: Arc<dyn AddressSpace>,
    reserved: Device,
}

impl Both {
    fn new(ram: Arc<dyn AddressSpace>, path: &Path, reserved: Vec<Region>) -> Result<Self, String> {
        let reserved = Device::with_regions(path, reserved).map_err(|error| error.to_string())?;
        let regions = [ram.map().regions(), reserved.map().regions()].concat();
        let map = MemoryMap::new(Space::Physical, regions)
            .map_err(|error: MapError| error.to_string())?;
        Ok(Self { map, ram, reserved })
    }
}

impl AddressSpace for Both {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(region) = self.map.find(addr) else {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        };
        match region.kind {
            RegionKind::Reserved => self.reserved.read_at(addr, buf),
            _ => self.ram.read_at(addr, buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use memdump_image::Extent;

    use super::*;
    use crate::proc::iomem;

    fn found(text: &str) -> Vec<(u64, u64)> {
        let resources = iomem::parse(text).unwrap();
        ranges(&resources)
            .iter()
            .map(|region| (region.extent.start(), region.extent.last()))
            .collect()
    }

    #[test]
    fn tables_behind_ram_are_taken_and_registers_never() {
        let text = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
000f0000-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-3ffdffff : System RAM
3ffe0000-3fffffff : Reserved
40000000-40001fff : ACPI Tables
40002000-400020ff : ACPI Non-volatile Storage
50000000-5fffffff : Reserved
b0000000-bfffffff : Reserved
  b0000000-bfffffff : PCI ECAM 0000 [bus 00-ff]
c0000000-febfffff : PCI Bus 0000:00
  fe000000-fe00ffff : Reserved
fec00000-fec003ff : IOAPIC 0
feffc000-feffffff : Reserved
100000000-13fffffff : System RAM
140000000-14fffffff : Reserved
";
        assert_eq!(found(text), [(0x3ffe_0000, 0x3fff_ffff), (0x4000_0000, 0x4000_1fff)]);
    }

    #[test]
    fn what_a_driver_claimed_is_left_alone() {
        let text = "00100000-7fffffff : System RAM\n80000000-8fffffff : Reserved\n  \
                    80000000-800fffff : pnp 00:01\n";
        assert_eq!(found(text), []);
    }

    #[test]
    fn a_page_shared_with_ram_belongs_to_ram() {
        let text = "00100000-7fffe7ff : System RAM\n7fffe800-80000fff : ACPI Tables\n";
        let extent = Extent::inclusive(0x7fff_f000, 0x8000_0fff).unwrap();
        assert_eq!(found(text), [(extent.start(), extent.last())]);
    }
}
