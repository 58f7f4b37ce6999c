//! The stream of a compressed record: its chunks, by their headers alone, and where memory stands in it.
//!
//! Layout: `framing_format.txt` of snappy. Not about what the chunks are unpacked to.

use std::io;

use super::header::AVML;
use crate::problem::{Field, FormatError, reaches, read_up_to};
use crate::{Extent, ReadAt};

/// Memory in one chunk at most (`framing_format.txt`, 4.2).
pub(super) const CHUNK_LEN: usize = 64 << 10;
/// The start of a stream: a chunk of type 0xff.
pub(super) const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";
/// The types of chunks with memory in them.
pub(super) const COMPRESSED: u8 = 0;
const STORED: u8 = 1;
/// Chunks of these types may be skipped; of those between, not.
const FIRST_SKIPPABLE: u8 = 0x80;
/// The length of the stream, after it.
pub(super) const TRAILER_LEN: u64 = 8;
/// Chunks of one stream whose places are kept: 64 GiB of memory, where a record of AVML's has 16 MiB.
const MAX_CHUNKS: usize = 1 << 20;
/// Chunks of a stream that are looked at to see whether it is one: 256 MiB of memory.
const TRIED_CHUNKS: usize = 4096;

/// A field of AVML's at that offset.
pub(super) const fn at(offset: u64, field: &'static str) -> Field {
    Field { format: AVML, field, offset }
}

/// Chunks that have memory in them. Small ones are one with those before, so that there is not more to keep than there
/// is memory.
#[derive(Clone, Copy)]
pub(super) struct FrameChunk {
    /// The offset of its memory in that of the record, in bytes.
    pub(super) memory: u64,
    /// Its offset in the file, in bytes.
    pub(super) start: u64,
}

/// The part of a stream that is there.
pub(super) struct Chunks {
    /// Ascending.
    pub(super) chunks: Vec<FrameChunk>,
    /// One beyond the last byte of the last valid chunk.
    pub(super) end: u64,
    /// Bytes of memory in the valid chunks.
    pub(super) held: u64,
    /// The reason that this is not all of the record.
    pub(super) problem: Option<FormatError>,
    /// True if the reason is that the file ends.
    pub(super) is_cut: bool,
}

/// The chunks of the stream at `offset`, up to the first that is not valid.
pub(super) fn chunks(file: &dyn ReadAt, offset: u64, extent: Extent, size: Option<u64>) -> Chunks {
    first_chunks(file, offset, extent, size, usize::MAX)
}

/// The same of at most `most` chunks.
fn first_chunks(
    file: &dyn ReadAt,
    offset: u64,
    extent: Extent,
    size: Option<u64>,
    most: usize,
) -> Chunks {
    let mut found =
        Chunks { chunks: Vec::new(), end: offset, held: 0, problem: None, is_cut: false };
    for _ in 0..most {
        if found.held == extent.len() {
            break;
        }
        match next(file, offset, &found, extent, size) {
            Ok((content, end)) => {
                let is_far = |last: &FrameChunk| found.held - last.memory >= CHUNK_LEN as u64;
                if content > 0 && found.chunks.last().is_none_or(is_far) {
                    found.chunks.push(FrameChunk { memory: found.held, start: found.end });
                }
                found.held += content;
                found.end = end;
            }
            Err((problem, is_cut)) => {
                (found.problem, found.is_cut) = (Some(problem), is_cut);
                break;
            }
        }
    }
    found
}

/// The length of the memory in the next chunk, and the offset of its end. The error says what is wrong with it, and if that is
/// because the file ends.
fn next(
    file: &dyn ReadAt,
    offset: u64,
    found: &Chunks,
    extent: Extent,
    size: Option<u64>,
) -> Result<(u64, u64), (FormatError, bool)> {
    let start = found.end;
    let place = at(start, "chunk");
    let bad = |problem: String| (place.bad(problem), false);
    let cut = || match size {
        Some(offset) => {
            let (addr, missing) = (extent.start() + found.held, extent.len() - found.held);
            let (format, field) = (AVML, "chunk");
            (FormatError::Truncated { format, offset, field, missing, addr }, true)
        }
        None => (place.bad(format!("the file ends before the last byte of {extent}")), true),
    };
    if found.chunks.len() == MAX_CHUNKS {
        return Err(bad(format!("more than {MAX_CHUNKS} chunks in one record")));
    }
    // Type and length, CRC, and the length of the memory (a varint of up to 5 bytes).
    let mut head = [0; 13];
    let there = read_up_to(file, start, &mut head).map_err(|source| {
        let is_cut = source.kind() == io::ErrorKind::UnexpectedEof;
        (place.failed(source), is_cut)
    })?;
    let head = &head[..there];
    let Some(&[kind, low, middle, high]) = head.get(..4) else { return Err(cut()) };
    if start == offset && head.get(..IDENTIFIER.len()) != Some(&IDENTIFIER[..]) {
        let problem = "it does not begin with snappy's identifier";
        return Err(match IDENTIFIER.starts_with(head) {
            true => cut(),
            false => (at(start, "stream").bad(problem), false),
        });
    }
    let len = u64::from(u32::from_le_bytes([low, middle, high, 0]));
    let end = start + 4 + len;
    if !reaches(file, size, end) {
        return Err(cut());
    }
    let content = match kind {
        COMPRESSED => head.get(8..).and_then(varint),
        STORED => len.checked_sub(4),
        FIRST_SKIPPABLE.. => Some(0),
        _ => None,
    };
    let Some(content) = content.filter(|&content| content <= CHUNK_LEN as u64) else {
        return Err(bad(format!("a chunk of type {kind:#x} and {len} bytes")));
    };
    if content > extent.len() - found.held {
        return Err(bad(format!("the stream holds more than {extent}")));
    }
    Ok((content, end))
}

pub(super) fn check_trailer(
    file: &dyn ReadAt,
    place: Field,
    found: u64,
) -> Result<(), FormatError> {
    let mut trailer = [0; TRAILER_LEN as usize];
    place.read(file, &mut trailer)?;
    let said = u64::from_le_bytes(trailer);
    match said == found {
        true => Ok(()),
        false => Err(place.bad(format!("it says {said}, the stream has {found} bytes"))),
    }
}

/// Returns true if a stream begins at `offset`.
pub(super) fn is_stream(file: &dyn ReadAt, offset: u64) -> bool {
    let mut start = [0; IDENTIFIER.len()];
    matches!(read_up_to(file, offset, &mut start), Ok(10)) && start == IDENTIFIER
}

/// Returns true if a stream of that memory stands at `offset`, with its trailer.
pub(super) fn is_whole(file: &dyn ReadAt, offset: u64, extent: Extent, size: Option<u64>) -> bool {
    let found = first_chunks(file, offset, extent, size, TRIED_CHUNKS);
    found.held == extent.len()
        && check_trailer(file, at(found.end, "length"), found.end - offset).is_ok()
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
