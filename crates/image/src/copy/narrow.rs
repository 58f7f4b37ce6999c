//! Reads a block, and narrows what fails down to the pages that are bad.

use std::io;

use super::blocks::Block;
use crate::{AddressSpace, Cause, Extent, Presence, ReadError, Run};

/// A part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its addresses.
    pub extent: Extent,
    /// Its content.
    pub content: PieceContent,
}

/// The content of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceContent {
    /// Bytes that stand at this place of the block's buffer.
    Bytes(usize),
    /// Zeros that nobody had to read.
    Zero,
    /// Nothing could be read.
    Hole(Cause),
}

/// Reads `block` into `buf`, which is large enough, at most `read_size` bytes at a time; gives its
/// pieces in the order of addresses.
///
/// A read that fails is halved until it lies within one page; that page is the hole. After a
/// success the reads grow again, so one bad page costs a few short reads and no memory beside it.
/// The bytes of all pieces stand one after another in `buf`.
///
/// # Errors
/// When the source itself fails, so that no further read will succeed.
pub fn read_block(
    space: &dyn AddressSpace,
    block: &Block,
    buf: &mut [u8],
    read_size: usize,
    page_size: u64,
) -> io::Result<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(block.runs.len());
    let mut rest: Vec<Run> = Vec::with_capacity(block.runs.len());
    for &run in &block.runs {
        let found = match run.presence {
            Presence::Memory | Presence::InFile => {
                rest.push(run);
                continue;
            }
            Presence::Zero => PieceContent::Zero,
            Presence::Nothing(cause) => PieceContent::Hole(cause),
        };
        pieces.push(Piece { extent: run.extent, content: found });
    }
    let known = pieces.len();

    let (mut next, mut filled) = (0, 0);
    let mut step = read_size as u64;
    while next < rest.len() {
        let window = front(&rest[next..], step);
        let want: u64 = window.iter().map(|run| run.extent.len()).sum();
        let at = window[0].extent.start();
        let target = &mut buf[filled..filled + want as usize];
        match space.read_runs(&window, target) {
            Ok(0) => return Err(io::Error::other("the source returned no bytes and no error")),
            Ok(read) => {
                tracing::trace!("read {at:#x}: {read} of {want} bytes");
                step = (step * 2).min(read_size as u64);
                for extent in advance(&mut rest, &mut next, read as u64) {
                    pieces.push(Piece { extent, content: PieceContent::Bytes(filled) });
                    filled += extent.len() as usize;
                }
            }
            Err(ReadError::Fault { cause, .. }) => {
                tracing::trace!("read {at:#x}: none of {want} bytes: {cause}");
                let smallest = (page_size - at % page_size).min(window[0].extent.len());
                if want > smallest {
                    // Short reads end on page borders, so that each page is asked for whole.
                    let half = at + want / 2;
                    step = (half - half % page_size).saturating_sub(at).max(smallest);
                    continue;
                }
                for extent in advance(&mut rest, &mut next, want) {
                    pieces.push(Piece { extent, content: PieceContent::Hole(cause) });
                }
            }
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(ReadError::Io(error)) => return Err(error),
        }
    }
    if known > 0 {
        pieces.sort_by_key(|piece| piece.extent);
    }
    // Runs stay apart: where two of them touch, a region may end.
    let begins = |at| block.runs.binary_search_by_key(&at, |run| run.extent.start()).is_ok();
    pieces.dedup_by(|next, piece| !begins(next.extent.start()) && continues(piece, next));
    Ok(pieces)
}

/// The first `len` bytes of `runs`.
fn front(runs: &[Run], len: u64) -> Vec<Run> {
    let mut left = len;
    let pieces = runs.iter().map_while(|run| {
        let (head, _) = run.extent.split_at(left);
        left -= head?.len();
        Some(Run { extent: head?, ..*run })
    });
    pieces.collect()
}

/// Takes `len` bytes from the front of `runs[*next..]`; gives their extents.
fn advance(runs: &mut [Run], next: &mut usize, len: u64) -> Vec<Extent> {
    let mut left = len;
    let mut taken = Vec::new();
    while left > 0
        && let Some(run) = runs.get_mut(*next)
    {
        let (head, tail) = run.extent.split_at(left);
        taken.extend(head);
        left -= head.map_or(0, Extent::len);
        match tail {
            Some(tail) => run.extent = tail,
            None => *next += 1,
        }
    }
    taken
}

/// Lengthens `piece` by `next` where both are of the same sort and one goes on where the other ends.
fn continues(piece: &mut Piece, next: &Piece) -> bool {
    let meets = piece.extent.end() == next.extent.start();
    let same = match (piece.content, next.content) {
        (PieceContent::Bytes(at), PieceContent::Bytes(then)) => {
            at + piece.extent.len() as usize == then
        }
        (PieceContent::Hole(cause), PieceContent::Hole(other)) => cause == other,
        (PieceContent::Zero, PieceContent::Zero) => true,
        _ => false,
    };
    match Extent::half_open(piece.extent.start(), next.extent.end()) {
        Ok(both) if meets && same => {
            piece.extent = both;
            true
        }
        _ => false,
    }
}
