//! Small images of every format, laid out by hand: what fuzzing begins with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use laid_out::{
    Head, LZO, Laid, Load, PAGE, SNAPPY, STORED, ZLIB, ZSTD, avml_record, elf_note as note,
    lay_out, lime_record, text_page,
};

const VMCOREINFO: &[u8] =
    b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=-4096\n";

/// Writes the seeds of a target into a directory.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(target: &str, folder: &Path) -> Result<()> {
    for (name, bytes) in of(target) {
        let path = folder.join(format!("seed-{name}"));
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

fn of(target: &str) -> Seeds {
    match target {
        "images" => {
            let mut seeds = Seeds::new();
            for (name, image) in images() {
                // A byte before the image says how it is opened: 0 is by magic, then the table's rows; the same again to salvage.
                seeds.extend(
                    (0..=18)
                        .map(|way| (format!("{name}-{way}"), [&[way], image.as_slice()].concat())),
                );
            }
            seeds.extend(packed().into_iter().map(|(name, file)| (name, [vec![0], file].concat())));
            seeds
        }
        "codecs" => {
            let seeds = packed().into_iter();
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
    }
}

fn images() -> Seeds {
    let zstd = kdump(&[(text_page(1), ZSTD), (vec![0; PAGE], ZSTD), (text_page(2), STORED)]);
    let lime = |addr, number, len: usize| lime_record(addr, &text_page(number)[..len]);
    vec![
        ("lime".into(), [lime(0x1000, 1, 512), lime(0x8000, 2, 64)].concat()),
        ("avml".into(), [avml_record(0x1000, &text_page(1)), lime(0x2000, 2, 64)].concat()),
        ("vmcore".into(), core(&machine_notes(), &[(0xffff_8880_0000_1000, 0x1000), (0, 0x8000)])),
        ("kcore".into(), core(&machine_notes(), &[(0xffff_8880_0000_1000, u64::MAX)])),
        ("core".into(), core(&process_notes(), &[(0x40_0000, 0), (0x7fff_0000_0000, 0)])),
        ("flattened".into(), flattened(&zstd)),
        ("kdump-zstd".into(), zstd),
        ("kdump-zlib".into(), kdump(&[(text_page(1), ZLIB)])),
        ("kdump-lzo".into(), kdump(&[(text_page(1), LZO)])),
        ("kdump-snappy".into(), kdump(&[(text_page(1), SNAPPY), (vec![0; PAGE], SNAPPY)])),
    ]
}

/// Images that are compressed as a whole.
fn packed() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, image) in images().into_iter().filter(|(name, _)| !name.starts_with("kdump-")) {
        let halves = image.split_at(image.len() / 2);
        seeds.push((format!("{name}.gz"), laid_out::packed("gzip", &image)));
        let frames = [halves.0, halves.1].map(|half| laid_out::packed("lz4", half));
        seeds.push((format!("{name}.lz4"), frames.concat()));
        // Frames that say how long what is in them is.
        let [front, back] = [halves.0, halves.1].map(|half| laid_out::pack(ZSTD, half));
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
    seeds
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
fn core(notes: &[u8], segments: &[(u64, u64)]) -> Vec<u8> {
    let memory = text_page(3);
    let load = |&(vaddr, paddr): &(u64, u64)| Load { vaddr, paddr, size: 64 };
    let loads: Vec<_> = segments.iter().map(load).zip(memory.chunks(64)).collect();
    laid_out::elf(notes, &loads)
}

/// Pages from the first frame on, each packed as its flags say; the frame after them is RAM, and left out.
fn kdump(pages: &[(Vec<u8>, u32)]) -> Vec<u8> {
    let notes = machine_notes();
    let text_at = notes.len() - VMCOREINFO.len().next_multiple_of(4);
    let head = Head {
        version: 6,
        status: pages.first().map_or(0, |page| page.1),
        notes,
        vmcoreinfo: (text_at as u64, VMCOREINFO.len() as u64),
    };
    let pages = pages.iter().map(|(page, flags)| Laid::Page(*flags, page.clone()));
    lay_out(&head, &(0..).zip(pages.chain([Laid::RamOnly])).collect())
}

/// The records of a flattened file: the second half first, then all.
fn flattened(file: &[u8]) -> Vec<u8> {
    let middle = file.len() / 2;
    laid_out::flattened_records([(middle, &file[middle..]), (0, file)])
}
