//! Reads a window so that its bytes lie as far from one another as their addresses do.

use std::ops::Range;

use memdump_image::blocks::{Blocks, Piece, PieceContent, read_block};
use memdump_image::buffer::Buffer;
use memdump_image::{Extent, View};

use super::windows::Window;
use crate::scan::ScanError;

/// Bytes that are read at once.
const READ_LEN: usize = 1 << 20;

/// A window that was read.
pub(super) struct Memory<'b> {
    /// The bytes from the window's first address on; undefined where there is a hole.
    pub(super) bytes: &'b [u8],
    /// Of bytes, a piece says where they stood before they were moved to their places.
    pub(super) pieces: Vec<Piece>,
    start: u64,
}

/// Reads `window` into `buffer`, which becomes as long as it has to be.
///
/// # Errors
/// When the source itself fails.
pub(super) fn read<'b>(
    view: &View<'_>,
    window: &Window,
    buffer: &'b mut Buffer,
) -> Result<Memory<'b>, ScanError> {
    let read = window.read;
    let len = read.len() as usize;
    if buffer.len() < len {
        *buffer = Buffer::new(len);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut filled = 0;
    for block in Blocks::of_extent(view.space(), read, read.len()) {
        let block = block.map_err(|error| ScanError::Read {
            addr: read.start(),
            source: std::io::Error::other(error),
        })?;
        let target = &mut buffer[filled..len];
        let begun = filled;
        let found = read_block(view.space(), &block, target, READ_LEN, view.page_size())
            .map_err(|source| ScanError::Read { addr: block.span.start(), source })?;
        for piece in found {
            let content = match piece.content {
                PieceContent::Bytes(at) => {
                    filled = filled.max(begun + at + piece.extent.len() as usize);
                    PieceContent::Bytes(begun + at)
                }
                other => other,
            };
            pieces.push(Piece { extent: piece.extent, content });
        }
    }
    spread(buffer, &pieces, read.start());
    Ok(Memory { bytes: &buffer[..len], pieces, start: read.start() })
}

/// Moves bytes that stand one after another to where their addresses say: never forward over what has not been moved,
/// as the last goes first. Zeros are written where they are known to be.
fn spread(buffer: &mut [u8], pieces: &[Piece], start: u64) {
    for piece in pieces.iter().rev() {
        let len = piece.extent.len() as usize;
        let to = (piece.extent.start() - start) as usize;
        if let PieceContent::Bytes(at) = piece.content {
            buffer.copy_within(at..at + len, to);
        }
    }
    for piece in pieces.iter().filter(|piece| piece.content == PieceContent::Zero) {
        let to = (piece.extent.start() - start) as usize;
        buffer[to..to + piece.extent.len() as usize].fill(0);
    }
}

impl Memory<'_> {
    /// The units of the window: what is searched, without holes, and without zeros at the ends beyond `margin`. Those
    /// that hold nothing but zeros are left out.
    pub(super) fn units(&self, searched: Extent, margin: u64) -> Vec<Extent> {
        let mut units = Vec::new();
        let mut unit: Option<Unit> = None;
        for piece in &self.pieces {
            let Some(extent) = piece.extent.intersection(searched) else { continue };
            match (piece.content, &mut unit) {
                (PieceContent::Hole(_), _) => {
                    units.extend(unit.take().and_then(|u| u.trimmed(margin)))
                }
                (PieceContent::Zero, Some(unit)) => unit.whole = unit.whole.hull(extent),
                (PieceContent::Zero, None) => unit = Some(Unit { whole: extent, memory: None }),
                (PieceContent::Bytes(_), Some(unit)) => {
                    unit.whole = unit.whole.hull(extent);
                    unit.memory = Some(unit.memory.map_or(extent, |memory| memory.hull(extent)));
                }
                (PieceContent::Bytes(_), None) => {
                    unit = Some(Unit { whole: extent, memory: Some(extent) })
                }
            }
        }
        units.extend(unit.and_then(|unit| unit.trimmed(margin)));
        units
    }

    /// The bytes at addresses, as many of them as were read here.
    pub(super) fn at(&self, start: u64, end: u64) -> &[u8] {
        let index = |addr: u64| {
            let past = usize::try_from(addr.saturating_sub(self.start)).unwrap_or(usize::MAX);
            past.min(self.bytes.len())
        };
        let Range { start, end } = index(start)..index(end);
        &self.bytes[start..end.max(start)]
    }

    /// The readable memory around an address, zeros too; none in a hole.
    pub(super) fn around(&self, addr: u64) -> Option<Extent> {
        let is_hole = |piece: &Piece| matches!(piece.content, PieceContent::Hole(_));
        let index = self.pieces.partition_point(|piece| piece.extent.end() <= addr);
        self.pieces.get(index).filter(|piece| !is_hole(piece) && piece.extent.contains(addr))?;
        let first = self.pieces[..index].iter().rposition(is_hole).map_or(0, |hole| hole + 1);
        let behind = self.pieces[index..].iter().position(is_hole);
        let last = behind.map_or(self.pieces.len(), |hole| index + hole) - 1;
        Some(self.pieces[first].extent.hull(self.pieces[last].extent))
    }
}

/// A run of readable memory.
struct Unit {
    whole: Extent,
    /// From the first to the last of its bytes that are not known to be zero.
    memory: Option<Extent>,
}

impl Unit {
    fn trimmed(&self, margin: u64) -> Option<Extent> {
        let memory = self.memory?;
        let start = self.whole.start().max(memory.start().saturating_sub(margin));
        let end = self.whole.end().min(memory.end().saturating_add(margin));
        Extent::half_open(start, end).ok()
    }
}
