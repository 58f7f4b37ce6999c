//! `lime`: LiME's records, version 1: for each range a header, then its bytes.
//!
//! Layout: `lime_mem_range_header` in LiME's `src/lime.h`: 32 bytes, little-endian: magic u32,
//! version u32, s_addr u64, e_addr u64 *inclusive*, 8 zero bytes. Ranges ascend and do not overlap
//! (Volatility searches them so), and begin and end on page borders (LeechCore takes no others): the
//! rest of a page is zeros. Not the compressed version 2 records of AVML.

use std::io;
use std::sync::Arc;

use super::fill::SpanWriter;
use super::{Format, FormatError, Holes, Image, ImageWriter};
use crate::{
    AddressSpace, Chunk, Extent, ExtentSet, Facts, MemoryMap, Plan, ReadAt, ReadError, Region,
    RegionKind, Space,
};

pub(super) const FORMAT: Format = Format {
    name: "lime",
    summary: "LiME version 1: a 32-byte header before each range",
    opened_by: "Volatility 3, AVML, MemProcFS",
    holes: Holes::Filled,
    holds: |space| space == Space::Physical,
    size: |plan| {
        let spans = spans(plan);
        spans.total() + spans.as_slice().len() as u64 * HEADER_LEN
    },
    compresses: false,
    writer: |output| Box::new(Writer(SpanWriter::new(output, header))),
    open: Some(open),
    magics: &[&MAGIC],
};

/// `LIME_MAGIC` 0x4C694D45, as it stands in the file.
const MAGIC: [u8; 4] = 0x4C69_4D45_u32.to_le_bytes();
const VERSION: u32 = 1;
const HEADER_LEN: u64 = 32;
/// More ranges than any machine has; a file with more is not read.
const MAX_RECORDS: usize = 1 << 20;

/// The plan's memory, grown to whole pages.
fn spans(plan: &Plan) -> ExtentSet {
    plan.map.regions().iter().map(|region| region.extent.align_outward(plan.page_size)).collect()
}

fn header(span: Extent) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN as usize);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(span.start().to_le_bytes());
    header.extend(span.last().to_le_bytes());
    header.extend([0; 8]);
    header
}

struct Writer<'a>(SpanWriter<'a>);

impl ImageWriter for Writer<'_> {
    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.0.begin(spans(plan).iter());
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.0.chunk(chunk)
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        self.0.finish()
    }
}

/// A record: its addresses and where its bytes stand in the file.
struct Record {
    extent: Extent,
    offset: u64,
}

fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    let failed = |offset| move |source| FormatError::Read { format: FORMAT.name, offset, source };
    let size = file.size().map_err(failed(0))?;
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    while at < size {
        let bad = |offset, field, problem| FormatError::Field {
            format: FORMAT.name,
            offset: at + offset,
            field,
            problem,
        };
        if records.len() == MAX_RECORDS {
            return Err(bad(0, "magic", format!("more than {MAX_RECORDS} ranges")));
        }
        let mut header = [0; HEADER_LEN as usize];
        if size - at < HEADER_LEN {
            let left = size - at;
            return Err(bad(
                0,
                "header",
                format!("the file ends after {left} of {HEADER_LEN} bytes"),
            ));
        }
        file.read_exact_at(at, &mut header).map_err(failed(at))?;
        if header[..4] != MAGIC {
            return Err(bad(0, "magic", "it is not LiME's 0x4C694D45".into()));
        }
        if header[4..8] != VERSION.to_le_bytes() {
            return Err(bad(4, "version", "only version 1 is LiME".into()));
        }
        let [_, first, last, _] = words(&header);
        let extent =
            Extent::inclusive(first, last).map_err(|error| bad(16, "e_addr", error.to_string()))?;
        if let Some(before) = records.last().filter(|record| record.extent.end() > extent.start()) {
            let problem = format!("{extent} does not come after {}", before.extent);
            return Err(bad(8, "s_addr", problem));
        }
        let offset = at + HEADER_LEN;
        if size - offset < extent.len() {
            let problem = format!("the file ends before the last byte of {extent}");
            return Err(bad(16, "e_addr", problem));
        }
        records.push(Record { extent, offset });
        at = offset + extent.len();
    }
    let regions =
        records.iter().map(|record| Region::new(record.extent, RegionKind::Unknown)).collect();
    let map = MemoryMap::new(Space::Physical, regions)
        .map_err(|error| failed(0)(io::Error::other(error)))?;
    Ok(Image { space: Box::new(Lime { map, records, file }), facts: Facts::default() })
}

/// The header as four little-endian words.
fn words(header: &[u8; 32]) -> [u64; 4] {
    let (words, _) = header.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

struct Lime {
    map: MemoryMap,
    /// Ascending.
    records: Vec<Record>,
    file: Arc<dyn ReadAt>,
}

impl AddressSpace for Lime {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.records.partition_point(|record| record.extent.start() <= addr);
        let record = self.records[..after].last().filter(|record| record.extent.contains(addr));
        let Some(Record { extent, offset }) = record else {
            return Err(super::not_in_image(addr));
        };
        let within = addr - extent.start();
        let len = buf.len().min(usize::try_from(extent.len() - within).unwrap_or(usize::MAX));
        super::read_file(&*self.file, addr, offset + within, &mut buf[..len])
    }
}
