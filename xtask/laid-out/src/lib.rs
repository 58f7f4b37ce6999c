//! Images that are laid out by hand, for tests and for fuzzing to begin with: none of the code under test has a part in them, so
//! that a mistake that a writer and its reader share is not one here.
//!
//! # Panics
//! Everything here panics where a codec fails, which in memory none does.

use std::collections::BTreeMap;
use std::io::Write;

/// The page size, in bytes.
pub const PAGE: usize = 4096;

/// The header of a record of LiME or AVML. `last` is the last address, inclusive.
pub fn record_header(magic: &[u8], version: u32, first: u64, last: u64) -> Vec<u8> {
    let mut header = magic.to_vec();
    header.extend(version.to_le_bytes());
    header.extend(first.to_le_bytes());
    header.extend(last.to_le_bytes());
    header.extend([0; 8]);
    header
}

/// A record as AVML makes one: a header, a snappy stream, its length.
pub fn avml_record(addr: u64, memory: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(memory).unwrap();
    let stream = encoder.into_inner().unwrap();
    let mut record = record_header(b"AVML", 2, addr, addr + memory.len() as u64 - 1);
    let len = stream.len() as u64;
    record.extend(stream);
    record.extend(len.to_le_bytes());
    record
}

/// A LiME record.
pub fn lime_record(addr: u64, memory: &[u8]) -> Vec<u8> {
    let header = record_header(b"EMiL", 1, addr, addr.wrapping_add(memory.len() as u64 - 1));
    [header, memory.to_vec()].concat()
}

/// An ELF note, padded to words.
pub fn elf_note(name: &str, kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [name.len() as u32 + 1, descriptor.len() as u32, kind] {
        note.extend(word.to_le_bytes());
    }
    note.extend(name.as_bytes());
    note.resize((note.len() + 1).next_multiple_of(4), 0);
    note.extend(descriptor);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// The note by which the core of a process is known: PRPSINFO, process 42.
pub fn process_note() -> Vec<u8> {
    let mut info = vec![0; 136];
    info[24] = 42;
    elf_note("CORE", 3, &info)
}

/// A PT_LOAD of an ELF core.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The virtual address.
    pub vaddr: u64,
    /// The physical address.
    pub paddr: u64,
    /// The size that the header claims, in bytes.
    pub size: u64,
}

/// An ELF core: headers, notes, then the memory of each segment in turn.
pub fn elf(notes: &[u8], loads: &[(Load, &[u8])]) -> Vec<u8> {
    let mut at = (64 + 56 * (loads.len() + 1) + notes.len()) as u64;
    let mut segments = Vec::new();
    for (load, memory) in loads {
        segments.push([at, load.vaddr, load.paddr, load.size]);
        at += memory.len() as u64;
    }
    let mut file = elf_head(notes, &segments);
    loads.iter().for_each(|(_, memory)| file.extend(*memory));
    file
}

/// The headers and notes of an ELF core whose memory is anywhere in the file: offset, virtual address, physical address and size of
/// each segment.
pub fn elf_head(notes: &[u8], segments: &[[u64; 4]]) -> Vec<u8> {
    let count = segments.len() + 1;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([4, 0, 62, 0, 1, 0, 0, 0]); // ET_CORE, EM_X86_64
    for word in [0_u64, 64, 0] {
        file.extend(word.to_le_bytes()); // e_entry, e_phoff, e_shoff
    }
    file.extend([0; 4]);
    for half in [64_u16, 56, count as u16, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut header = |kind: u32, [offset, vaddr, paddr, len]: [u64; 4]| {
        file.extend(kind.to_le_bytes());
        file.extend(7_u32.to_le_bytes());
        for word in [offset, vaddr, paddr, len, len, 0] {
            file.extend(word.to_le_bytes());
        }
    };
    header(4, [64 + 56 * count as u64, 0, 0, notes.len() as u64]);
    segments.iter().for_each(|&segment| header(1, segment));
    file.extend(notes);
    file
}

/// The same file as one stream, as the usual programs make it.
pub fn packed(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "zstd" => zstd::encode_all(bytes, 1).unwrap(),
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "lz4" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

/// A kdump file in records that say where their bytes belong, of `piece` bytes each.
pub fn flattened(file: &[u8], piece: usize) -> Vec<u8> {
    flattened_records(file.chunks(piece).enumerate().map(|(index, bytes)| (index * piece, bytes)))
}

/// The same of records in any order: the offset of each, and its bytes.
pub fn flattened_records<'a>(records: impl IntoIterator<Item = (usize, &'a [u8])>) -> Vec<u8> {
    let mut flattened = b"makedumpfile\0\0\0\0".to_vec();
    flattened.extend([1_u64.to_be_bytes(); 2].concat());
    flattened.resize(4096, 0);
    for (offset, bytes) in records {
        flattened.extend((offset as u64).to_be_bytes());
        flattened.extend((bytes.len() as u64).to_be_bytes());
        flattened.extend(bytes);
    }
    flattened.extend([0xff; 16]);
    flattened
}

