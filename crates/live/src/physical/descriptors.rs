//! One descriptor for each thread that reads: the kernel keeps a bounce page for each open file, and
//! threads that share one wait for each other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use memdump_image::{Cause, ReadAt, ReadError};
use rustix::io::Errno;

/// Descriptors of the same file.
pub(super) struct Descriptors {
    path: PathBuf,
    files: Vec<Mutex<File>>,
}

impl Descriptors {
    /// More readers than this share.
    const MOST: usize = 16;

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(Self::MOST);
        let files = (0..count).map(|_| File::open(path).map(Mutex::new)).collect::<io::Result<_>>();
        Ok(Self { path: path.into(), files: files? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor that nobody uses, or the first.
    fn free(&self) -> MutexGuard<'_, File> {
        let free = self.files.iter().find_map(|descriptor| match descriptor.try_lock() {
            Ok(file) => Some(file),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        // There is one at least.
        free.unwrap_or_else(|| self.files[0].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads memory at `addr`, which stands at `offset` of the file.
    pub(super) fn read_memory(
        &self,
        addr: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, ReadError> {
        loop {
            let fault = |cause| Err(ReadError::Fault { addr, cause });
            return match FileExt::read_at(&*self.free(), buf, offset) {
                Ok(0) => fault(Cause::NotOffered),
                Ok(read) => Ok(read),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => continue,
                    Some(Errno::FAULT) => fault(Cause::Unmapped),
                    Some(Errno::PERM | Errno::ACCESS) => fault(Cause::Refused),
                    Some(Errno::IO | Errno::NXIO) => fault(Cause::Device),
                    _ => Err(error.into()),
                },
            };
        }
    }
}

/// For headers. The size of `/proc/kcore` is no length of anything, so none is claimed.
impl ReadAt for Descriptors {
    fn size(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&*self.free(), buf, offset)
    }
}
