//! `lime`: LiME's records, version 1: for each range a header, then its bytes.
//!
//! Layout: `lime_mem_range_header` in LiME's `src/lime.h`: 32 bytes, little-endian: magic u32,
//! version u32, s_addr u64, e_addr u64 *inclusive*, 8 zero bytes. Ranges ascend and do not overlap
//! (Volatility searches them so), and begin and end on page borders (LeechCore takes no others): the
//! rest of a page is zeros. The reader is the one of all files of records (`read.rs`).

use std::io;

use super::super::fill::SpanWriter;
use super::super::row::Format;
use super::super::writer::ImageWriter;
use super::header::{HEADER_LEN, LIME_MAGIC, lime_header, spans};
use super::{header, read};
use crate::{Chunk, HoleEncoding, Plan, Space};

pub(in crate::format) const FORMAT: Format = Format {
    name: header::LIME,
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
    writer: |output| {
        Box::new(Writer { spans: SpanWriter::new(output, lime_header), thinned: None })
    },
    open: Some(read::open),
    magics: &[&LIME_MAGIC],
};

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
