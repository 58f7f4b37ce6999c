//! The headers of a file, and its bitmaps, checked: where its descriptors are and of which pages.
//!
//! Nothing here trusts the file: what is allocated is bounded by the bytes that the file really has.

use std::io;
use std::time::Duration;

use super::super::FormatError;
use super::super::elf::ElfCore;
use super::{
    BLOCK_LENS, HEADER_LEN, NO_VERSION, SIGNATURE, SUB_HEADER_LEN, UTS_LEN, VERSION, ZSTD, at, sub,
};
use crate::{Extent, Facts, MemoryMap, ReadAt, Region, RegionKind, Space, VmCoreInfo};

/// More ranges of RAM than any machine has; a file with more is not read.
const MAX_RANGES: usize = 1 << 20;
/// More notes than thousands of CPUs write.
const MAX_NOTES_LEN: u64 = 16 << 20;
/// Bytes of the second bitmap for which one number says how many pages stand before.
pub(super) const STEP_LEN: u64 = 4096;
/// Bytes of a bitmap that are read at a time: whole steps.
const READ_LEN: u64 = 256 * STEP_LEN;

/// What the headers and bitmaps say.
pub(super) struct Header {
    /// Bytes of a page.
    pub(super) block: u64,
    /// RAM: the first bitmap.
    pub(super) map: MemoryMap,
    /// The first page frame beyond all.
    pub(super) max_mapnr: u64,
    /// Where the second bitmap stands.
    pub(super) bitmap: u64,
    /// How many bits of the second bitmap are set before each [`STEP_LEN`] of its bytes.
    pub(super) before: Vec<u64>,
    /// Where the descriptors stand.
    pub(super) table: u64,
    pub(super) facts: Facts,
}

impl Header {
    /// Reads them out of a file that is in order, of which no more than `held` bytes are not gaps: a
    /// small flattened file may be as large as it likes when it is in order.
    pub(super) fn read(file: &dyn ReadAt, held: u64) -> Result<Self, FormatError> {
        let size = file.size().map_err(failed(0))?;
        let mut header = [0; HEADER_LEN];
        read_exact(file, 0, &mut header)?;
        if header[..8] != SIGNATURE {
            return Err(bad(0, "signature", "it is not `KDUMP   `"));
        }
        let version = u32_at(&header, at::VERSION);
        if !(1..=VERSION).contains(&version) {
            let problem = format!("{version}; 1 to {VERSION} of a little-endian machine are read");
            return Err(bad(at::VERSION, "header_version", problem));
        }
        let block = u64::from(u32_at(&header, at::BLOCK_SIZE));
        if !BLOCK_LENS.contains(&block) || !block.is_power_of_two() {
            return Err(bad(at::BLOCK_SIZE, "block_size", format!("{block} is no size of a page")));
        }
        let sub_blocks = u64::from(u32_at(&header, at::SUB_HDR_SIZE));
        let bitmap_blocks = u64::from(u32_at(&header, at::BITMAP_BLOCKS));
        if sub_blocks == 0 {
            return Err(bad(at::SUB_HDR_SIZE, "sub_hdr_size", "there is no sub header"));
        }
        if bitmap_blocks % 2 != 0 {
            let problem = format!("{bitmap_blocks} blocks are not two bitmaps");
            return Err(bad(at::BITMAP_BLOCKS, "bitmap_blocks", problem));
        }
        // Each is a product of a 32-bit number and at most 65,536.
        let bitmaps = (1 + sub_blocks) * block;
        let bitmap_len = bitmap_blocks / 2 * block;
        let table = bitmaps + 2 * bitmap_len;
        if table > size {
            let problem = format!("the bitmaps end at {table:#x}, and the file at {size:#x}");
            return Err(bad(at::BITMAP_BLOCKS, "bitmap_blocks", problem));
        }
        if 2 * bitmap_len > held {
            let problem = format!("the records of the file have but {held:#x} bytes");
            return Err(bad(at::BITMAP_BLOCKS, "bitmap_blocks", problem));
        }

        let mut sub_header = [0; SUB_HEADER_LEN];
        read_exact(file, block, &mut sub_header)?;
        if version >= 2 && u32_at(&sub_header, sub::SPLIT) != 0 {
            let problem = "it is one of several files; put them together with makedumpfile first";
            return Err(bad(block as usize + sub::SPLIT, "split", problem));
        }
        let max_mapnr = match version {
            VERSION.. => u64_at(&sub_header, sub::MAX_MAPNR_64),
            _ => u64::from(u32_at(&header, at::MAX_MAPNR)),
        };
        if max_mapnr.div_ceil(8) > bitmap_len || max_mapnr.checked_mul(block).is_none() {
            let problem = format!("{max_mapnr} pages in a bitmap of {bitmap_len} bytes");
            return Err(bad(at::MAX_MAPNR, "max_mapnr", problem));
        }

        let mut ranges = Ranges::new(block);
        scan(file, bitmaps, max_mapnr, |first, words| ranges.add(first, words))?;
        let map = ranges.map(max_mapnr)?;
        let (mut before, mut count) = (Vec::new(), 0);
        scan(file, bitmaps + bitmap_len, max_mapnr, |_, words| {
            for step in words.chunks(STEP_LEN as usize / 8) {
                before.push(count);
                count += step.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            }
            Ok(())
        })?;

        let facts = facts(file, version, size, &header, &sub_header)?;
        let bitmap = bitmaps + bitmap_len;
        Ok(Self { block, map, max_mapnr, bitmap, before, table, facts })
    }
}

