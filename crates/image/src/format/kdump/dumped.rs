//! The second bitmap, which says what pages the file has: written piece by piece, as pages that are left out become known only on the way.
//!
//! A page that is left out has no descriptor. So descriptors are numbered by the pages before that are not.

use std::io;

use super::layout::{BITMAP_STEP, Layout};
use super::placed::PlacedOutput;

pub(super) struct Dumped {
    /// The offset of the bitmap in the file, in bytes.
    start: u64,
    /// The offset in the bitmap of the piece that is held, in bytes.
    at: u64,
    /// The piece; empty where nothing of it is known yet.
    piece: Vec<u8>,
    /// The number of pages that are left out so far.
    pub(super) left_out: u64,
}

impl Dumped {
    /// The bitmap that begins at `start` in the file; room was left for it.
    pub(super) fn new(start: u64) -> Self {
        Self { start, at: 0, piece: Vec::new(), left_out: 0 }
    }

    /// Leaves out the pages of these frames, which come after all that were left out before.
    pub(super) fn leave_out(
        &mut self,
        frames: std::ops::Range<u64>,
        layout: &Layout,
        placed: &mut PlacedOutput<'_>,
    ) -> io::Result<()> {
        self.left_out += frames.end - frames.start;
        for frame in frames {
            let (byte, bit) = (frame / 8, frame % 8);
            while byte >= self.at + BITMAP_STEP {
                self.pass(layout, placed)?;
            }
            if self.piece.is_empty() {
                self.piece = layout.bits(self.at).unwrap_or_default();
            }
            // What the plan has nothing of is not left out either.
            if let Some(byte) = self.piece.get_mut((byte - self.at) as usize) {
                *byte &= !(1 << bit);
            }
        }
        Ok(())
    }

    /// Writes the piece that is held, and goes on to the next.
    fn pass(&mut self, layout: &Layout, placed: &mut PlacedOutput<'_>) -> io::Result<()> {
        let offset = self.start + self.at;
        let piece = match self.piece.is_empty() {
            true => layout.bits(self.at),
            false => Some(std::mem::take(&mut self.piece)),
        };
        match piece {
            Some(piece) => {
                placed.fill(offset, &piece)?;
                self.at += BITMAP_STEP;
            }
            None => {
                let empty = layout.empty(self.at);
                placed.fill_with_zeros(offset, empty)?;
                self.at += empty;
            }
        }
        Ok(())
    }

    /// Writes the rest.
    pub(super) fn finish(
        &mut self,
        layout: &Layout,
        placed: &mut PlacedOutput<'_>,
    ) -> io::Result<()> {
        while self.at < layout.bitmap_len {
            self.pass(layout, placed)?;
        }
        Ok(())
    }
}
