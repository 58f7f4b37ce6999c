//! Reads a block, and narrows what fails down to the pages that are bad.

use std::io;

use crate::{AddressSpace, Cause, Extent, ReadError};

/// A part of a block: bytes that are in its buffer, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) extent: Extent,
    pub(super) hole: Option<Cause>,
}

/// Reads `extent` into `buf`, of the same length, at most `read_size` bytes at a time.
///
/// A read that fails is halved until it lies within one page; that page is the hole. After a
/// success the reads grow again, so one bad page costs a few short reads and no memory beside it.
pub(super) fn read_block(
    space: &dyn AddressSpace,
    extent: Extent,
    buf: &mut [u8],
    read_size: usize,
    page_size: u64,
) -> io::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = extent.start();
    let mut step = read_size as u64;
    while at < extent.end() {
        let want = step.min(extent.end() - at);
        let within = (at - extent.start()) as usize;
        let target = &mut buf[within..within + want as usize];
        let (done, hole) = match space.read_at(at, target) {
            Ok(0) => return Err(io::Error::other("the source returned no bytes and no error")),
            Ok(read) => {
                tracing::trace!("read {at:#x}: {read} of {want} bytes");
                step = (step * 2).min(read_size as u64);
                (read as u64, None)
            }
            Err(ReadError::Fault { cause, .. }) => {
                tracing::trace!("read {at:#x}: none of {want} bytes: {cause}");
                let to_page_end = page_size - at % page_size;
                if want > to_page_end {
                    // Short reads end on page borders, so that each page is asked for whole.
                    let half = at + want / 2;
                    step = (half - half % page_size).saturating_sub(at).max(to_page_end);
                    continue;
                }
                (want, Some(cause))
            }
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(ReadError::Io(error)) => return Err(error),
        };
        push(&mut pieces, at, done, hole);
        at += done;
    }
    Ok(pieces)
}

/// Adds a piece, or lengthens the last one when it is of the same sort.
fn push(pieces: &mut Vec<Piece>, at: u64, len: u64, hole: Option<Cause>) {
    let start = match pieces.last() {
        Some(last) if last.hole == hole => last.extent.start(),
        _ => at,
    };
    if start != at {
        pieces.pop();
    }
    pieces.extend(Extent::half_open(start, at + len).map(|extent| Piece { extent, hole }));
}
