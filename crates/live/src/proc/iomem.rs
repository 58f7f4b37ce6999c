//! `/proc/iomem`: which physical addresses are RAM, and which belong to devices.
//!
//! Format: `r_show` in `kernel/resource.c`: two spaces of indentation a level, `START-END : NAME`, both
//! ends hexadecimal and *inclusive*. Without CAP_SYS_ADMIN all addresses read as zero.

use memdump_image::{Extent, ExtentSet};

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The number of resources that it lies within.
    pub(crate) depth: usize,
    pub(crate) extent: Extent,
    pub(crate) name: String,
}

impl Resource {
    /// RAM that the kernel manages, at whatever depth: `System RAM`, and with a driver's name for
    /// memory that came later: `System RAM (kmem)` for CXL and DAX, `System RAM (virtio_mem)`.
    pub(crate) fn is_system_ram(&self) -> bool {
        self.name
            .strip_prefix("System RAM")
            .is_some_and(|rest| rest.is_empty() || (rest.starts_with(" (") && rest.ends_with(')')))
    }
}

/// The reason why the file says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IomemError {
    /// Every address is zero.
    #[error("/proc/iomem shows zeros for addresses: CAP_SYS_ADMIN is missing")]
    Hidden,
    /// No line could be understood.
    #[error("/proc/iomem names no memory")]
    Empty,
}

/// Reads the whole file. A line that is not of its form is passed over.
pub(crate) fn parse(text: &str) -> Result<Vec<Resource>, IomemError> {
    let mut zeros = false;
    let mut resources = Vec::new();
    for line in text.lines() {
        let Some((range, name)) = line.split_once(" : ") else { continue };
        let indent = range.len() - range.trim_start_matches(' ').len();
        let Some((first, last)) = range.trim_start_matches(' ').split_once('-') else { continue };
        let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let (Some(first), Some(last)) = (hex(first), hex(last)) else { continue };
        zeros |= first == 0 && last == 0;
        if let (true, Ok(extent)) = (last > 0, Extent::inclusive(first, last)) {
            resources.push(Resource { depth: indent / 2, extent, name: name.to_owned() });
        }
    }
    match (resources.is_empty(), zeros) {
        (false, _) => Ok(resources),
        (true, true) => Err(IomemError::Hidden),
        (true, false) => Err(IomemError::Empty),
    }
}

/// The RAM among `resources`, each with its name. Nested RAM within RAM is one.
pub(crate) fn system_ram(resources: &[Resource]) -> Vec<&Resource> {
    let mut seen = ExtentSet::default();
    let ram = resources.iter().filter(|resource| resource.is_system_ram());
    ram.filter(|resource| {
        let is_new = !seen.covers(resource.extent);
        seen = seen.union(&[resource.extent].into_iter().collect());
        is_new
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a machine with firmware tables, a CXL device and virtio-mem shows it.
    const SAMPLE: &str = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
00100000-3ffdffff : System RAM
  35c00000-36bfffff : Kernel code
  3c000000-3fffffff : Crash kernel
3ffe0000-3fffffff : Reserved
fec00000-fec003ff : IOAPIC 0
100000000-13fffffff : System RAM
140000000-1bfffffff : virtio0
  140000000-147ffffff : System RAM (virtio_mem)
200000000-2ffffffff : CXL Window 0
  200000000-2ffffffff : region0
    200000000-2ffffffff : dax0.0
      200000000-2ffffffff : System RAM (kmem)
300000000-3ffffffff : System RAM of another sort
";

    #[test]
    fn ram_is_found_at_any_depth_to_the_last_byte() {
        let resources = parse(SAMPLE).unwrap();
        let ram: Vec<(u64, u64, &str)> = system_ram(&resources)
            .into_iter()
            .map(|ram| (ram.extent.start(), ram.extent.last(), ram.name.as_str()))
            .collect();
        assert_eq!(
            ram,
            [
                (0x1000, 0x9_fbff, "System RAM"),
                (0x10_0000, 0x3ffd_ffff, "System RAM"),
                (0x1_0000_0000, 0x1_3fff_ffff, "System RAM"),
                (0x1_4000_0000, 0x1_47ff_ffff, "System RAM (virtio_mem)"),
                (0x2_0000_0000, 0x2_ffff_ffff, "System RAM (kmem)"),
            ]
        );
        assert_eq!(resources.iter().map(|resource| resource.depth).max(), Some(3));
    }

    #[test]
    fn hidden_addresses_are_told_from_no_memory() {
        let hidden = "00000000-00000000 : Reserved\n  00000000-00000000 : System RAM\n";
        assert_eq!(parse(hidden), Err(IomemError::Hidden));
        assert_eq!(parse("nothing of the sort\n"), Err(IomemError::Empty));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "([ 0-9a-f:\\-]{0,30}(System RAM)?\n){0,9}") {
            if let Ok(resources) = parse(&text) {
                system_ram(&resources);
            }
        }
    }
}
