//! Cuts what was read into parts, so that each byte is some part's own once and has its
//! surroundings beside it.
//!
//! The last bytes of a block cannot be looked at before the next has been read. They are carried
//! over as a [`Tail`], and looked at in a short window across the border.

use std::ops::Range;

use memdump_image::Extent;
use memdump_image::blocks::{Piece, PieceContent};

use super::part::{Content, Part, Window};

/// The last bytes of a stretch of memory, of which some have not been looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// At most twice the reach.
    bytes: Vec<u8>,
    /// The address beyond them.
    end: u64,
    /// The number of them, at the end, that have not been searched.
    due: usize,
}

/// A part before its bytes are looked up.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    extent: Extent,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Bytes of the block's buffer, and which of them are its own.
    Buffer {
        bytes: Range<usize>,
        own: Range<usize>,
        addr: u64,
    },
    /// Bytes across a border.
    Border {
        bytes: Vec<u8>,
        own: Range<usize>,
        addr: u64,
    },
    Other(PieceContent),
}

impl Cut {
    pub(super) fn part<'a>(&'a self, buffer: &'a [u8]) -> Part<'a> {
        let window = |bytes, own: &Range<usize>, addr| {
            Content::Bytes(Window { bytes, own: own.clone(), addr })
        };
        let content = match &self.what {
            What::Buffer { bytes, own, addr } => window(&buffer[bytes.clone()], own, *addr),
            What::Border { bytes, own, addr } => window(bytes, own, *addr),
            What::Other(PieceContent::Hole(cause)) => Content::Hole(*cause),
            What::Other(_) => Content::Zero,
        };
        Part { extent: self.extent, content }
    }
}

/// Cuts the pieces of one block, then of the next.
pub(super) struct Cutter {
    reach: usize,
    tail: Tail,
    cuts: Vec<Cut>,
}

impl Cutter {
    /// Goes on after `tail`.
    pub(super) fn new(reach: usize, tail: Tail) -> Self {
        Self { reach, tail, cuts: Vec::new() }
    }

    /// Takes pieces in the order of addresses, whose bytes are in `buffer`.
    pub(super) fn block(&mut self, pieces: &[Piece], buffer: &[u8]) {
        let mut rest = pieces;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            let mut piece = first;
            // Where one piece of memory goes on in the next, so do their bytes.
            while let (PieceContent::Bytes(at), Some((next, after))) =
                (piece.content, rest.split_first())
                && next.extent.start() == piece.extent.end()
                && next.content == PieceContent::Bytes(at + piece.extent.len() as usize)
            {
                piece.extent = piece.extent.hull(next.extent);
                rest = after;
            }
            self.piece(piece, buffer);
        }
    }

    fn piece(&mut self, piece: Piece, buffer: &[u8]) {
        let Piece { extent, content } = piece;
        if extent.start() != self.tail.end || matches!(content, PieceContent::Hole(_)) {
            self.end_stretch();
        }
        match content {
            PieceContent::Hole(_) => self.cuts.push(Cut { extent, what: What::Other(content) }),
            PieceContent::Zero => {
                let len = self.context().min(usize::try_from(extent.len()).unwrap_or(usize::MAX));
                let zeros = vec![0; len];
                self.memory(extent, &zeros, None);
            }
            PieceContent::Bytes(at) => {
                let all = &buffer[at..at + extent.len() as usize];
                self.memory(extent, all, Some(at));
            }
        }
    }

    /// Takes memory that goes on from the tail: `bytes` is all of it, and stands at `at` of the buffer; or it
    /// is known to be zero, and `bytes` is as much of it as may be needed.
    fn memory(&mut self, extent: Extent, bytes: &[u8], at: Option<usize>) {
        let (reach, context) = (self.reach, self.context());
        let is_begun = !self.tail.bytes.is_empty();
        let head = bytes.len().min(context);
        if is_begun {
            self.tail.bytes.extend_from_slice(&bytes[..head]);
            self.tail.due += head;
            self.tail.end = extent.start() + head as u64;
            self.border(reach);
        }
        if is_begun && extent.len() == head as u64 {
            return;
        }
        // What is beyond the head, but for the end, is looked at where it stands.
        let from = if is_begun { reach as u64 } else { 0 };
        let len = extent.len();
        let to = len.saturating_sub(reach as u64).max(from);
        if let Ok(own) = Extent::half_open(extent.start() + from, extent.start() + to) {
            let what = match at {
                Some(at) => What::Buffer {
                    bytes: at..at + len as usize,
                    own: from as usize..to as usize,
                    addr: extent.start(),
                },
                None => What::Other(PieceContent::Zero),
            };
            self.cuts.push(Cut { extent: own, what });
        }
        let last = bytes.len().saturating_sub(context);
        self.tail.bytes.clear();
        self.tail.bytes.extend_from_slice(&bytes[last..]);
        self.tail.due = (len - to) as usize;
        self.tail.end = extent.end();
    }

    /// Looks at what is due of the tail, but for its last `kept` bytes, and shortens it.
    fn border(&mut self, kept: usize) {
        let Tail { bytes, end, due } = &mut self.tail;
        let len = bytes.len();
        let own = len - *due..len.saturating_sub(kept).max(len - *due);
        let addr = *end - len as u64;
        let extent = Extent::half_open(addr + own.start as u64, addr + own.end as u64);
        if let Ok(extent) = extent {
            *due = len - own.end;
            let what = What::Border { bytes: bytes.clone(), own, addr };
            self.cuts.push(Cut { extent, what });
        }
        let excess = bytes.len().saturating_sub(2 * self.reach);
        bytes.drain(..excess);
    }

    /// Nothing follows the tail.
    pub(super) fn end_stretch(&mut self) {
        self.border(0);
        self.tail = Tail::default();
    }

    /// The number of bytes of a stretch that have to be kept.
    fn context(&self) -> usize {
        2 * self.reach
    }

    /// The parts so far, and what goes before the next block.
    pub(super) fn take(self) -> (Vec<Cut>, Tail) {
        (self.cuts, self.tail)
    }
}
