//! The writer: all headers first, then the segments' bytes, then the record, so that it streams.

use std::io;

use super::super::fill::SpanWriter;
use super::super::writer::ImageWriter;
use super::layout::{Layout, record_note};
use crate::{Chunk, HoleEncoding, Output, Plan};

pub(super) struct Writer<'a>(SpanWriter<'a>);

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        Self(SpanWriter::new(output, |_| Vec::new()))
    }
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Gaps
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let layout = Layout::new(plan);
        self.0.around(&layout.preamble())?;
        self.0.begin(layout.spans);
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.0.chunk(chunk)
    }

    fn finish(&mut self, record: &str) -> io::Result<()> {
        self.0.finish()?;
        self.0.around(&record_note(record))
    }
}