/// The files of `makedumpfile --split`: all headers and bitmaps in each, and the pages of the frames up to each of `ends`.
pub fn split(head: &Head, pages: &BTreeMap<u64, Laid>, ends: &[u64]) -> Vec<Vec<u8>> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    let part = |(start, &end): (u64, &u64)| {
        // A page that stands in another part has a bit in the bitmaps, and no descriptor here.
        let here = |frame: u64| (start..end).contains(&frame);
        let mut file = lay_out_part(head, pages, &here);
        file[PAGE + 12..PAGE + 16].copy_from_slice(&1_u32.to_le_bytes());
        let (first, last) = if head.version >= 6 { (80, 88) } else { (16, 24) };
        file[PAGE + first..PAGE + first + 8].copy_from_slice(&start.to_le_bytes());
        file[PAGE + last..PAGE + last + 8].copy_from_slice(&end.to_le_bytes());
        file
    };
    starts.zip(ends).map(part).collect()
}

/// A page that shrinks when it is packed, another one for each number.
pub fn text_page(number: u64) -> Vec<u8> {
    (0..PAGE as u64).map(|i| (i / 9 * (number + 1)) as u8).collect()
}

/// A page that does not shrink, another one for each number.
pub fn noise_page(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(byte).take(PAGE).collect()
}

/// The flags of a page that is not packed.
pub const STORED: u32 = 0;
/// The flag of a page that zlib packed.
pub const ZLIB: u32 = 1;
/// The flag of a page that LZO1X packed.
pub const LZO: u32 = 2;
/// The flag of a page that snappy packed.
pub const SNAPPY: u32 = 4;
/// The flag of a page that Zstandard packed.
pub const ZSTD: u32 = 0x20;

/// A page as kdump packs it, by its flags.
pub fn pack(flags: u32, page: &[u8]) -> Vec<u8> {
    match flags {
        ZLIB => {
            let mut packed = Vec::with_capacity(2 * PAGE);
            flate2::Compress::new(flate2::Compression::fast(), true)
                .compress_vec(page, &mut packed, flate2::FlushCompress::Finish)
                .unwrap();
            packed
        }
        LZO => lzokay_native::compress(page).unwrap(),
        SNAPPY => snap::raw::Encoder::new().compress_vec(page).unwrap(),
        ZSTD => zstd::bulk::compress(page, 1).unwrap(),
        _ => page.to_vec(),
    }
}

/// A page of a kdump file.
#[derive(Clone, Debug)]
pub enum Laid {
    /// Set in the first bitmap only.
    RamOnly,
    /// A descriptor of zeros.
    Lost,
    /// Packed as the flags say.
    Page(u32, Vec<u8>),
}

/// The headers of a kdump file.
#[derive(Clone, Debug)]
pub struct Head {
    /// The version of the header, 1 to 6.
    pub version: u32,
    /// The flags of the dump: how its pages are packed.
    pub status: u32,
    /// The ELF notes, from version 4 on.
    pub notes: Vec<u8>,
    /// The offset of VMCOREINFO's text in the notes, and its length.
    pub vmcoreinfo: (u64, u64),
}

impl Head {
    /// Headers of this version without notes.
    pub fn plain(version: u32) -> Self {
        Self { version, status: 0, notes: Vec::new(), vmcoreinfo: (0, 0) }
    }
}

/// Lays a kdump file out, by page frame numbers: pages of zeros share the first one's place; data in the order of the pages.
pub fn lay_out(head: &Head, pages: &BTreeMap<u64, Laid>) -> Vec<u8> {
    lay_out_part(head, pages, &|_| true)
}

