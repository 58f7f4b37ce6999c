//! The writer of files and block devices. It does not fill the page cache of the machine, because the machine is the evidence.
//!
//! It writes with O_DIRECT. On a file system without O_DIRECT it writes back and drops the cached pages as it goes. Aligned blocks
//! are written from the memory they are in; others are copied to a staging buffer. Names and renaming are in `file/`.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use memdump_image::Output;
use memdump_image::buffer::{ALIGNMENT, Buffer, is_aligned};
use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl, fdatasync, fstatfs};
use rustix::io::Errno;

/// The size of a write of staged bytes. A device is near its best speed from 1 MiB on.
const STAGING_LEN: usize = 1 << 20;
/// Shorter blocks are staged, and on a device shorter gaps are written as zeros. Many small writes take far longer: 33 MB/s at
/// 4 KiB, and 4.3 GB/s at 1 MiB.
const SHORT: u64 = 128 << 10;
/// `TMPFS_MAGIC` (`include/uapi/linux/magic.h`). It is memory, so small writes cost nothing extra.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// The bytes that stay in the page cache at most, without O_DIRECT.
const CACHED_LEN: u64 = 32 << 20;

pub(super) struct DirectWriter {
    file: File,
    /// True if the descriptor has O_DIRECT now.
    direct: bool,
    /// True if everything after `offset` reads as zeros by itself.
    sparse: bool,
    /// The shortest gap that is not written.
    min_gap: u64,
    staging: Buffer,
    /// The bytes in `staging`.
    staged: usize,
    /// The offset of the image in the file.
    start: u64,
    /// The offset in the file that the staged bytes go to.
    offset: u64,
    /// The offset from which on pages may be in the cache.
    cached_from: u64,
}

