//! The files behind mappings: what a page that is not in the page table holds is read there, so that
//! the process does not grow.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use memdump_image::{Cause, Extent, Presence, ReadError, Region, Run};
use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use super::facts::Program;
use super::regions::file_offset;
use crate::proc::maps::parse_maps;

/// The most files that are kept open.
const MAX_OPEN: usize = 64;

/// The files of a process's mappings, opened when they are needed.
pub(super) struct Backings {
    /// `/proc/PID`.
    folder: PathBuf,
    page_size: u64,
    open: Mutex<BTreeMap<u64, Option<Arc<File>>>>,
    /// This process's own vdso, where the other has the same.
    vdso: Option<Extent>,
}

/// The kernel's name for the code that it maps into every process: the same for all of a kind.
const VDSO: &[u8] = b"[vdso]";

impl Backings {
    pub(super) fn new(folder: &Path, page_size: u64) -> Self {
        let maps = fs::read("/proc/self/maps").unwrap_or_default();
        let own = parse_maps(&maps).into_iter().find(|vma| vma.name == VDSO).map(|vma| vma.extent);
        // A 32-bit program has another.
        let vdso = own.filter(|_| !Program::of(folder).is_some_and(|program| program.is_32_bit));
        Self { folder: folder.into(), page_size, open: Mutex::default(), vdso }
    }

    /// Our own vdso, where `region` is the same of another process.
    fn vdso(&self, region: &Region) -> Option<Extent> {
        let is_vdso = region.label.as_bytes() == VDSO;
        self.vdso.filter(|own| is_vdso && own.len() == region.extent.len())
    }

    /// The content of the file for `extent` of `region`: runs that cover the front of it.
    pub(super) fn survey(&self, region: &Region, extent: Extent) -> Vec<Run> {
        let nothing = |cause| vec![Run { extent, presence: Presence::Nothing(cause) }];
        if self.vdso(region).is_some() {
            return vec![Run { extent, presence: Presence::InFile }];
        }
        if region.label.as_bytes() == VDSO {
            // It is nobody's memory but the kernel's: to read it costs the process an entry of its page table.
            return vec![Run { extent, presence: Presence::Memory }];
        }
        let (Some(file), Some(offset)) = (self.file(region), file_offset(region, extent.start()))
        else {
            return nothing(Cause::NotResident);
        };
        let Ok(size) = file.metadata().map(|metadata| metadata.len()) else {
            return nothing(Cause::NotResident);
        };
        // The rest of the last page reads as zeros.
        let end = size.next_multiple_of(self.page_size);
        let (within, beyond) = extent.split_at(end.saturating_sub(offset));
        let mut runs = match within {
            Some(within) => self.data(&file, offset, within),
            None => Vec::new(),
        };
        let is_covered =
            runs.last().is_none_or(|run| Some(run.extent.end()) == within.map(Extent::end));
        if let (Some(extent), true) = (beyond, is_covered) {
            runs.push(Run { extent, presence: Presence::Nothing(Cause::BeyondFile) });
        }
        runs
    }

    /// The parts of the file from `offset` on that hold data. A file system that cannot tell says that all
    /// do.
    fn data(&self, file: &File, offset: u64, extent: Extent) -> Vec<Run> {
        let in_file = vec![Run { extent, presence: Presence::InFile }];
        let data = match seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data - data % self.page_size,
            // There is none up to the end.
            Err(Errno::NXIO) => return vec![Run { extent, presence: Presence::Zero }],
            Err(_) => return in_file,
        };
        if data > offset {
            let (hole, _) = extent.split_at(data - offset);
            return hole
                .map(|extent| Run { extent, presence: Presence::Zero })
                .into_iter()
                .collect();
        }
        match seek(file, SeekFrom::Hole(offset)) {
            Ok(hole) => {
                let len = hole.next_multiple_of(self.page_size) - offset;
                let (data, _) = extent.split_at(len.max(self.page_size));
                data.map(|extent| Run { extent, presence: Presence::InFile }).into_iter().collect()
            }
            Err(_) => in_file,
        }
    }

    /// Reads what stands in the file for `addr` of `region`.
    pub(super) fn read(
        &self,
        region: &Region,
        addr: u64,
        buf: &mut [u8],
    ) -> Result<usize, ReadError> {
        let fault = |cause| ReadError::Fault { addr, cause };
        if let Some(own) = self.vdso(region) {
            let at = own.start() + (addr - region.extent.start());
            return Ok(File::open("/proc/self/mem")?.read_at(buf, at)?);
        }
        let file = self.file(region).ok_or(fault(Cause::NotResident))?;
        let offset = file_offset(region, addr).ok_or(fault(Cause::NotResident))?;
        match file.read_at(buf, offset) {
            Ok(0) => {
                // The last page of the file, beyond its last byte; or the file has shrunk.
                let size = file.metadata()?.len();
                if offset >= size.next_multiple_of(self.page_size) {
                    return Err(fault(Cause::BeyondFile));
                }
                let len = buf.len().min((self.page_size - offset % self.page_size) as usize);
                buf[..len].fill(0);
                Ok(len)
            }
            Ok(read) => Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error.into()),
            Err(_) => Err(fault(Cause::Device)),
        }
    }

    fn file(&self, region: &Region) -> Option<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&region.extent.start()) {
            return file.clone();
        }
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        let file = self.open(region).map(Arc::new);
        open.insert(region.extent.start(), file.clone());
        file
    }

    /// Opens the very file that is mapped. Only regular files: to open a device may do something.
    fn open(&self, region: &Region) -> Option<File> {
        let backing = region.mapping.as_ref()?.backing.as_ref()?;
        let (start, end) = (region.extent.start(), region.extent.end());
        let link = self.folder.join(format!("map_files/{start:x}-{end:x}"));
        // The path is another way, for those who may not follow these links (CAP_CHECKPOINT_RESTORE).
        let path = std::str::from_utf8(&backing.path).ok()?.trim_start_matches('/');
        let path = self.folder.join("root").join(path);
        [link, path].iter().find_map(|candidate| {
            let metadata = fs::metadata(candidate).ok()?;
            if !metadata.is_file() || metadata.ino() != backing.inode {
                return None;
            }
            let flags = (OFlags::NONBLOCK | OFlags::NOATIME).bits().cast_signed();
            let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(candidate);
            open(flags).or_else(|_| open(OFlags::NONBLOCK.bits().cast_signed())).ok()
        })
    }
}
