//! The headers of a file, and its bitmaps, checked: where its descriptors are and of which pages.
//!
//! Nothing here trusts the file: what is allocated is bounded by the bytes that the file really has.

use std::ops::Range;
use std::time::Duration;

use super::fields::{
    BLOCK_LENS, HEADER_LEN, NAME, NO_VERSION, SIGNATURE, SUB_HEADER_LEN, UTS_LEN, VERSION, at, sub,
};
use crate::elf::ElfFile;
use crate::problem::{Field, FormatError, Problems, known_size, read_up_to};
use crate::{Extent, Facts, MemoryMap, ReadAt, Region, RegionKind, Space, VmCoreInfo};

/// More ranges of RAM than any machine has; a file with more is not read.
const MAX_RANGES: usize = 1 << 20;
/// More notes than thousands of CPUs write.
const MAX_NOTES_LEN: u64 = 16 << 20;
/// More pages than any machine has addresses for: 256 TiB of the smallest. The bitmaps of a file can be much longer than
/// the file where that is compressed.
const MAX_PAGES: u64 = 1 << 36;
/// Bytes of the second bitmap for which one number says how many pages stand before.
pub(super) const STEP_LEN: u64 = 4096;
/// Bytes of a bitmap that are read at a time: whole steps.
const READ_LEN: u64 = 256 * STEP_LEN;

/// The headers and bitmaps of a file.
pub(super) struct Header {
    /// Bytes of a page.
    pub(super) block: u64,
    /// RAM: the first bitmap.
    pub(super) map: MemoryMap,
    /// The first page frame beyond all.
    pub(super) max_mapnr: u64,
    /// Of one of several files: the page frames whose pages it has. Of any other, all.
    pub(super) pages: Range<u64>,
    /// True if it is one of several files.
    pub(super) is_split: bool,
    /// The offset of the second bitmap, in bytes.
    pub(super) bitmap: u64,
    /// The numbers of bits of the second bitmap that are set, of those in [`pages`](Self::pages), before each [`STEP_LEN`] of its
    /// bytes.
    pub(super) before: Vec<u64>,
    /// The number that are set in all, which is that of descriptors.
    pub(super) count: u64,
    /// The offset of the descriptors, in bytes.
    pub(super) table: u64,
    pub(super) facts: Facts,
}

/// A field of the header.
pub(super) fn field(offset: usize, field: &'static str) -> Field {
    Field { format: NAME, field, offset: offset as u64 }
}