/// The same with the pages of certain frames alone.
fn lay_out_part(
    head: &Head,
    pages: &BTreeMap<u64, Laid>,
    has_page: &dyn Fn(u64) -> bool,
) -> Vec<u8> {
    let end = pages.keys().last().map_or(0, |last| last + 1);
    let bitmap_len = (end as usize).div_ceil(8).next_multiple_of(PAGE);
    let sub_len = (104 + head.notes.len()).next_multiple_of(PAGE);
    let mut file = vec![0; PAGE + sub_len + 2 * bitmap_len];
    let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(&mut file, 0, b"KDUMP   ");
    put(&mut file, 8, &head.version.to_le_bytes());
    put(&mut file, 12, b"Linux");
    put(&mut file, 12 + 65, b"lab");
    put(&mut file, 12 + 2 * 65, b"6.1.0");
    put(&mut file, 12 + 3 * 65, b"unknown");
    put(&mut file, 12 + 4 * 65, b"x86_64");
    put(&mut file, 424, &head.status.to_le_bytes());
    put(&mut file, 428, &(PAGE as u32).to_le_bytes());
    put(&mut file, 432, &((sub_len / PAGE) as u32).to_le_bytes());
    put(&mut file, 436, &((2 * bitmap_len / PAGE) as u32).to_le_bytes());
    put(&mut file, 440, &(end as u32).to_le_bytes());
    put(&mut file, 460, &1_u32.to_le_bytes());
    if head.vmcoreinfo.1 != 0 {
        put(&mut file, PAGE, &(-4096_i64).to_le_bytes()); // phys_base
        put(&mut file, PAGE + 32, &(PAGE as u64 + 104 + head.vmcoreinfo.0).to_le_bytes());
        put(&mut file, PAGE + 40, &head.vmcoreinfo.1.to_le_bytes());
    }
    if head.version >= 4 && !head.notes.is_empty() {
        put(&mut file, PAGE + 48, &(PAGE as u64 + 104).to_le_bytes());
        put(&mut file, PAGE + 56, &(head.notes.len() as u64).to_le_bytes());
        put(&mut file, PAGE + 104, &head.notes);
    }
    if head.version >= 6 {
        put(&mut file, PAGE + 96, &end.to_le_bytes());
    }
    let bitmap = PAGE + sub_len;
    for (&frame, page) in pages {
        let (byte, bit) = (frame as usize / 8, 1 << (frame % 8));
        file[bitmap + byte] |= bit;
        if !matches!(page, Laid::RamOnly) {
            file[bitmap + bitmap_len + byte] |= bit;
        }
    }
    let described = pages
        .iter()
        .filter(|(frame, page)| !matches!(page, Laid::RamOnly) && has_page(**frame))
        .map(|(_, page)| page);
    let table_len = described.clone().count() * 24;
    let mut table = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut zero = None;
    let data_at = file.len() + table_len;
    for page in described {
        let Laid::Page(flags, bytes) = page else {
            table.extend([0; 24]);
            continue;
        };
        let shared = zero.filter(|_| bytes.iter().all(|&byte| byte == 0));
        let (offset, len) = shared.unwrap_or_else(|| {
            let packed = pack(*flags, bytes);
            let place = (data_at + data.len(), packed.len());
            data.extend(packed);
            place
        });
        if bytes.iter().all(|&byte| byte == 0) {
            zero = Some((offset, len));
        }
        table.extend((offset as u64).to_le_bytes());
        table.extend((len as u32).to_le_bytes());
        table.extend(flags.to_le_bytes());
        table.extend([0; 8]);
    }
    [file, table, data].concat()
}

/// A page of each sort, in one codec.
pub fn sample(flags: u32) -> BTreeMap<u64, Laid> {
    BTreeMap::from([
        (1, Laid::Page(flags, text_page(1))),
        (2, Laid::Page(STORED, noise_page(2))),
        (3, Laid::Page(flags, vec![0; PAGE])),
        (4, Laid::Lost),
        (5, Laid::Page(flags, vec![0; PAGE])),
        (6, Laid::Page(flags, text_page(6))),
        (9, Laid::Page(flags, text_page(9))),
        (10, Laid::Page(flags, vec![0; PAGE])),
    ])
}
