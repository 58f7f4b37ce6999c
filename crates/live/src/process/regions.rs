//! The memory map of a process, made from its mappings and the purpose of each.
//!
//! A kind follows from parsed fields, never from how a path reads: a library is a file that is mapped
//! in parts of which one is executable, whatever its name ends in.

use std::collections::{BTreeMap, BTreeSet};

use memdump_image::{Backing, Extent, MapError, Mapping, MemoryMap, Region, RegionKind, Space};

use crate::proc::maps::{Usage, VmFlags, Vma};

/// The mappings of a process, with what smaps says of each.
#[derive(Clone, Debug)]
pub(super) struct Regions {
    pub(super) map: MemoryMap,
    /// By the start of the mapping.
    pub(super) usage: BTreeMap<u64, Usage>,
}

impl Regions {
    /// `stack_pointers` are those of all threads but the first, as far as known.
    pub(super) fn new(
        pid: u32,
        vmas: Vec<Vma>,
        usage: BTreeMap<u64, Usage>,
        stack_pointers: &[u64],
    ) -> Result<Self, MapError> {
        let executable = vmas.iter().filter(|vma| vma.permissions.execute && vma.inode != 0);
        let executable: BTreeSet<_> = executable.map(|vma| (vma.device, vma.inode)).collect();
        let pointers: BTreeSet<u64> = stack_pointers.iter().copied().collect();
        let regions = vmas.into_iter().map(|vma| {
            let is_stack = pointers.range(vma.extent.start()..vma.extent.end()).next().is_some();
            region(vma, &executable, is_stack)
        });
        let map = MemoryMap::new(Space::Process(pid), regions.collect())?;
        Ok(Self { map, usage })
    }

    /// The flags in smaps of the mapping that begins at `start`.
    pub(super) fn flags(&self, start: u64) -> VmFlags {
        self.usage.get(&start).map(|usage| usage.flags).unwrap_or_default()
    }
}

fn region(vma: Vma, executable: &BTreeSet<((u32, u32), u64)>, is_stack: bool) -> Region {
    let kind = match vma.name.as_slice() {
        b"[heap]" => RegionKind::Heap,
        b"[stack]" => RegionKind::Stack,
        name if is_special(name) => RegionKind::Special,
        _ if vma.inode == 0 && vma.permissions.shared => RegionKind::Shared,
        _ if vma.inode == 0 && is_stack => RegionKind::ThreadStack,
        _ if vma.inode == 0 => RegionKind::Anonymous,
        name if name.starts_with(HUGE) && !vma.permissions.shared => RegionKind::Anonymous,
        _ if executable.contains(&(vma.device, vma.inode)) => RegionKind::Library,
        name if vma.permissions.shared && is_memory(name) => RegionKind::Shared,
        _ => RegionKind::File,
    };
    let backing = (vma.inode != 0).then(|| Backing {
        path: vma.name.clone(),
        offset: vma.offset,
        device: vma.device,
        inode: vma.inode,
    });
    Region {
        label: String::from_utf8_lossy(&vma.name).into_owned(),
        mapping: Some(Mapping { permissions: vma.permissions, backing }),
        ..Region::new(vma.extent, kind)
    }
}

/// Private huge pages without a file have this one nevertheless (`hugetlb_file_setup`).
pub(super) const HUGE: &[u8] = b"/anon_hugepage";

/// The names of the kernel's own mappings (`arch_vma_name`, `special_mapping_name`).
fn is_special(name: &[u8]) -> bool {
    [&b"[vdso]"[..], b"[vvar]", b"[vvar_vclock]", b"[vsyscall]", b"[uprobes]", b"[sigpage]"]
        .contains(&name)
}

/// Shared memory whose file lies in no file system that keeps it: `memfd_create`, MAP_SHARED without
/// a file, `shmget`, `shm_open`.
fn is_memory(name: &[u8]) -> bool {
    [&b"/memfd:"[..], b"/dev/zero", b"/SYSV", b"/dev/shm/", HUGE]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The offset of `addr` in the file that is mapped at `region`.
pub(super) fn file_offset(region: &Region, addr: u64) -> Option<u64> {
    let backing = region.mapping.as_ref()?.backing.as_ref()?;
    backing.offset.checked_add(addr - region.extent.start())
}

/// Returns true if its absent pages are zeros: private memory without a file.
pub(super) fn is_zero_where_absent(region: &Region) -> bool {
    match &region.mapping {
        Some(mapping) => match &mapping.backing {
            None => region.kind != RegionKind::Special && !mapping.permissions.shared,
            Some(backing) => backing.path.starts_with(HUGE) && !mapping.permissions.shared,
        },
        None => false,
    }
}

/// The first page of `extent`.
pub(super) fn first_page(extent: Extent, page_size: u64) -> Extent {
    extent.split_at(page_size).0.unwrap_or(extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::maps::parse_maps;

    #[test]
    fn kinds_follow_from_fields() {
        let text = b"1000-2000 r--p 00000000 fe:01 7 /usr/lib/libsomething.so\n\
            2000-3000 r-xp 00001000 fe:01 9 /opt/program.txt\n\
            3000-4000 rw-p 00002000 fe:01 9 /opt/program.txt\n\
            4000-5000 rw-p 00000000 00:00 0 [heap]\n\
            5000-6000 rw-p 00000000 00:00 0 \n\
            6000-7000 rw-p 00000000 00:00 0 [anon:arena]\n\
            7000-8000 rw-s 00000000 00:01 5 /memfd:buffers (deleted)\n\
            8000-9000 rw-s 00000000 fe:01 6 /var/lib/data.so\n\
            9000-a000 rw-p 00000000 00:0f 6 /anon_hugepage (deleted)\n\
            a000-b000 r-xp 00000000 00:00 0 [vdso]\n";
        let regions = Regions::new(1, parse_maps(text), BTreeMap::new(), &[0x5ff8]).unwrap();
        let kinds: Vec<RegionKind> = regions.map.regions().iter().map(|r| r.kind).collect();
        use RegionKind::{Anonymous, File, Heap, Library, Shared, Special, ThreadStack};
        assert_eq!(
            kinds,
            [
                File,
                Library,
                Library,
                Heap,
                ThreadStack,
                Anonymous,
                Shared,
                File,
                Anonymous,
                Special
            ]
        );
    }
}
