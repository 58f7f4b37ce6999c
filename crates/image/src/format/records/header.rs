//! The header of a record, LiME's or AVML's, and which memory of a plan records are made of.
//!
//! Layout: `lime_mem_range_header` in LiME's `src/lime.h`, all numbers little-endian: magic u32, version u32, s_addr u64,
//! e_addr u64 *inclusive*, 8 zero bytes. AVML has the same with another magic (`src/image.rs` of AVML).

use crate::problem::{Field, FormatError, read_up_to};
use crate::{Extent, ExtentSet, Plan, ReadAt};

/// The names of the formats, for their rows and for errors.
pub(super) const LIME: &str = "lime";
pub(super) const AVML: &str = "avml";
/// `LIME_MAGIC` 0x4C694D45, as it stands in the file.
pub(super) const LIME_MAGIC: [u8; 4] = 0x4C69_4D45_u32.to_le_bytes();
/// The version of LiME's records.
const LIME_VERSION: u32 = 1;
/// AVML's magic, as it stands in the file.
pub(super) const AVML_MAGIC: [u8; 4] = *b"AVML";
/// The version of AVML's records.
const AVML_VERSION: u32 = 2;
/// The length of a header, in bytes.
pub(super) const HEADER_LEN: u64 = 32;

/// The plan's memory, grown to whole pages.
pub(super) fn spans(plan: &Plan) -> ExtentSet {
    plan.map.regions().iter().map(|region| region.extent.align_outward(plan.page_size)).collect()
}

/// The header of a LiME record, whose bytes follow as they are.
pub(super) fn lime_header(span: Extent) -> Vec<u8> {
    record(LIME_MAGIC, LIME_VERSION, span)
}

/// The header of an AVML record, whose bytes follow as a stream.
pub(super) fn avml_header(span: Extent) -> Vec<u8> {
    record(AVML_MAGIC, AVML_VERSION, span)
}

fn record(magic: [u8; 4], version: u32, span: Extent) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN as usize);
    header.extend(magic);
    header.extend(version.to_le_bytes());
    header.extend(span.start().to_le_bytes());
    header.extend(span.last().to_le_bytes());
    header.extend([0; 8]);
    header
}

/// The header at `offset`, and whether what follows is compressed; none at the end of the file.
pub(super) fn read_header(
    file: &dyn ReadAt,
    format: &'static str,
    offset: u64,
) -> Result<Option<(Extent, bool)>, FormatError> {
    let mut header = [0; HEADER_LEN as usize];
    let place = Field { format, field: "header", offset };
    match read_up_to(file, offset, &mut header).map_err(|source| place.failed(source))? {
        0 => return Ok(None),
        found if found < header.len() => return Err(place.cut(found, header.len())),
        _ => {}
    }
    parse(&header, format, offset).map(Some)
}

/// Reads a header of 32 bytes that stands at `offset`.
pub(super) fn parse(
    header: &[u8; 32],
    format: &'static str,
    offset: u64,
) -> Result<(Extent, bool), FormatError> {
    let at = |within, field| Field { format, field, offset: offset + within };
    let (words, _) = header.as_chunks::<4>();
    let version = u32::from_le_bytes(words[1]);
    let is_compressed = match (words[0], version) {
        (AVML_MAGIC, AVML_VERSION) => true,
        (LIME_MAGIC, LIME_VERSION) => false,
        (AVML_MAGIC | LIME_MAGIC, _) => {
            let problem = format!("{version} is neither LiME's 1 nor AVML's 2");
            return Err(at(4, "version").bad(problem));
        }
        _ => {
            let problem = "it is neither LiME's 0x4C694D45 nor AVML's 0x4C4D5641";
            return Err(at(0, "magic").bad(problem));
        }
    };
    let (words, _) = header.as_chunks::<8>();
    let [first, last] = [1, 2].map(|index| u64::from_le_bytes(words[index]));
    let extent =
        Extent::inclusive(first, last).map_err(|error| at(16, "e_addr").bad(error.to_string()))?;
    Ok((extent, is_compressed))
}
