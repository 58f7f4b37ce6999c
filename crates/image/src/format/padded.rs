//! `padded`: the position in the file is the physical address; zeros fill the holes.

use std::io;
use std::sync::Arc;

use super::fill::SpanWriter;
use super::row::{Format, Image};
use super::stretches::{Shift, Stretches};
use super::writer::ImageWriter;
use crate::problem::{Field, FormatError, OpenMode, Problems, whole_front};
use crate::{
    Chunk, Extent, Facts, HoleEncoding, MemoryMap, Plan, ReadAt, Region, RegionKind, Space,
};

pub(super) const FORMAT: Format = Format {
    name: "padded",
    summary: "position is address: holes between regions are filled with zeros",
    opened_by: "Volatility 3, MemProcFS, crash (IMAGE@0x0)",
    hole_encoding: HoleEncoding::Filled,
    holds: |space| space == Space::Physical,
    size: |plan| whole(plan).map_or(0, Extent::len),
    compresses: false,
    elides_zeros: false,
    writer: |output| Box::new(Writer(SpanWriter::new(output, |_| Vec::new()))),
    open: Some(open),
    magics: &[],
};

/// From address 0 to the end of the last region.
fn whole(plan: &Plan) -> Option<Extent> {
    let last = plan.map.regions().last()?;
    Extent::half_open(0, last.extent.end()).ok()
}

struct Writer<'a>(SpanWriter<'a>);

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Filled
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.0.begin(whole(plan));
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.0.chunk(chunk)
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        self.0.finish()
    }
}

/// Any file is one: a single region of all its bytes.
fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    let place = Field { format: FORMAT.name, field: "size", offset: 0 };
    let size = problems.or_none(file.size().map_err(|source| place.failed(source)))?;
    let size = size.unwrap_or_else(|| whole_front(&*file));
    let all = Extent::half_open(0, size).ok();
    let regions = all.map(|all| Region::new(all, RegionKind::Unknown));
    let map = MemoryMap::new(Space::Physical, regions.into_iter().collect())
        .map_err(|error| place.bad(error.to_string()))?;
    let parts = all.map(|all| (all, Shift::new(0, 0))).into_iter().collect();
    let space = Stretches::new(map, parts, file, (FORMAT.name, "memory"), &mut problems)?;
    Ok(Image { space: Box::new(space), facts: Facts::default(), problems })
}
