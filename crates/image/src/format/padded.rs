//! `padded`: the position in the file is the physical address; zeros fill the holes.

use std::io;
use std::sync::Arc;

use super::fill::SpanWriter;
use super::{Format, FormatError, Holes, Image, ImageWriter};
use crate::{
    AddressSpace, Chunk, Extent, Facts, MemoryMap, Plan, ReadAt, ReadError, Region, RegionKind,
    Space,
};

pub(super) const FORMAT: Format = Format {
    name: "padded",
    summary: "position is address: holes between regions are filled with zeros",
    opened_by: "Volatility 3, MemProcFS, crash (IMAGE@0x0)",
    holes: Holes::Filled,
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
fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    let failed = |source| FormatError::Read { format: FORMAT.name, offset: 0, source };
    let size = file.size().map_err(failed)?;
    let regions = Extent::half_open(0, size).map(|all| Region::new(all, RegionKind::Unknown));
    let map = MemoryMap::new(Space::Physical, regions.into_iter().collect())
        .map_err(|error| failed(io::Error::other(error)))?;
    Ok(Image { space: Box::new(Padded { map, file }), facts: Facts::default() })
}

struct Padded {
    map: MemoryMap,
    file: Arc<dyn ReadAt>,
}

impl AddressSpace for Padded {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        super::read_file(&*self.file, addr, addr, buf)
    }
}
