//! Positional reads of image files, on any operating system.

use std::fs::File;
use std::io::{self, Seek};
use std::ops::Range;

/// Bytes with a length that can be read at any offset: a file, or a slice in a test.
pub trait ReadAt: Send + Sync {
    /// The number of bytes.
    fn size(&self) -> io::Result<u64>;

    /// The same where it costs nothing to know; none of a stream that would have to be unpacked for it.
    fn known_size(&self) -> io::Result<Option<u64>> {
        self.size().map(Some)
    }

    /// Reads at `offset` into the front of `buf`; 0 at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The first bytes of `range` that may be other than zero, as far as that is known without reading them, and those that follow,
    /// also behind it; none where all of it are zeros. Who does not know says all of it. `range` is not empty.
    fn data(&self, range: Range<u64>) -> Option<Range<u64>> {
        Some(range)
    }

    /// Fills all of `buf` from `offset` on.
    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(offset, buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => (offset, buf) = (offset + n as u64, &mut buf[n..]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        let metadata = self.metadata()?;
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        // Of a block device only its end tells. Reads are positional: where the file stands is nobody's concern.
        let mut file = self;
        file.seek(io::SeekFrom::End(0))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(self, buf, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(self, buf, offset);
    }

    #[cfg(target_os = "linux")]
    fn data(&self, range: Range<u64>) -> Option<Range<u64>> {
        data(self, range)
    }
}

/// The holes of a sparse file. Not every file system tells of them.
#[cfg(target_os = "linux")]
fn data(file: &File, range: Range<u64>) -> Option<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    // Reads are positional, so that nobody minds where the file stands.
    let start = match seek(file, SeekFrom::Data(range.start)) {
        Ok(start) => start.max(range.start),
        // There is none up to the end of the file; of one that was cut short the rest is not zeros but missing.
        Err(Errno::NXIO) if file.size().is_ok_and(|size| size >= range.end) => return None,
        Err(_) => return Some(range),
    };
    if start >= range.end {
        return None;
    }
    match seek(file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => Some(start..end),
        _ => Some(start..range.end),
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.get(from..)).unwrap_or(&[]);
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn holes_are_known_without_reading_and_what_was_cut_off_is_no_hole() {
        use std::os::unix::fs::FileExt;

        let file = tempfile::tempfile().unwrap();
        file.set_len(100 << 20).unwrap();
        file.write_all_at(b"data", 50 << 20).unwrap();
        let data = ReadAt::data(&file, 0..100 << 20).unwrap();
        assert!(data.contains(&(50 << 20)) && data.end - data.start <= 1 << 20, "{data:?}");
        assert_eq!(ReadAt::data(&file, 0..49 << 20), None);
        assert_eq!(ReadAt::data(&file, 60 << 20..100 << 20), None);
        file.set_len(10 << 20).unwrap();
        assert_eq!(ReadAt::data(&file, 5 << 20..10 << 20), None);
        assert_eq!(ReadAt::data(&file, 5 << 20..100 << 20), Some(5 << 20..100 << 20));
    }
}
