//! `raw`: memory alone, region after region, holes left out: what memdump(8) writes.
//!
//! The file does not say what lies where; the map that is written beside it does.

use std::io;
use std::sync::Arc;

use super::row::{Format, Image};
use super::stretches::{FirstWins, Shift, Stretches};
use super::writer::ImageWriter;
use crate::problem::{Field, FormatError, OpenMode, Problems};
use crate::{
    Chunk, Content, Extent, Facts, HoleEncoding, MemoryMap, Output, Plan, ReadAt, Region,
    RegionKind, Space,
};

pub(super) const FORMAT: Format = Format {
    name: "raw",
    summary: "memory alone, one region after another, holes left out",
    opened_by: "anything, with its map (-m)",
    hole_encoding: HoleEncoding::LeftOut,
    holds: |space| matches!(space, Space::Physical | Space::Kernel),
    size: |plan| plan.map.total(),
    compresses: false,
    elides_zeros: false,
    writer: |output| Box::new(Writer(output)),
    open: None,
    magics: &[],
};

struct Writer<'a>(&'a mut dyn Output);

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::LeftOut
    }

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

/// The lowest address of the upper half, which is the kernel's.
const UPPER_HALF: u64 = 1 << 63;

/// Opens an image with the map that was written beside it: a line `0xSTART 0xEND` for each run of addresses in it, END the
/// first beyond, in the order in which they stand in the file.
///
/// # Errors
/// When a line is not valid, or overlaps one before; the offset is the line's in the map. When the file ends before the map does.
/// With [`OpenMode::Salvage`] such lines are left out from the first on whose length is not known, what the file has of the
/// others is there, and of memory that two lines claim the first one's counts.
pub fn with_map(file: Arc<dyn ReadAt>, map: &str, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    let mut runs = FirstWins::new();
    let (mut at, mut offset) = (0, 0_u64);
    for line in map.split_inclusive('\n') {
        let here = Field { format: FORMAT.name, field: "map", offset: at };
        at += line.len() as u64;
        if line.trim().is_empty() {
            continue;
        }
        let Some(extent) = parse_line(line) else {
            problems.found(here.bad("a line is two addresses, such as 0x1000 0x9f000"))?;
            break;
        };
        let Some(end) = offset.checked_add(extent.len()) else {
            problems.found(here.bad("more than any file can hold"))?;
            break;
        };
        if let Some(twice) = runs.insert(extent, Shift::new(extent.start(), offset)) {
            problems.found(here.bad(format!("{twice} was in the map before")))?;
        }
        offset = end;
    }
    let runs = runs.into_parts();
    let is_kernel = runs.first().is_some_and(|(extent, _)| extent.start() >= UPPER_HALF);
    let space = if is_kernel { Space::Kernel } else { Space::Physical };
    let regions = runs.iter().map(|&(extent, _)| Region::new(extent, RegionKind::Unknown));
    let place = Field { format: FORMAT.name, field: "map", offset: 0 };
    let map =
        MemoryMap::new(space, regions.collect()).map_err(|error| place.bad(error.to_string()))?;
    let space = Stretches::new(map, runs, file, (FORMAT.name, "map"), &mut problems)?;
    Ok(Image { space: Box::new(space), facts: Facts::default(), problems })
}

fn parse_line(line: &str) -> Option<Extent> {
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let mut words = line.split_whitespace();
    let (start, end) = (number(words.next()?)?, number(words.next()?)?);
    Extent::half_open(start, end).ok().filter(|_| words.next().is_none())
}
