//! A source of physical memory, and what it gives when it is opened.

use std::path::Path;

use memdump_image::elf::Segment;
use memdump_image::{AddressSpace, Cause, Extent, ExtentSet, Facts, Hole, ReadError};

use crate::machine::{Machine, page_size};
use crate::refusal::Reason;

/// A row of [`SOURCES`](crate::SOURCES): a source of physical memory.
#[derive(Debug)]
pub struct Source {
    /// Its name, by which a user chooses it.
    pub name: &'static str,
    /// Its path.
    pub path: &'static str,
    /// One line on what it offers.
    pub summary: &'static str,
    /// The privileges and settings that it needs.
    pub needs: &'static str,
    /// True if it can be opened and then refuse to read RAM.
    pub(crate) may_refuse_reads: bool,
    pub(crate) open: fn(&Machine, &Path) -> Result<Physical, Reason>,
}

/// Physical memory that has been opened.
pub(crate) struct Physical {
    /// Shared with what is built on top of it.
    pub(crate) space: std::sync::Arc<dyn AddressSpace>,
    pub(crate) facts: Facts,
    /// RAM that the machine names and that is not in the space.
    pub(crate) omitted: Vec<Hole>,
    /// The differences between the machine's own accounts of its RAM, for people.
    pub(crate) differences: Vec<String>,
    /// Finds out what RAM came and went since.
    pub(crate) recheck: Box<dyn Fn() -> std::io::Result<Vec<Hole>> + Send + Sync>,
    /// The kernel's own virtual memory, where the source describes it.
    pub(crate) kernel: Option<KernelSegments>,
}

/// The segments that are not RAM's direct map: the kernel's image, vmalloc, modules, vmemmap.
#[derive(Clone, Debug, Default)]
pub(crate) struct KernelSegments {
    /// Segments with a physical address of their own: aliases of RAM, at other virtual addresses.
    pub(crate) image: Vec<Segment>,
    /// Segments that are not contiguous in physical memory.
    pub(crate) mapped: Vec<Segment>,
}

/// RAM that came or went: hot-plug.
pub(super) fn changes(before: &ExtentSet, now: &ExtentSet) -> Vec<Hole> {
    let holes =
        |set: ExtentSet, cause| set.iter().map(|extent| Hole { extent, cause }).collect::<Vec<_>>();
    let mut changes = holes(before.difference(now), Cause::Removed);
    changes.extend(holes(now.difference(before), Cause::Added));
    changes
}

/// Reads three pages in each of a few regions spread over the space, to see whether the source
/// works.
///
/// A page that cannot be read is no proof against it, unless none can, or the kernel refuses: RAM
/// below 1 MiB is zeros under STRICT_DEVMEM, and what is above is refused.
pub(crate) fn trial(space: &dyn AddressSpace) -> Result<(), Reason> {
    const REGIONS: usize = 16;
    let regions = space.map().regions();
    let mut page = vec![0; page_size() as usize];
    let (mut works, mut failure) = (false, None);
    for region in regions.iter().step_by(regions.len().div_ceil(REGIONS).max(1)) {
        for addr in sample(region.extent) {
            let len = (region.extent.end() - addr).min(page.len() as u64) as usize;
            match space.read_at(addr, &mut page[..len]) {
                Ok(_) => works = true,
                Err(ReadError::Fault { cause: Cause::Refused, .. }) => {
                    return Err(Reason::StrictDevmem { addr });
                }
                Err(error) => {
                    let cause = error.to_string();
                    failure = failure.or(Some(Reason::Unreadable { addr, cause }));
                }
            }
        }
    }
    match failure {
        Some(failure) if !works => Err(failure),
        _ => Ok(()),
    }
}

/// The first, middle and last page.
fn sample(extent: Extent) -> [u64; 3] {
    let align = |addr: u64| (addr - addr % page_size()).max(extent.start());
    [extent.start(), align(extent.start() + extent.len() / 2), align(extent.last())]
}