/// Hands the first `bits` bits of a bitmap on, as words with the number of their first bit. Bits
/// after the last are 0.
fn scan(
    file: &dyn ReadAt,
    bitmap: u64,
    bits: u64,
    mut take: impl FnMut(u64, &[u64]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let len = bits.div_ceil(8);
    let mut bytes = Vec::new();
    let mut words = Vec::new();
    let mut done = 0;
    while done < len {
        let now = READ_LEN.min(len - done);
        bytes.clear();
        bytes.resize(now.next_multiple_of(8) as usize, 0);
        read_exact(file, bitmap + done, &mut bytes[..now as usize])?;
        words.clear();
        let (whole, _) = bytes.as_chunks::<8>();
        words.extend(whole.iter().map(|&word| u64::from_le_bytes(word)));
        let first = done * 8;
        let last_bits = bits - first;
        if let Some(last) = words.get_mut((last_bits / 64) as usize) {
            *last &= (1 << (last_bits % 64)) - 1;
        }
        take(first, &words)?;
        done += now;
    }
    Ok(())
}

/// Collects runs of set bits.
struct Ranges {
    block: u64,
    regions: Vec<Region>,
    /// The first page frame of a run that has not ended.
    open: Option<u64>,
}

impl Ranges {
    fn new(block: u64) -> Self {
        Self { block, regions: Vec::new(), open: None }
    }

    fn add(&mut self, first: u64, words: &[u64]) -> Result<(), FormatError> {
        for (index, &word) in words.iter().enumerate() {
            let base = first + index as u64 * 64;
            let mut bit = 0;
            while bit < 64 {
                let rest = word >> bit;
                match self.open {
                    None if rest == 0 => break,
                    None => {
                        bit += rest.trailing_zeros();
                        self.open = Some(base + u64::from(bit));
                    }
                    Some(start) => {
                        bit += (!rest).trailing_zeros();
                        if bit < 64 {
                            self.close(start, base + u64::from(bit))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, start: u64, end: u64) -> Result<(), FormatError> {
        self.open = None;
        if self.regions.len() == MAX_RANGES {
            let problem = format!("more than {MAX_RANGES} ranges of memory");
            return Err(bad(at::BITMAP_BLOCKS, "bitmap", problem));
        }
        // The caller has seen that no page frame's address overflows.
        let extent = Extent::half_open(start * self.block, end * self.block)
            .map_err(|error| bad(at::BITMAP_BLOCKS, "bitmap", error.to_string()))?;
        self.regions.push(Region::new(extent, RegionKind::Ram));
        Ok(())
    }

    fn map(mut self, end: u64) -> Result<MemoryMap, FormatError> {
        if let Some(start) = self.open {
            self.close(start, end)?;
        }
        MemoryMap::new(Space::Physical, self.regions)
            .map_err(|error| bad(at::BITMAP_BLOCKS, "bitmap", error.to_string()))
    }
}

fn facts(
    file: &dyn ReadAt,
    version: u32,
    size: u64,
    header: &[u8],
    sub_header: &[u8],
) -> Result<Facts, FormatError> {
    let name = |at: usize| {
        let field = &header[at..at + UTS_LEN];
        let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let part = |field: usize, since: u32, most: u64, what: &'static str| {
        let (offset, len) = (u64_at(sub_header, field), u64_at(sub_header, field + 8));
        if version < since || offset == 0 || len == 0 {
            return Ok(None);
        }
        let fits = len <= most && offset.checked_add(len).is_some_and(|end| end <= size);
        if !fits {
            let problem = format!("{len} bytes at {offset:#x} of a file of {size:#x}");
            return Err(bad(field, what, problem));
        }
        let mut bytes = vec![0; len as usize];
        read_exact(file, offset, &mut bytes)?;
        Ok(Some(bytes))
    };
    let vmcoreinfo =
        part(sub::OFFSET_VMCOREINFO, 3, VmCoreInfo::MAX_LEN as u64, "offset_vmcoreinfo")?;
    let elf_notes = part(sub::OFFSET_NOTE, 4, MAX_NOTES_LEN, "offset_note")?;
    let in_notes = || {
        let notes = elf_notes.clone()?;
        ElfCore { machine: 0, segments: Vec::new(), notes }.vmcoreinfo()
    };
    Ok(Facts {
        host: name(at::NODENAME),
        release: name(at::RELEASE),
        version: name(at::UTS_VERSION).filter(|version| version != NO_VERSION),
        machine: name(at::MACHINE),
        taken: taken(header),
        vmcoreinfo: vmcoreinfo.and_then(VmCoreInfo::new).or_else(in_notes),
        elf_notes,
        ..Facts::default()
    })
}

/// The timestamp; none where it is 0, or no time.
fn taken(header: &[u8]) -> Option<Duration> {
    let micros = u32::try_from(u64_at(header, at::TIMESTAMP + 8)).ok()?;
    let is_time = |taken: &Duration| !taken.is_zero() && taken.as_secs() <= i64::MAX as u64;
    let taken = Duration::new(
        u64_at(header, at::TIMESTAMP),
        Some(micros).filter(|micros| *micros < 1_000_000)? * 1000,
    );
    Some(taken).filter(is_time)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

fn bad(offset: usize, field: &'static str, problem: impl Into<String>) -> FormatError {
    let (format, offset) = (ZSTD.name, offset as u64);
    FormatError::Field { format, offset, field, problem: problem.into() }
}

fn failed(offset: u64) -> impl FnOnce(io::Error) -> FormatError {
    move |source| FormatError::Read { format: ZSTD.name, offset, source }
}

fn read_exact(file: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
    file.read_exact_at(offset, buf).map_err(failed(offset))
}
