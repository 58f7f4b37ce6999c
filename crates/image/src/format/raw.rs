//! `raw`: memory alone, region after region, holes left out: what memdump(8) writes.
//!
//! The file does not say what lies where; the map that is written beside it does.

use std::io;

use super::{Format, Holes, ImageWriter, Output};
use crate::{Chunk, Content, Plan, Space};

pub(super) const FORMAT: Format = Format {
    name: "raw",
    summary: "memory alone, one region after another, holes left out",
    opened_by: "anything, with its map (-m)",
    holes: Holes::LeftOut,
    holds: |space| matches!(space, Space::Physical | Space::Kernel),
    size: |plan| plan.map.total(),
    compresses: false,
    writer: |output| Box::new(Writer(output)),
    open: None,
    magics: &[],
};

struct Writer<'a>(&'a mut dyn Output);

impl ImageWriter for Writer<'_> {
    fn begin(&mut self, _: &Plan) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        match chunk.content {
            Content::Bytes(bytes) => self.0.write_all(bytes),
            Content::Zero { len } => self.0.zeros(len),
            Content::Hole { .. } => Ok(()),
        }
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
