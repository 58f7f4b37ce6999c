//! The sample images, the expected memory of each, and helpers that read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use memdump_image::format::{self, FORMATS, Format, Image, OpenError, OpenMode};
use memdump_image::{AddressSpace, Cause, Extent, Presence, ReadError};

use laid_out::{
    Head, Laid, Load, PAGE, ZLIB, avml_record, elf, elf_note, lay_out, lime_record, noise_page,
    process_note, text_page,
};

/// A piece of memory that can be read if the file has all bytes up to `end`. If `is_plain`, memory is stored verbatim.
pub(crate) struct Piece {
    pub(crate) addr: u64,
    pub(crate) memory: Vec<u8>,
    pub(crate) end: usize,
    pub(crate) is_plain: bool,
}

/// An image laid out by hand.
pub(crate) struct Sample {
    pub(crate) format: &'static str,
    pub(crate) file: Vec<u8>,
    /// The number of bytes to cut one by one: all that precede memory, and some more.
    pub(crate) headers: usize,
    pub(crate) pieces: Vec<Piece>,
    /// The map of a raw image.
    pub(crate) map: Option<String>,
}

/// Pages of which some compress and some do not.
pub(crate) fn memory(pages: usize) -> Vec<u8> {
    let page = |number| {
        if u64::is_multiple_of(number, 3) { noise_page(number) } else { text_page(number) }
    };
    (0..pages as u64).flat_map(page).collect()
}

pub(crate) fn lime() -> Sample {
    let (first, second) = (memory(100), memory(60));
    let file = [lime_record(0x1000, &first), lime_record(0x10_0000, &second)].concat();
    let (end, all) = (32 + first.len(), file.len());
    let pieces = vec![
        Piece { addr: 0x1000, memory: first, end, is_plain: true },
        Piece { addr: 0x10_0000, memory: second, end: all, is_plain: true },
    ];
    Sample { format: "lime", file, headers: 80, pieces, map: None }
}

/// The pieces of a stream in snappy's framing format, one for each chunk.
pub(crate) fn avml_pieces(addr: u64, memory: &[u8], stream: &[u8], offset: usize) -> Vec<Piece> {
    let mut at = 10;
    let mut pieces = Vec::new();
    for (index, chunk) in memory.chunks(64 << 10).enumerate() {
        let len = u32::from_le_bytes([stream[at + 1], stream[at + 2], stream[at + 3], 0]);
        at += 4 + len as usize;
        let addr = addr + (index as u64) * (64 << 10);
        pieces.push(Piece { addr, memory: chunk.to_vec(), end: offset + at, is_plain: false });
    }
    pieces
}

pub(crate) fn avml() -> Sample {
    let (first, second) = (memory(100), memory(60));
    let records = [avml_record(0x1000, &first), avml_record(0x10_0000, &second)];
    let mut pieces = avml_pieces(0x1000, &first, &records[0][32..], 32);
    let offset = records[0].len() + 32;
    pieces.extend(avml_pieces(0x10_0000, &second, &records[1][32..], offset));
    Sample { format: "avml", file: records.concat(), headers: 120, pieces, map: None }
}

pub(crate) fn machine(is_process: bool) -> Sample {
    let (first, second) = (memory(100), memory(60));
    let notes = match is_process {
        true => process_note(),
        false => elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"),
    };
    let load = |addr, memory: &[u8]| Load {
        vaddr: if is_process { addr } else { 0xffff_8880_0000_0000 + addr },
        paddr: addr,
        size: memory.len() as u64,
    };
    let loads = [(load(0x1000, &first), &first[..]), (load(0x10_0000, &second), &second[..])];
    let file = elf(&notes, &loads);
    let headers = 64 + 3 * 56 + notes.len();
    let pieces = vec![
        Piece { addr: 0x1000, end: headers + first.len(), memory: first, is_plain: true },
        Piece { addr: 0x10_0000, end: file.len(), memory: second, is_plain: true },
    ];
    let format = if is_process { "core" } else { "elf" };
    Sample { format, file, headers, pieces, map: None }
}

pub(crate) fn kdump_pages(flags: u32) -> BTreeMap<u64, Laid> {
    // Zeros in the middle, which share the place of the first zero page, and at the end.
    let page = |frame: u64| match frame {
        20 | 33 | 140.. => Laid::Page(flags, vec![0; PAGE]),
        _ if frame.is_multiple_of(3) => Laid::Page(0, noise_page(frame)),
        _ => Laid::Page(flags, text_page(frame)),
    };
    (1..150).map(|frame| (frame, page(frame))).collect()
}