impl Header {
    /// Reads them out of a file that is in order, of which no more than `held` bytes are not gaps: a
    /// small flattened file may be as large as it likes when it is in order.
    pub(super) fn read(
        file: &dyn ReadAt,
        held: u64,
        problems: &mut Problems,
    ) -> Result<Self, FormatError> {
        let size = known_size(file, NAME)?;
        let mut header = [0; HEADER_LEN];
        field(0, "header").read(file, &mut header)?;
        if header[..8] != SIGNATURE {
            return Err(field(0, "signature").bad("it is not `KDUMP   `"));
        }
        let version = u32_at(&header, at::VERSION);
        if !(1..=VERSION).contains(&version) {
            let problem = format!("{version}; 1 to {VERSION} of a little-endian machine are read");
            return Err(field(at::VERSION, "header_version").bad(problem));
        }
        let block = u64::from(u32_at(&header, at::BLOCK_SIZE));
        if !BLOCK_LENS.contains(&block) || !block.is_power_of_two() {
            let problem = format!("{block} is no size of a page");
            return Err(field(at::BLOCK_SIZE, "block_size").bad(problem));
        }
        let sub_blocks = u64::from(u32_at(&header, at::SUB_HDR_SIZE));
        let bitmap_blocks = u64::from(u32_at(&header, at::BITMAP_BLOCKS));
        if sub_blocks == 0 {
            return Err(field(at::SUB_HDR_SIZE, "sub_hdr_size").bad("there is no sub header"));
        }
        let of_bitmaps = field(at::BITMAP_BLOCKS, "bitmap_blocks");
        if bitmap_blocks % 2 != 0 {
            return Err(of_bitmaps.bad(format!("{bitmap_blocks} blocks are not two bitmaps")));
        }
        // Each is a product of a 32-bit number and at most 65,536.
        let bitmaps = (1 + sub_blocks) * block;
        let bitmap_len = bitmap_blocks / 2 * block;
        let table = bitmaps + 2 * bitmap_len;
        if let Some(size) = size.filter(|&size| table > size) {
            let problem = format!("the bitmaps end at {table:#x}, and the file at {size:#x}");
            problems.found(of_bitmaps.bad(problem))?;
        }
        if 2 * bitmap_len > held {
            let problem = format!("the records of the file have but {held:#x} bytes");
            problems.found(of_bitmaps.bad(problem))?;
        }

        let mut sub_header = [0; SUB_HEADER_LEN];
        field(block as usize, "sub header").read(file, &mut sub_header)?;
        let mut max_mapnr = match version {
            VERSION.. => u64_at(&sub_header, sub::MAX_MAPNR_64),
            _ => u64::from(u32_at(&header, at::MAX_MAPNR)),
        };
        let most = (bitmap_len * 8).min(MAX_PAGES);
        if max_mapnr > most {
            let problem = format!("{max_mapnr} pages, where no more than {most} can be");
            problems.found(field(at::MAX_MAPNR, "max_mapnr").bad(problem))?;
            max_mapnr = most;
        }
        let is_split = version >= 2 && u32_at(&sub_header, sub::SPLIT) != 0;
        let pages = match is_split {
            true => part_of(version, block, &sub_header, max_mapnr, problems)?,
            false => 0..max_mapnr,
        };

        // Gaps of a flattened file cost time all the same.
        let bits = max_mapnr.min(held.saturating_mul(8));
        let mut ranges = Ranges::new(block);
        scan(file, bitmaps, bits, problems, |first, words| ranges.add(first, words))?;
        let map = ranges.map(max_mapnr)?;
        let bitmap = bitmaps + bitmap_len;
        let (before, count) = count_descriptors(file, (bitmap, bits), &pages, problems)?;
        let facts = facts(file, version, size, (&header, &sub_header), problems)?;
        Ok(Self { block, map, max_mapnr, pages, is_split, bitmap, before, count, table, facts })
    }
}

/// The number of bits of the second bitmap that are set among `pages`: before each [`STEP_LEN`] of its bytes, and in all. The
/// bitmap is the place in the file of its first byte, and its length in bits.
fn count_descriptors(
    file: &dyn ReadAt,
    (bitmap, bits): (u64, u64),
    pages: &Range<u64>,
    problems: &mut Problems,
) -> Result<(Vec<u64>, u64), FormatError> {
    let (mut before, mut count) = (Vec::new(), 0);
    scan(file, bitmap, bits, problems, |first, words| {
        for (first, step) in
            (first..).step_by(STEP_LEN as usize * 8).zip(words.chunks(STEP_LEN as usize / 8))
        {
            before.push(count);
            let bits = (first..).step_by(64).zip(step);
            count += bits
                .map(|(bit, &word)| within(word, bit, pages))
                .map(|word| u64::from(word.count_ones()))
                .sum::<u64>();
        }
        Ok(())
    })?;
    Ok((before, count))
}

/// The page frames of one of several files.
fn part_of(
    version: u32,
    block: u64,
    sub_header: &[u8],
    max_mapnr: u64,
    problems: &mut Problems,
) -> Result<Range<u64>, FormatError> {
    let (first, end) = match version {
        VERSION.. => (sub::START_PFN_64, sub::END_PFN_64),
        _ => (sub::START_PFN, sub::END_PFN),
    };
    let pages = u64_at(sub_header, first)..u64_at(sub_header, end);
    if pages.start <= pages.end && pages.end <= max_mapnr {
        return Ok(pages);
    }
    let Range { start, end } = pages;
    let problem = format!("it has the page frames {start} to {end} of {max_mapnr}");
    problems.found(field(block as usize + first, "start_pfn").bad(problem))?;
    let end = end.min(max_mapnr);
    Ok(start.min(end)..end)
}