impl DirectWriter {
    /// Writes from `offset` on. `file` may have been opened with O_DIRECT or not. `sparse` is true for a
    /// regular file that ends at `offset` or before.
    pub(super) fn new(file: File, offset: u64, sparse: bool) -> io::Result<Self> {
        let in_memory = fstatfs(&file).is_ok_and(|found| found.f_type == TMPFS_MAGIC);
        let mut writer = Self {
            file,
            direct: true,
            sparse,
            min_gap: if in_memory { ALIGNMENT as u64 } else { SHORT },
            staging: Buffer::new(STAGING_LEN),
            staged: 0,
            start: offset,
            offset,
            cached_from: offset,
        };
        // O_DIRECT needs aligned offsets, and all later ones have the same remainder.
        writer.set_direct(offset.is_multiple_of(ALIGNMENT as u64))?;
        Ok(writer)
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes of the image so far, gaps included.
    pub(super) fn size(&self) -> u64 {
        self.offset - self.start + self.staged as u64
    }

    /// Writes what is staged, sets the length and waits for the device. Returns the offset of the end.
    pub(super) fn finish(&mut self) -> io::Result<u64> {
        self.write_staged()?;
        if self.sparse && self.file.metadata()?.len() < self.offset {
            self.file.set_len(self.offset)?;
        }
        fdatasync_if_possible(&self.file)?;
        self.drop_cached();
        Ok(self.offset)
    }

    /// Writes over bytes that were written or skipped before. `at` counts from the first byte of the image.
    pub(super) fn write_over(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let start = self.start.checked_add(at).ok_or(io::ErrorKind::InvalidInput)?;
        let on_file = self.offset.saturating_sub(start).min(bytes.len() as u64) as usize;
        let (on_file, staged) = bytes.split_at(on_file);
        if !on_file.is_empty() {
            // The bytes need not be whole blocks.
            let direct = self.direct;
            self.set_direct(false)?;
            self.file.write_all_at(on_file, start)?;
            self.cached_from = self.cached_from.min(start);
            self.set_direct(direct)?;
        }
        if !staged.is_empty() {
            let from = (start + on_file.len() as u64 - self.offset) as usize;
            let place = self.staging[..self.staged].get_mut(from..from + staged.len());
            place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(staged);
        }
        Ok(())
    }

    fn set_direct(&mut self, direct: bool) -> io::Result<()> {
        let flags = fcntl_getfl(&self.file)?;
        let wanted = if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
        self.direct = match fcntl_setfl(&self.file, wanted) {
            Ok(()) => direct,
            // tmpfs before Linux 6.6 and others without direct I/O.
            Err(Errno::INVAL) if direct => false,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    /// Writes everything that is staged, whatever its length.
    fn write_staged(&mut self) -> io::Result<()> {
        let staging = std::mem::replace(&mut self.staging, Buffer::new(0));
        let aligned = self.staged - self.staged % ALIGNMENT;
        let result = self.write_at_offset(&staging[..aligned]).and_then(|()| {
            if aligned < self.staged {
                // The tail of the file. Direct I/O takes whole blocks only.
                self.set_direct(false)?;
                self.write_at_offset(&staging[aligned..self.staged])?;
            }
            Ok(())
        });
        self.staging = staging;
        self.staged = 0;
        result
    }

    fn write_at_offset(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write_at(bytes, self.offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.offset += written as u64;
                    bytes = &bytes[written..];
                    if self.direct && !written.is_multiple_of(ALIGNMENT) {
                        self.set_direct(false)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A file system that accepts O_DIRECT and then refuses to write with it.
                Err(error) if self.direct && Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    self.set_direct(false)?;
                }
                Err(error) => return Err(error),
            }
            if !self.direct && self.offset - self.cached_from >= CACHED_LEN {
                fdatasync_if_possible(&self.file)?;
                self.drop_cached();
            }
        }
        Ok(())
    }

    /// Advises the kernel to drop the cached pages of the image. If it does not, the image is just as good.
    fn drop_cached(&mut self) {
        let len = NonZeroU64::new(self.offset - self.cached_from);
        let _ = fadvise(&self.file, self.cached_from, len, Advice::DontNeed);
        self.cached_from = self.offset;
    }
}

/// Some character devices and file systems have nothing to sync.
fn fdatasync_if_possible(file: &File) -> io::Result<()> {
    match fdatasync(file) {
        Ok(()) | Err(Errno::INVAL | Errno::ROFS | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Write for DirectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = bytes.len() - bytes.len() % ALIGNMENT;
        let in_step = self.staged.is_multiple_of(ALIGNMENT) && is_aligned(&bytes[..whole]);
        if whole as u64 >= SHORT && in_step {
            self.write_staged()?;
            self.write_at_offset(&bytes[..whole])?;
            return Ok(whole);
        }
        let taken = bytes.len().min(STAGING_LEN - self.staged);
        self.staging[self.staged..self.staged + taken].copy_from_slice(&bytes[..taken]);
        self.staged += taken;
        if self.staged == STAGING_LEN {
            self.write_staged()?;
        }
        Ok(taken)
    }

    /// Does nothing: the staged bytes are not a whole block yet.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for DirectWriter {
    fn zeros(&mut self, mut len: u64) -> io::Result<()> {
        let zeros = [0; ALIGNMENT];
        let is_gap = self.sparse && len >= self.min_gap;
        while len > 0 {
            let misaligned = self.staged % ALIGNMENT;
            if is_gap && misaligned == 0 && len >= ALIGNMENT as u64 {
                self.write_staged()?;
                let skipped = len - len % ALIGNMENT as u64;
                (self.offset, len) = (self.offset + skipped, len - skipped);
                continue;
            }
            let now = len.min((ALIGNMENT - misaligned) as u64);
            self.write_all(&zeros[..now as usize])?;
            len -= now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use proptest::prelude::*;

    use super::*;

    fn writer(file: &tempfile::NamedTempFile, offset: u64) -> DirectWriter {
        let file = OpenOptions::new().write(true).open(file).unwrap();
        DirectWriter::new(file, offset, true).unwrap()
    }

    #[test]
    fn an_image_leaves_no_pages_in_the_cache() {
        // The crate is on a real disk. A temporary directory may not be.
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut writer = writer(&file, 0);
        let block = Buffer::new(1 << 20);
        for _ in 0..8 {
            writer.write_all(&block).unwrap();
            writer.write_all(b"and something odd").unwrap();
        }
        let end = writer.finish().unwrap();
        assert_eq!(end, 8 * ((1 << 20) + 17));
        let resident = std::process::Command::new("fincore")
            .args(["--bytes", "--noheadings", "--output", "RES"])
            .arg(file.path())
            .output()
            .expect("fincore, of the Debian package util-linux-extra");
        let resident: u64 = String::from_utf8(resident.stdout).unwrap().trim().parse().unwrap();
        assert!(resident <= 64 << 10, "{resident} bytes of the image are cached");
    }

    #[test]
    fn a_gap_takes_no_room() {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut writer = writer(&file, 0);
        writer.write_all(b"start").unwrap();
        writer.zeros(1 << 30).unwrap();
        writer.finish().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        assert_eq!(metadata.len(), (1 << 30) + 5);
        assert!(metadata.blocks() * 512 < 1 << 20);
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = OpenOptions::new().write(true).custom_flags(0).open("/dev/full").unwrap();
        let mut writer = DirectWriter::new(full, 0, false).unwrap();
        let error = writer
            .write_all(&Buffer::new(1 << 20))
            .and_then(|()| writer.finish().map(drop))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_was_written_can_be_written_over() {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut writer = writer(&file, 4096);
        let mut expected = vec![0; 4096 + (1 << 20) + 100];
        writer.zeros(1 << 20).unwrap();
        writer.write_all(&[1; 100]).unwrap();
        expected[4096 + (1 << 20)..].fill(1);
        for (at, len) in [(0, 10), (5000, 70_000), ((1 << 20) - 7, 20), ((1 << 20) + 90, 10)] {
            writer.write_over(at, &vec![at as u8 | 1; len]).unwrap();
            expected[4096 + at as usize..][..len].fill(at as u8 | 1);
        }
        assert!(writer.write_over((1 << 20) + 95, &[0; 10]).is_err(), "past the end");
        writer.finish().unwrap();
        assert!(std::fs::read(file.path()).unwrap() == expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_file_holds_what_was_written(
            parts in prop::collection::vec((any::<bool>(), 1usize..3 << 19, any::<u8>()), 1..12),
            offset in prop_oneof![Just(0u64), Just(4096), 1u64..10_000],
        ) {
            let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            let mut writer = writer(&file, offset);
            let mut expected = vec![0; offset as usize];
            for (is_gap, len, value) in parts {
                let len = if len % 3 == 0 { len.next_multiple_of(ALIGNMENT) } else { len };
                if is_gap {
                    writer.zeros(len as u64).unwrap();
                    expected.resize(expected.len() + len, 0);
                } else {
                    let mut block = Buffer::new(len);
                    block.fill(value);
                    writer.write_all(&block).unwrap();
                    expected.resize(expected.len() + len, value);
                }
            }
            writer.finish().unwrap();
            prop_assert!(std::fs::read(file.path()).unwrap() == expected);
        }
    }
}
