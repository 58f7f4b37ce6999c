//! Flattened files: a header, then records that say where in the file their bytes belong.
//!
//! Layout: `struct makedumpfile_header` and `struct makedumpfile_data_header` in makedumpfile, all
//! numbers big-endian: 16 bytes of signature, type i64, version i64, zeros to 4096; then for each
//! record offset i64, size i64, its bytes; at the end -1 and -1. Where two records write the same
//! place the later one counts, as when `makedumpfile -R` puts them in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::fields::NAME;
use crate::ReadAt;
use crate::problem::{Field, FormatError, Problems, known_size, reaches, whole_front};

/// `MAKEDUMPFILE_SIGNATURE`, with NULs to its full length.
pub(super) const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// `TYPE_FLAT_HEADER`.
pub(super) const TYPE: i64 = 1;
/// `VERSION_FLAT_HEADER`.
pub(super) const VERSION: i64 = 1;
/// `MAX_SIZE_MDF_HEADER`: bytes before the first record.
pub(super) const HEADER_LEN: u64 = 4096;
/// `END_FLAG_FLAT_HEADER`: offset and size of the record that ends the file.
pub(super) const END: i64 = -1;
/// Bytes before those of a record.
const RECORD_LEN: u64 = 16;

/// A flattened file, read as if it were in order. Places that no record has are zeros, up to the
/// last byte of any.
pub(super) struct Flattened {
    file: Arc<dyn ReadAt>,
    /// By place, ascending; they do not overlap.
    pieces: Vec<Piece>,
    size: u64,
}

/// Bytes that stand together.
#[derive(Clone, Copy)]
struct Piece {
    /// The offset at which they belong.
    start: u64,
    /// The first byte beyond.
    end: u64,
    /// Their offset in the flattened file.
    from: u64,
}

impl Flattened {
    /// Finds all records, and says whether the file has its end. One that was cut short is read as
    /// far as it goes, where that is allowed.
    pub(super) fn open(
        file: Arc<dyn ReadAt>,
        problems: &mut Problems,
    ) -> Result<(Self, bool), FormatError> {
        let place = |offset, field| Field { format: NAME, field, offset };
        let known = known_size(&*file, NAME)?;
        let mut header = [0; 32];
        place(0, "flattened header").read(&*file, &mut header)?;
        if header[16..24] != TYPE.to_be_bytes() || header[24..32] != VERSION.to_be_bytes() {
            let problem = "only flattened files of type 1, version 1 are known";
            return Err(place(16, "version").bad(problem));
        }
        let mut places = Places::default();
        let mut at = HEADER_LEN;
        // Each turn goes on by at least a record's header and a byte.
        let problem = loop {
            let mut record = [0; RECORD_LEN as usize];
            if let Err(problem) = place(at, "record").read(&*file, &mut record) {
                break Some(problem);
            }
            let (words, _) = record.as_chunks::<8>();
            let [offset, size] = [i64::from_be_bytes(words[0]), i64::from_be_bytes(words[1])];
            if offset == END && size == END {
                break None;
            }
            let Ok(start) = u64::try_from(offset) else {
                let problem = format!("{offset} lies before the file");
                break Some(place(at, "offset").bad(problem));
            };
            let Some(len) = u64::try_from(size).ok().filter(|&len| len > 0) else {
                break Some(place(at + 8, "buf_size").bad(format!("{size} bytes")));
            };
            let from = at + RECORD_LEN;
            let next = from.checked_add(len);
            if let Some(next) = next.filter(|&next| reaches(&*file, known, next)) {
                // Two non-negative i64 cannot add up to more than a u64.
                places.insert(Piece { start, end: start + len, from });
                at = next;
                continue;
            }
            let end = known.unwrap_or_else(|| whole_front(&*file));
            let here = end.saturating_sub(from).min(len);
            places.insert(Piece { start, end: start + here, from });
            let problem = format!("the file ends after {here} of its {len} bytes");
            break Some(place(at + 8, "buf_size").bad(problem));
        };
        let is_whole = problem.is_none();
        problem.map_or(Ok(()), |problem| problems.found(problem))?;
        let pieces = places.0.into_values().collect::<Vec<_>>();
        let size = pieces.last().map_or(0, |piece| piece.end);
        Ok((Self { file, pieces, size }, is_whole))
    }

    /// The number of bytes that the records hold; the size is the one that they claim.
    pub(super) fn held(&self) -> u64 {
        // They do not overlap.
        self.pieces.iter().map(|piece| piece.end - piece.start).sum()
    }
}

/// Pieces that do not overlap, by their start.
#[derive(Default)]
struct Places(BTreeMap<u64, Piece>);

impl Places {
    /// Puts a piece over what stands there.
    fn insert(&mut self, piece: Piece) {
        if piece.start == piece.end {
            return;
        }
        let before = self.0.range(..piece.start).next_back().map(|(_, before)| *before);
        if let Some(before) = before.filter(|before| before.end > piece.start) {
            self.0.insert(before.start, Piece { end: piece.start, ..before });
            self.put_rest(before, piece.end);
        }
        while let Some((&start, &covered)) = self.0.range(piece.start..piece.end).next() {
            self.0.remove(&start);
            self.put_rest(covered, piece.end);
        }
        self.0.insert(piece.start, piece);
    }

    /// Puts back the rest of `piece` from `at` on.
    fn put_rest(&mut self, piece: Piece, at: u64) {
        if piece.end > at {
            let rest = Piece { start: at, from: piece.from + (at - piece.start), ..piece };
            self.0.insert(at, rest);
        }
    }
}

impl ReadAt for Flattened {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let next = self.pieces.partition_point(|piece| piece.end <= offset);
        let Some(piece) = self.pieces.get(next) else { return Ok(0) };
        let up_to = |end: u64| usize::try_from(end - offset).unwrap_or(usize::MAX).min(buf.len());
        if offset < piece.start {
            let len = up_to(piece.start);
            buf[..len].fill(0);
            return Ok(len);
        }
        let len = up_to(piece.end);
        self.file.read_at(piece.from + (offset - piece.start), &mut buf[..len])
    }
}
