//! Small images of every format, laid out here by hand: what fuzzing begins with. None of the writers of the
//! crate under test is used, so that a mistake that writer and reader share is not one here.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

const PAGE: usize = 4096;
const VMCOREINFO: &[u8] =
    b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=-4096\n";

/// Writes the seeds of a target into a folder.
///
/// # Errors
/// When a file cannot be written or a codec fails.
pub(super) fn write(target: &str, folder: &Path) -> Result<()> {
    for (name, bytes) in of(target)? {
        let path = folder.join(format!("seed-{name}"));
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

fn of(target: &str) -> Result<Seeds> {
    Ok(match target {
        "images" => {
            let mut seeds = Seeds::new();
            for (name, image) in images()? {
                // A byte before the image says how it is opened: 0 is by magic, then the table's rows; the same again to salvage.
                seeds.extend(
                    (0..=18)
                        .map(|way| (format!("{name}-{way}"), [&[way], image.as_slice()].concat())),
                );
            }
            seeds
                .extend(packed()?.into_iter().map(|(name, file)| (name, [vec![0], file].concat())));
            seeds
        }
        "codecs" => {
            let seeds = packed()?.into_iter();
            seeds
                .map(|(name, file)| (name, [vec![100, 9, 0, 0, 0, 0, 0, 0], file].concat()))
                .collect()
        }
        "notes" => vec![
            ("machine".into(), machine_notes()),
            ("process".into(), process_notes()),
            ("vmcoreinfo".into(), VMCOREINFO.to_vec()),
        ],
        _ => vec![
            ("two".into(), b"0x1000 0x1010\n0x8000 0x8004\n".to_vec()),
            ("kernel".into(), b"0xffff888000000000 0xffff888000001000\n\n  0x10 0x20\r\n".to_vec()),
            ("touch".into(), b"0x0 0x1\n0x1 0x2\n0xfffffffffffffffe 0xffffffffffffffff".to_vec()),
        ],
    })
}

fn images() -> Result<Seeds> {
    let zstd = kdump(&[(page(1), 0x20), (vec![0; PAGE], 0x20), (page(2), 0)])?;
    Ok(vec![
        ("lime".into(), [lime(0x1000, &page(1)[..512]), lime(0x8000, &page(2)[..64])].concat()),
        ("avml".into(), [avml(0x1000, &page(1))?, lime(0x2000, &page(2)[..64])].concat()),
        ("vmcore".into(), elf(&machine_notes(), &[(0xffff_8880_0000_1000, 0x1000), (0, 0x8000)])),
        ("kcore".into(), elf(&machine_notes(), &[(0xffff_8880_0000_1000, u64::MAX)])),
        ("core".into(), elf(&process_notes(), &[(0x40_0000, 0), (0x7fff_0000_0000, 0)])),
        ("flattened".into(), flattened(&zstd)),
        ("kdump-zstd".into(), zstd),
        ("kdump-zlib".into(), kdump(&[(page(1), 1)])?),
        ("kdump-lzo".into(), kdump(&[(page(1), 2)])?),
        ("kdump-snappy".into(), kdump(&[(page(1), 4), (vec![0; PAGE], 4)])?),
    ])
}

/// Images that are compressed as a whole.
fn packed() -> Result<Seeds> {
    let mut seeds = Seeds::new();
    for (name, image) in images()?.into_iter().filter(|(name, _)| !name.starts_with("kdump-")) {
        let halves = image.split_at(image.len() / 2);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&image)?;
        seeds.push((format!("{name}.gz"), gzip.finish()?));
        let mut frames = Vec::new();
        for half in [halves.0, halves.1] {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(&mut frames);
            lz4.write_all(half)?;
            lz4.finish()?;
        }
        seeds.push((format!("{name}.lz4"), frames));
        let [front, back] = [halves.0, halves.1].map(|half| zstd::bulk::compress(half, 1));
        let (front, back) = (front?, back?);
        let mut file = [front.as_slice(), &back].concat();
        seeds.push((format!("{name}.zst"), file.clone()));
        // The table of frames of zstd's seekable format.
        file.extend(0x184d_2a5e_u32.to_le_bytes());
        file.extend(25_u32.to_le_bytes());
        for (packed, half) in [(front, halves.0), (back, halves.1)] {
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend((half.len() as u32).to_le_bytes());
        }
        file.extend(2_u32.to_le_bytes());
        file.push(0);
        file.extend(0x8f92_eab1_u32.to_le_bytes());
        seeds.push((format!("{name}-table.zst"), file));
    }
    Ok(seeds)
}

/// Bytes that shrink, others for each number.
fn page(number: usize) -> Vec<u8> {
    (0..PAGE).map(|at| (at / 9 * (number + 1)) as u8).collect()
}

fn record(magic: &[u8], version: u32, start: u64, len: usize) -> Vec<u8> {
    let mut header = [magic, &version.to_le_bytes()].concat();
    header.extend(start.to_le_bytes());
    header.extend((start + len as u64 - 1).to_le_bytes());
    header.extend([0; 8]);
    header
}

fn lime(start: u64, memory: &[u8]) -> Vec<u8> {
    [record(b"EMiL", 1, start, memory.len()), memory.to_vec()].concat()
}

fn avml(start: u64, memory: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(memory)?;
    let mut stream = encoder.into_inner().context("snappy")?;
    let len = stream.len() as u64;
    stream.extend(len.to_le_bytes());
    Ok([record(b"AVML", 2, start, memory.len()), stream].concat())
}

fn note(name: &str, kind: u32, descriptor: &[u8]) -> Vec<u8> {
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

fn machine_notes() -> Vec<u8> {
    [note("CORE", 1, &[7; 336]), note("VMCOREINFO", 0, VMCOREINFO)].concat()
}

/// PRSTATUS, PRPSINFO, AUXV and FILE.
fn process_notes() -> Vec<u8> {
    let mut info = vec![0; 136];
    info[1] = b'S';
    info[24] = 42;
    info[40..45].copy_from_slice(b"sleep");
    let mut files = Vec::new();
    for word in [1_u64, 4096, 0x40_0000, 0x40_1000, 0] {
        files.extend(word.to_le_bytes());
    }
    files.extend(b"/bin/sleep\0");
    let notes = [note("CORE", 1, &[0; 336]), note("CORE", 3, &info), note("CORE", 6, &[0; 32])];
    [notes.concat(), note("CORE", 0x4649_4c45, &files)].concat()
}

/// A core with 64 bytes for each segment, which are given by virtual and physical address.
fn elf(notes: &[u8], segments: &[(u64, u64)]) -> Vec<u8> {
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
    let mut header = |kind: u32, offset: usize, (vaddr, paddr): (u64, u64), len: usize| {
        file.extend(kind.to_le_bytes());
        file.extend(7_u32.to_le_bytes());
        for word in [offset as u64, vaddr, paddr, len as u64, len as u64, 0] {
            file.extend(word.to_le_bytes());
        }
    };
    let notes_at = 64 + 56 * count;
    header(4, notes_at, (0, 0), notes.len());
    for (index, addresses) in segments.iter().enumerate() {
        header(1, notes_at + notes.len() + 64 * index, *addresses, 64);
    }
    file.extend(notes);
    file.extend(&page(3)[..64 * segments.len()]);
    file
}

/// Pages from the first frame on, each packed as its flags say; the frame after them is RAM, and left out.
fn kdump(pages: &[(Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let frames = pages.len() as u32 + 1;
    // The header, the sub header with the notes, and two bitmaps of a block each.
    let mut file = vec![0; 4 * PAGE];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDUMP   ");
    put(8, &6_u32.to_le_bytes());
    for (at, name) in [(12, "Linux"), (77, "lab"), (142, "6.1.0"), (272, "x86_64")] {
        put(at, name.as_bytes());
    }
    put(424, &pages.first().map_or(0, |page| page.1).to_le_bytes());
    for (at, word) in [(428, PAGE as u32), (432, 1), (436, 2), (440, frames), (460, 1)] {
        put(at, &word.to_le_bytes()); // block_size, sub_hdr_size, bitmap_blocks, max_mapnr, nr_cpus
    }
    let notes = machine_notes();
    let text_at = PAGE + 104 + notes.len() - VMCOREINFO.len().next_multiple_of(4);
    for (at, word) in [
        (32, text_at), // offset_vmcoreinfo, size_vmcoreinfo, offset_note, size_note, max_mapnr_64
        (40, VMCOREINFO.len()),
        (48, PAGE + 104),
        (56, notes.len()),
        (96, frames as usize),
    ] {
        put(PAGE + at, &(word as u64).to_le_bytes());
    }
    put(PAGE + 104, &notes);
    for frame in 0..frames as usize {
        put(2 * PAGE, &[(2 << frame) as u8 - 1]);
        if frame < pages.len() {
            put(3 * PAGE, &[(2 << frame) as u8 - 1]);
        }
    }
    let mut data = Vec::new();
    let data_at = file.len() + 24 * pages.len();
    for (page, flags) in pages {
        let packed = pack(page, *flags)?;
        file.extend(((data_at + data.len()) as u64).to_le_bytes());
        file.extend((packed.len() as u32).to_le_bytes());
        file.extend(flags.to_le_bytes());
        file.extend([0; 8]);
        data.extend(packed);
    }
    file.extend(data);
    Ok(file)
}

fn pack(page: &[u8], flags: u32) -> Result<Vec<u8>> {
    Ok(match flags {
        1 => {
            let fast = flate2::Compression::fast();
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), fast);
            zlib.write_all(page)?;
            zlib.finish()?
        }
        2 => lzo(page),
        4 => snap::raw::Encoder::new().compress_vec(page)?,
        0x20 => zstd::bulk::compress(page, 1)?,
        _ => page.to_vec(),
    })
}

/// A stream of LZO1X that is literals and the end.
fn lzo(page: &[u8]) -> Vec<u8> {
    // As many literals as 3 + 15 + 255 for each zero + the byte after them.
    let rest = page.len() - 18;
    let mut stream = vec![0; 1 + rest / 255];
    stream.push((rest % 255) as u8);
    stream.extend(page);
    stream.extend([0x11, 0, 0]);
    stream
}

/// The records of a flattened file: the second half first, then all, then the end.
fn flattened(file: &[u8]) -> Vec<u8> {
    let mut flattened = b"makedumpfile\0\0\0\0".to_vec();
    flattened.extend([1_u64.to_be_bytes(); 2].concat());
    flattened.resize(4096, 0);
    let middle = file.len() / 2;
    for (offset, bytes) in [(middle, &file[middle..]), (0, file)] {
        flattened.extend((offset as u64).to_be_bytes());
        flattened.extend((bytes.len() as u64).to_be_bytes());
        flattened.extend(bytes);
    }
    flattened.extend([0xff; 16]);
    flattened
}
