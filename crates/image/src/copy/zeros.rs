//! Pages of zeros, told from others after they were read, where they are to be left out.

use super::narrow::{Piece, PieceContent};
use crate::{Cause, Extent, is_zero};

/// Splits off the pages of `buffer` that hold nothing but zeros, as holes.
pub(super) fn leave_out(pieces: Vec<Piece>, buffer: &[u8], page_size: u64) -> Vec<Piece> {
    let mut split = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece.content {
            PieceContent::Bytes(at) => split_piece(piece.extent, at, buffer, page_size, &mut split),
            PieceContent::Zero => {
                split.push(Piece {
                    content: PieceContent::Hole(Cause::ZeroPage),
                    extent: piece.extent,
                });
            }
            PieceContent::Hole(_) => split.push(piece),
        }
    }
    split
}

fn split_piece(extent: Extent, at: usize, buffer: &[u8], page_size: u64, split: &mut Vec<Piece>) {
    let mut rest = Some(extent);
    while let Some(here) = rest {
        let at = at + (here.start() - extent.start()) as usize;
        let (Some(page), after) = here.split_at(page_size - here.start() % page_size) else {
            return;
        };
        rest = after;
        let is_zero = is_zero(&buffer[at..at + page.len() as usize]);
        let found =
            if is_zero { PieceContent::Hole(Cause::ZeroPage) } else { PieceContent::Bytes(at) };
        let last = split.last_mut().filter(|last| {
            let same = matches!(last.content, PieceContent::Bytes(_)) != is_zero;
            same && last.extent.end() == page.start() && last.extent.start() >= extent.start()
        });
        match last.map(|last| (Extent::half_open(last.extent.start(), page.end()), last)) {
            Some((Ok(both), last)) => last.extent = both,
            _ => split.push(Piece { extent: page, content: found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_pages_become_holes_and_others_stay_together() {
        let mut buffer = vec![7; 6 * 4096];
        buffer[4096..3 * 4096].fill(0);
        buffer[5 * 4096..].fill(0);
        buffer[5 * 4096 + 4095] = 1;
        let extent = Extent::with_len(0x1_0000, 6 * 4096).unwrap();
        let pieces =
            leave_out(vec![Piece { extent, content: PieceContent::Bytes(0) }], &buffer, 4096);
        let piece = |start: u64, pages: u64, content| Piece {
            extent: Extent::with_len(0x1_0000 + start * 4096, pages * 4096).unwrap(),
            content,
        };
        assert_eq!(
            pieces,
            [
                piece(0, 1, PieceContent::Bytes(0)),
                piece(1, 2, PieceContent::Hole(Cause::ZeroPage)),
                piece(3, 3, PieceContent::Bytes(3 * 4096)),
            ]
        );
    }
}