pub(crate) fn kdump(format: &'static str, flags: u32) -> Sample {
    let pages = kdump_pages(flags);
    let file = lay_out(&Head::plain(6), &pages);
    // A header, a sub header and two bitmaps of a page each, then descriptors.
    let table = 4 * PAGE;
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let pieces = pages.iter().enumerate().map(|(index, (frame, page))| {
        let at = table + 24 * index;
        let size = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap());
        let Laid::Page(_, memory) = page else { unreachable!() };
        let end = word(at) as usize + size as usize;
        Piece { addr: frame << 12, memory: memory.clone(), end, is_plain: false }
    });
    let pieces = pieces.collect();
    Sample { format, headers: table + 24 * pages.len(), pieces, file, map: None }
}

pub(crate) fn padded() -> Sample {
    let memory = memory(100);
    let end = memory.len();
    let pieces = vec![Piece { addr: 0, memory: memory.clone(), end, is_plain: true }];
    Sample { format: "padded", file: memory, headers: 0, pieces, map: None }
}

pub(crate) fn raw() -> Sample {
    let memory = memory(100);
    let (first, second) = memory.split_at(0x5000);
    let pieces = vec![
        Piece { addr: 0x1000, memory: first.to_vec(), end: 0x5000, is_plain: true },
        Piece { addr: 0x9000, memory: second.to_vec(), end: memory.len(), is_plain: true },
    ];
    let map = format!("0x1000 0x6000\n0x9000 {:#x}\n", 0x9000 + second.len());
    Sample { format: "raw", file: memory, headers: 0, pieces, map: Some(map) }
}

pub(crate) fn samples() -> Vec<Sample> {
    let samples = vec![
        raw(),
        padded(),
        lime(),
        avml(),
        machine(false),
        machine(true),
        kdump("kdump", 0x20),
        kdump("kdump-zlib", ZLIB),
        kdump("kdump-snappy", 4),
    ];
    for format in FORMATS {
        let is_there = samples.iter().any(|sample| sample.format == format.name);
        assert!(is_there, "there is no image of {} laid out here", format.name);
    }
    samples
}

impl Sample {
    pub(crate) fn open(&self, file: Vec<u8>, mode: OpenMode) -> Result<Image, OpenError> {
        let file = Arc::new(file);
        let format = Format::by_name(self.format).unwrap();
        match (&self.map, format.open) {
            (Some(map), _) => Ok(format::with_map(file, map, mode)?),
            (None, Some(open)) if self.format == "padded" => Ok(open(file, mode)?),
            _ => Ok(format::open(file, mode)?.image),
        }
    }

    /// The lengths to cut the file to: every byte of the headers, then every 4,096th byte, and the last bytes.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = usize> + use<> {
        let len = self.file.len();
        // The kdump formats share one reader, so only one of them is cut at every byte.
        let step = if self.format.starts_with("kdump-") { 61 } else { 1 };
        (0..self.headers).step_by(step).chain((self.headers..len).step_by(4096)).chain(len - 3..len)
    }
}

/// Reads from `addr` on until a read fails.
pub(crate) fn read_on(
    space: &dyn AddressSpace,
    addr: u64,
    len: usize,
) -> (Vec<u8>, Option<ReadError>) {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match space.read_at(addr + done as u64, &mut bytes[done..]) {
            Ok(read) => done += read,
            Err(error) => {
                bytes.truncate(done);
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

/// The number of bytes that the image reports as cut off.
pub(crate) fn said_missing(space: &dyn AddressSpace) -> u64 {
    let mut missing = 0;
    for region in space.map().regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let runs = space.survey(here).unwrap();
            let gone =
                runs.iter().filter(|run| run.presence == Presence::Nothing(Cause::Truncated));
            missing += gone.map(|run| run.extent.len()).sum::<u64>();
            rest = Extent::half_open(runs.last().unwrap().extent.end(), here.end()).ok();
        }
    }
    missing
}

pub(crate) fn salvage(file: Vec<u8>) -> Image {
    format::open(Arc::new(file), OpenMode::Salvage).unwrap().image
}

pub(crate) fn refusal(file: &[u8]) -> String {
    match format::open(Arc::new(file.to_vec()), OpenMode::Strict) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    }
}

pub(crate) fn holds(image: &Image, addr: u64, memory: &[u8]) {
    let (found, error) = read_on(&*image.space, addr, memory.len());
    assert!(found == memory, "{} of {} bytes at {addr:#x}: {error:?}", found.len(), memory.len());
}