/// The bits of a word, the first of which is number `first`, that are in `pages`.
pub(super) fn within(word: u64, first: u64, pages: &Range<u64>) -> u64 {
    let below = |bit: u64| match bit.saturating_sub(first) {
        0 => 0,
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    };
    word & below(pages.end) & !below(pages.start)
}

/// Hands the first `bits` bits of a bitmap on, as words with the number of their first bit. Bits
/// after the last are 0.
fn scan(
    file: &dyn ReadAt,
    bitmap: u64,
    bits: u64,
    problems: &mut Problems,
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
        let place = Field { format: NAME, field: "bitmap", offset: bitmap + done };
        let piece = &mut bytes[..now as usize];
        let found = read_up_to(file, place.offset, piece).map_err(|source| place.failed(source));
        let found = problems.or_none(found)?.unwrap_or(0);
        if found < now as usize {
            problems.found(place.cut(found, now as usize))?;
        }
        words.clear();
        let (whole, _) = bytes.as_chunks::<8>();
        words.extend(whole.iter().map(|&word| u64::from_le_bytes(word)));
        let first = done * 8;
        let last_bits = bits - first;
        if let Some(last) = words.get_mut((last_bits / 64) as usize) {
            *last &= (1 << (last_bits % 64)) - 1;
        }
        take(first, &words)?;
        if found < now as usize {
            break;
        }
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
            return Err(field(at::BITMAP_BLOCKS, "bitmap").bad(problem));
        }
        // The caller has seen that no page frame's address overflows.
        let extent = Extent::half_open(start * self.block, end * self.block)
            .map_err(|error| field(at::BITMAP_BLOCKS, "bitmap").bad(error.to_string()))?;
        self.regions.push(Region::new(extent, RegionKind::Ram));
        Ok(())
    }

    fn map(mut self, end: u64) -> Result<MemoryMap, FormatError> {
        if let Some(start) = self.open {
            self.close(start, end)?;
        }
        MemoryMap::new(Space::Physical, self.regions)
            .map_err(|error| field(at::BITMAP_BLOCKS, "bitmap").bad(error.to_string()))
    }
}

fn facts(
    file: &dyn ReadAt,
    version: u32,
    size: Option<u64>,
    (header, sub_header): (&[u8], &[u8]),
    problems: &mut Problems,
) -> Result<Facts, FormatError> {
    let name = |at: usize| {
        let field = &header[at..at + UTS_LEN];
        let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let part = |place: usize, since: u32, most: u64, what: &'static str| {
        let (offset, len) = (u64_at(sub_header, place), u64_at(sub_header, place + 8));
        if version < since || offset == 0 || len == 0 {
            return Ok(None);
        }
        let end = offset.checked_add(len).filter(|_| len <= most);
        if end.is_none_or(|end| size.is_some_and(|size| end > size)) {
            let of = size.map_or(String::new(), |size| format!(" of a file of {size:#x}"));
            let problem = format!("{len} bytes at {offset:#x}{of}");
            return Err(field(place, what).bad(problem));
        }
        let mut bytes = vec![0; len as usize];
        Field { format: NAME, field: what, offset }.read(file, &mut bytes)?;
        Ok(Some(bytes))
    };
    let mut part = |place, since, most, what| {
        problems.or_none(part(place, since, most, what)).map(Option::flatten)
    };
    let vmcoreinfo =
        part(sub::OFFSET_VMCOREINFO, 3, VmCoreInfo::MAX_LEN as u64, "offset_vmcoreinfo")?;
    let elf_notes = part(sub::OFFSET_NOTE, 4, MAX_NOTES_LEN, "offset_note")?;
    let in_notes = || {
        let notes = elf_notes.clone()?;
        ElfFile { notes, ..ElfFile::default() }.vmcoreinfo()
    };
    let mut facts = Facts {
        host: name(at::NODENAME),
        release: name(at::RELEASE),
        version: name(at::UTS_VERSION).filter(|version| version != NO_VERSION),
        taken: taken(header),
        vmcoreinfo: vmcoreinfo.and_then(VmCoreInfo::new).or_else(in_notes),
        elf_notes,
        ..Facts::default()
    };
    if let Some(machine) = name(at::MACHINE) {
        facts.set_machine(&machine);
    }
    Ok(facts)
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
