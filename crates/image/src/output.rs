//! The trait that images are written through: bytes from front to back, with gaps, and corrections where the output allows them.

use std::io::{self, Write};

/// The place that a writer's bytes go to, front to back.
pub trait Output: Write + Send {
    /// Writes `len` zero bytes, or leaves a gap that reads as such.
    fn zeros(&mut self, mut len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        while len > 0 {
            let now = len.min(ZEROS.len() as u64);
            self.write_all(&ZEROS[..now as usize])?;
            len -= now;
        }
        Ok(())
    }

    /// Returns true if [`write_at`](Self::write_at) works. It does not in a pipe, nor in a stream that is compressed.
    fn is_positional(&self) -> bool {
        false
    }

    /// Overwrites bytes that were written before, as zeros at least. `offset` is counted in bytes from the first one that was
    /// written here.
    ///
    /// # Errors
    /// When writing fails, and always where the output is not [positional](Self::is_positional).
    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Output for Vec<u8> {
    fn is_positional(&self) -> bool {
        true
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(bytes.len())?));
        let place = range.and_then(|range| self.get_mut(range));
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }
}

impl<T: Output + ?Sized> Output for &mut T {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        (**self).zeros(len)
    }

    fn is_positional(&self) -> bool {
        (**self).is_positional()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }
}

impl<T: Output + ?Sized> Output for Box<T> {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        (**self).zeros(len)
    }

    fn is_positional(&self) -> bool {
        (**self).is_positional()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }
}
