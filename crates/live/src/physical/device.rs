//! `/dev/mem` and `/dev/crash`: devices whose position is the physical address.
//!
//! `/dev/mem` (`drivers/char/mem.c`) reads RAM and device registers alike; only System RAM is asked of
//! it here. Under STRICT_DEVMEM it gives zeros for RAM below 1 MiB and EPERM above, which is found
//! out by trying. `/dev/crash`, a module of Red Hat's kernels, reads within one page at a time.

use std::io;
use std::path::Path;
use std::sync::Arc;

use memdump_image::{AddressSpace, Cause, MemoryMap, ReadError, Region, Space};

use super::descriptors::Descriptors;
use super::ram::{IomemRam, firmware_differences};
use super::source::{Physical, Source, changes};
use crate::machine::Machine;
use crate::refusal::Reason;

pub(super) const CRASH: Source = Source {
    name: "crash",
    path: "/dev/crash",
    summary: "all RAM, page by page, on Red Hat's kernels (module crash)",
    needs: "CAP_SYS_RAWIO, no lockdown; CAP_SYS_ADMIN for /proc/iomem",
    may_refuse_reads: true,
    open,
};

pub(super) const MEM: Source = Source {
    name: "mem",
    path: "/dev/mem",
    summary: "all RAM, on kernels without STRICT_DEVMEM; System RAM only, never device registers",
    needs: "CAP_SYS_RAWIO, no lockdown, no STRICT_DEVMEM; CAP_SYS_ADMIN for /proc/iomem",
    may_refuse_reads: true,
    open,
};

pub(crate) fn open(machine: &Machine, path: &Path) -> Result<Physical, Reason> {
    if machine.is_confidential_guest() {
        return Err(Reason::ConfidentialGuest);
    }
    let descriptors =
        Descriptors::open(path).map_err(|error| machine.refusal_of_open(path, &error))?;
    let iomem = IomemRam::read(machine).map_err(Reason::NoMap)?;
    let map = MemoryMap::new(Space::Physical, iomem.whole_pages())
        .map_err(|error| Reason::Malformed(error.to_string()))?;
    let omitted = iomem.omitted(&map.extents());
    let differences = firmware_differences(machine, &iomem.extents());
    let space = Device { map, descriptors };
    let (machine, before) = (machine.clone(), iomem.extents());
    let recheck = move || -> io::Result<_> {
        let now = IomemRam::read(&machine).map_err(io::Error::other)?.extents();
        Ok(changes(&before, &now))
    };
    let facts = Machine::here().facts();
    let space = Arc::new(space);
    let recheck = Box::new(recheck);
    Ok(Physical { space, facts, omitted, differences, recheck, kernel: None })
}

/// Memory by position.
pub(super) struct Device {
    map: MemoryMap,
    descriptors: Descriptors,
}

impl Device {
    /// The device's memory at `regions`, which the caller knows to be safe to read.
    pub(super) fn with_regions(path: &Path, regions: Vec<Region>) -> io::Result<Self> {
        let map = MemoryMap::new(Space::Physical, regions).map_err(io::Error::other)?;
        Ok(Self { map, descriptors: Descriptors::open(path)? })
    }
}

impl AddressSpace for Device {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        // Whatever the caller believes: no address outside of the map reaches the device.
        let Some(region) = self.map.find(addr) else {
            return Err(ReadError::Fault { addr, cause: Cause::NotOffered });
        };
        let left = region.extent.end() - addr;
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.descriptors.read_memory(addr, addr, &mut buf[..len])
    }
}
