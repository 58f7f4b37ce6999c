//! `raw`: memory alone, region after region, holes left out: what memdump(8) writes.
//!
//! The file does not say what lies where; the map that is written beside it does.

use std::io;
use std::sync::Arc;

use super::{Format, FormatError, Holes, Image, ImageWriter, Output, not_in_image, read_file};
use crate::{
    AddressSpace, Chunk, Content, Extent, Facts, MemoryMap, Plan, ReadAt, ReadError, Region,
    RegionKind, Space,
};

pub(super) const FORMAT: Format = Format {
    name: "raw",
    summary: "memory alone, one region after another, holes left out",
    opened_by: "anything, with its map (-m)",
    holes: Holes::LeftOut,
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
/// When a line is none; the offset is the line's in the map.
pub fn with_map(file: Arc<dyn ReadAt>, map: &str) -> Result<Image, FormatError> {
    let mut runs: Vec<(Extent, u64)> = Vec::new();
    let (mut at, mut offset) = (0, 0_u64);
    for line in map.split_inclusive('\n') {
        let bad = |problem: String| FormatError::Field {
            format: FORMAT.name,
            offset: at,
            field: "map",
            problem,
        };
        if !line.trim().is_empty() {
            let extent = parse_line(line)
                .ok_or_else(|| bad("a line is two addresses, such as 0x1000 0x9f000".into()))?;
            runs.push((extent, offset));
            offset = offset
                .checked_add(extent.len())
                .ok_or_else(|| bad("more than any file can hold".into()))?;
        }
        at += line.len() as u64;
    }
    runs.sort_unstable();
    let is_kernel = runs.first().is_some_and(|(extent, _)| extent.start() >= UPPER_HALF);
    let space = if is_kernel { Space::Kernel } else { Space::Physical };
    let regions = runs.iter().map(|&(extent, _)| Region::new(extent, RegionKind::Unknown));
    let map = MemoryMap::new(space, regions.collect()).map_err(|error| FormatError::Field {
        format: FORMAT.name,
        offset: 0,
        field: "map",
        problem: error.to_string(),
    })?;
    Ok(Image { space: Box::new(Raw { map, runs, file }), facts: Facts::default() })
}

fn parse_line(line: &str) -> Option<Extent> {
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let mut words = line.split_whitespace();
    let (start, end) = (number(words.next()?)?, number(words.next()?)?);
    Extent::half_open(start, end).ok().filter(|_| words.next().is_none())
}

struct Raw {
    map: MemoryMap,
    /// Each run and where its bytes stand in the file; ascending.
    runs: Vec<(Extent, u64)>,
    file: Arc<dyn ReadAt>,
}

impl AddressSpace for Raw {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.runs.partition_point(|(extent, _)| extent.start() <= addr);
        let run = self.runs[..after].last().filter(|(extent, _)| extent.contains(addr));
        let Some((extent, offset)) = run else { return Err(not_in_image(addr)) };
        let within = addr - extent.start();
        let len = buf.len().min(usize::try_from(extent.len() - within).unwrap_or(usize::MAX));
        read_file(&*self.file, addr, offset + within, &mut buf[..len])
    }
}
