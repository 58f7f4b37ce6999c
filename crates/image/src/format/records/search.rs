//! Looks for the next valid record where one was expected and is not.
//!
//! Memory can hold what looks like a record: a machine has files open. So more is asked of one that is found than of one
//! that stands where it should.

use memchr::memmem::Finder;

use super::header::{self, AVML, AVML_MAGIC, LIME_MAGIC, parse};
use super::stream::{is_stream, is_whole};
use crate::problem::read_up_to;
use crate::{Extent, ReadAt};

/// Bytes that are searched at a time.
const PIECE_LEN: usize = 1 << 20;
const HEADER_LEN: usize = header::HEADER_LEN as usize;
/// Pages are at least as large; what LiME and AVML write begins and ends with one.
pub(super) const PAGE: u64 = 4096;
/// Streams that are walked through before they are taken for what they say, in a whole file: memory can be full of what looks
/// like one.
pub(super) const MAX_TRIES: u32 = 4096;
/// No machine has physical addresses beyond 52 bits.
pub(super) const MAX_ADDRESS: u64 = 1 << 52;

/// The extent of a file.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// Its size, where that is known.
    pub(super) size: Option<u64>,
    /// True if reading further on and then here again costs unpacking all of it once more.
    pub(super) is_stream: bool,
}

/// The offset of the first valid record from `offset` on. A record that nothing else confirms has addresses from `above` on.
pub(super) fn next_record(
    file: &dyn ReadAt,
    offset: u64,
    reach: Reach,
    above: u64,
    tries: &mut u32,
) -> Option<u64> {
    let finders = [Finder::new(&AVML_MAGIC), Finder::new(&LIME_MAGIC)];
    let mut piece = vec![0; PIECE_LEN + HEADER_LEN];
    let mut at = offset;
    loop {
        // A header that begins in the last bytes of a piece is whole in the next, which begins with them.
        let found = read_up_to(file, at, &mut piece).ok()?;
        let mut places: Vec<usize> =
            finders.iter().flat_map(|finder| finder.find_iter(&piece[..found])).collect();
        places.sort_unstable();
        for place in places.into_iter().filter(|&place| place < PIECE_LEN) {
            let header = piece[place..found].first_chunk::<HEADER_LEN>();
            let here = at + place as u64;
            if header.is_some_and(|header| is_sound(file, header, here, reach, above, tries)) {
                return Some(here);
            }
        }
        if found < piece.len() {
            return None;
        }
        at += PIECE_LEN as u64;
    }
}

/// Returns true if a record begins there, as far as can be seen.
fn is_sound(
    file: &dyn ReadAt,
    header: &[u8; HEADER_LEN],
    at: u64,
    reach: Reach,
    above: u64,
    tries: &mut u32,
) -> bool {
    let Ok((extent, is_compressed)) = parse(header, AVML, at) else { return false };
    if header[24..] != [0; 8] || extent.end() > MAX_ADDRESS {
        return false;
    }
    let body = at + header::HEADER_LEN;
    let speaks_for_itself = extent.start() >= above
        && extent.start().is_multiple_of(PAGE)
        && (is_compressed || extent.end().is_multiple_of(PAGE));
    match is_compressed {
        true if !is_stream(file, body) => false,
        true if reach.is_stream || *tries == 0 => speaks_for_itself,
        true => {
            *tries -= 1;
            speaks_for_itself || is_whole(file, body, extent, reach.size)
        }
        false => leads_on(file, extent, body, reach).unwrap_or(speaks_for_itself),
    }
}

/// Returns true if a LiME record ends where the file does or another one begins; none if that cannot be seen.
fn leads_on(file: &dyn ReadAt, extent: Extent, body: u64, reach: Reach) -> Option<bool> {
    let end = body.checked_add(extent.len())?;
    if reach.is_stream || reach.size.is_none_or(|size| end > size) {
        return None;
    }
    let mut magic = [0; 4];
    let found = read_up_to(file, end, &mut magic).ok()?;
    Some([AVML_MAGIC, LIME_MAGIC].iter().any(|known| known[..found] == magic[..found]))
}
