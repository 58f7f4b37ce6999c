//! `lime`: LiME's records, version 1: for each range a header, then its bytes.
//!
//! Layout: `lime_mem_range_header` in LiME's `src/lime.h`: 32 bytes, little-endian: magic u32,
//! version u32, s_addr u64, e_addr u64 *inclusive*, 8 zero bytes. Ranges ascend and do not overlap
//! (Volatility searches them so), and begin and end on page borders (LeechCore takes no others): the
//! rest of a page is zeros. The reader is that of `avml`, whose records may stand among these.

use std::io;

use super::fill::SpanWriter;
use super::{Format, HoleEncoding, ImageWriter, avml};
use crate::{Chunk, Extent, ExtentSet, Plan, Space};

pub(super) const FORMAT: Format = Format {
    name: "lime",
    summary: "LiME version 1: a 32-byte header before each range",
    opened_by: "Volatility 3, AVML, MemProcFS",
    hole_encoding: HoleEncoding::Gaps,
    holds: |space| space == Space::Physical,
    size: |plan| {
        let spans = spans(plan);
        // Of a plan that is thinned, no less than a page has a record.
        let records = match plan.is_thinned {
            true => spans.total() / plan.page_size,
            false => spans.as_slice().len() as u64,
        };
        spans.total() + records * HEADER_LEN
    },
    compresses: false,
    elides_zeros: false,
    writer: |output| Box::new(Writer { spans: SpanWriter::new(output, header), thinned: None }),
    open: Some(avml::open),
    magics: &[&MAGIC],
};

/// `LIME_MAGIC` 0x4C694D45, as it stands in the file.
pub(super) const MAGIC: [u8; 4] = 0x4C69_4D45_u32.to_le_bytes();
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: u64 = 32;

/// The plan's memory, grown to whole pages.
pub(super) fn spans(plan: &Plan) -> ExtentSet {
    plan.map.regions().iter().map(|region| region.extent.align_outward(plan.page_size)).collect()
}

/// The header of a record of version 1.
pub(super) fn header(span: Extent) -> Vec<u8> {
    record(MAGIC, VERSION, span)
}

/// A header of this layout.
pub(super) fn record(magic: [u8; 4], version: u32, span: Extent) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN as usize);
    header.extend(magic);
    header.extend(version.to_le_bytes());
    header.extend(span.start().to_le_bytes());
    header.extend(span.last().to_le_bytes());
    header.extend([0; 8]);
    header
}

struct Writer<'a> {
    spans: SpanWriter<'a>,
    /// The page size of a plan that is thinned: what comes has a record of its own then, and holes have none.
    thinned: Option<u64>,
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Gaps
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        match plan.is_thinned {
            true => self.thinned = Some(plan.page_size),
            false => self.spans.begin(spans(plan).iter()),
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        match self.thinned {
            None => self.spans.chunk(chunk),
            Some(_) if chunk.content.is_missing() => Ok(()),
            Some(page) => self.spans.chunk_of_its_own(chunk, page),
        }
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        self.spans.finish()
    }
}
