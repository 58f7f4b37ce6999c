//! The part that formats with fixed places share: chunks go to where their address stands, and zeros
//! stand where no chunk came.
//!
//! Not for `raw`, which has no places.

use std::collections::VecDeque;
use std::io;

use crate::Output;
use crate::{Chunk, Content, Extent};

/// Writes spans of addresses one after another, each whole.
pub(super) struct SpanWriter<'a> {
    output: &'a mut dyn Output,
    /// Makes the header that stands before the bytes of a span.
    header: fn(Extent) -> Vec<u8>,
    /// Spans not begun yet.
    ahead: VecDeque<Extent>,
    /// The rest of the span that is being written.
    rest: Option<Extent>,
}

impl<'a> SpanWriter<'a> {
    pub(super) fn new(output: &'a mut dyn Output, header: fn(Extent) -> Vec<u8>) -> Self {
        Self { output, header, ahead: VecDeque::new(), rest: None }
    }

    /// Writes what stands before the first span, or after the last.
    pub(super) fn around(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Sets the spans, disjoint and in the order in which they will be written.
    pub(super) fn begin(&mut self, spans: impl IntoIterator<Item = Extent>) {
        self.ahead = spans.into_iter().collect();
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        let rest = loop {
            match self.rest {
                Some(rest) if rest.covers(extent) => break rest,
                _ => self.next_span(extent)?,
            }
        };
        self.output.zeros(extent.start() - rest.start())?;
        match chunk.content {
            Content::Bytes(bytes) => self.output.write_all(bytes)?,
            Content::Zero { len } | Content::Hole { len, .. } => self.output.zeros(len)?,
        }
        self.rest = Extent::half_open(extent.end(), rest.end()).ok();
        Ok(())
    }

    /// As [`chunk`](Self::chunk), of memory that no span was set for: it goes into what is left of the last, and into a new one, which
    /// ends on a border of pages.
    pub(super) fn chunk_of_its_own(&mut self, chunk: &Chunk<'_>, page: u64) -> io::Result<()> {
        let mut extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        if let Some(rest) = self.rest.filter(|rest| rest.contains(extent.start())) {
            let (here, after) = extent.split_at(rest.end() - extent.start());
            self.chunk(&chunk.part(here.unwrap_or(extent)))?;
            let Some(after) = after else { return Ok(()) };
            extent = after;
        }
        self.ahead.push_back(extent.align_outward(page));
        self.chunk(&chunk.part(extent))
    }

    /// Fills up what no chunk came for, to the end of the last span.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        while self.fill_rest()? {}
        Ok(())
    }

    fn next_span(&mut self, wanted: Extent) -> io::Result<()> {
        if self.fill_rest()? {
            return Ok(());
        }
        let outside = format!("memory at {wanted} is not part of the plan");
        Err(io::Error::new(io::ErrorKind::InvalidInput, outside))
    }

    /// Ends the present span and begins the next; whether there was one.
    fn fill_rest(&mut self) -> io::Result<bool> {
        if let Some(rest) = self.rest.take() {
            self.output.zeros(rest.len())?;
        }
        self.rest = self.ahead.pop_front();
        if let Some(span) = self.rest {
            self.output.write_all(&(self.header)(span))?;
        }
        Ok(self.rest.is_some())
    }
}
