//! Page-aligned buffers, so that direct I/O can write a block from where it was read to.

use std::ops::{Deref, DerefMut};

/// The alignment of every [`Buffer`], in bytes: no block device in use wants more.
pub const ALIGNMENT: usize = 4096;

/// A zeroed buffer whose first byte is aligned to [`ALIGNMENT`].
pub struct Buffer {
    storage: Vec<u8>,
    offset: usize,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes.
    pub fn new(len: usize) -> Self {
        let storage = vec![0; len + ALIGNMENT];
        let offset = storage.as_ptr().align_offset(ALIGNMENT);
        Self { storage, offset, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.offset..self.offset + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.offset..self.offset + self.len]
    }
}

/// Returns true if a slice can be handed to direct I/O as it is.
pub fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(ALIGNMENT) == 0 && bytes.len().is_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_aligned() {
        for len in [0, 1, ALIGNMENT, 3 * ALIGNMENT] {
            let buffer = Buffer::new(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(is_aligned(&buffer), len % ALIGNMENT == 0);
        }
    }
}
