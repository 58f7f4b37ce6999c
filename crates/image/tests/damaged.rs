//! Images that are cut short or damaged, of every format of the table and in every codec. They are laid out by hand; what of
//! them is whole follows from how they are laid out.

mod laid_out;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use laid_out::{
    Head, Laid, Load, PAGE, ZLIB, avml_record, elf, flattened, lay_out, lime_record, noise_page,
    packed, process_note, record_header, split, text_page,
};
use memdump_image::codec::CODECS;
use memdump_image::format::{self, FORMATS, Format, FormatError, Image, OpenError, Rigor};
use memdump_image::{AddressSpace, Cause, Extent, Presence, ReadAt, ReadError};
use proptest::prelude::*;

/// Memory that is there when the file has all bytes up to `end`; where `is_plain`, a byte for each byte.
struct Piece {
    addr: u64,
    memory: Vec<u8>,
    end: usize,
    is_plain: bool,
}

/// An image laid out by hand.
struct Sample {
    format: &'static str,
    file: Vec<u8>,
    /// What stands before memory, and more: all of it is cut at every byte.
    headers: usize,
    pieces: Vec<Piece>,
    /// For a raw image.
    map: Option<String>,
}

/// Pages that shrink and that do not.
fn memory(pages: usize) -> Vec<u8> {
    let page = |number| {
        if u64::is_multiple_of(number, 3) { noise_page(number) } else { text_page(number) }
    };
    (0..pages as u64).flat_map(page).collect()
}

fn lime() -> Sample {
    let (first, second) = (memory(100), memory(60));
    let file = [lime_record(0x1000, &first), lime_record(0x10_0000, &second)].concat();
    let (end, all) = (32 + first.len(), file.len());
    let pieces = vec![
        Piece { addr: 0x1000, memory: first, end, is_plain: true },
        Piece { addr: 0x10_0000, memory: second, end: all, is_plain: true },
    ];
    Sample { format: "lime", file, headers: 80, pieces, map: None }
}

/// The chunks of snappy's framing format, by hand: a piece each.
fn avml_pieces(addr: u64, memory: &[u8], stream: &[u8], offset: usize) -> Vec<Piece> {
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

fn avml() -> Sample {
    let (first, second) = (memory(100), memory(60));
    let records = [avml_record(0x1000, &first), avml_record(0x10_0000, &second)];
    let mut pieces = avml_pieces(0x1000, &first, &records[0][32..], 32);
    let offset = records[0].len() + 32;
    pieces.extend(avml_pieces(0x10_0000, &second, &records[1][32..], offset));
    Sample { format: "avml", file: records.concat(), headers: 120, pieces, map: None }
}

fn machine(is_process: bool) -> Sample {
    let (first, second) = (memory(100), memory(60));
    let notes = match is_process {
        true => process_note(),
        false => laid_out::elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"),
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

fn kdump_pages(flags: u32) -> BTreeMap<u64, Laid> {
    // Zeros in the middle, which share the first one's place, and at the end.
    let page = |frame: u64| match frame {
        20 | 33 | 140.. => Laid::Page(flags, vec![0; PAGE]),
        _ if frame.is_multiple_of(3) => Laid::Page(0, noise_page(frame)),
        _ => Laid::Page(flags, text_page(frame)),
    };
    (1..150).map(|frame| (frame, page(frame))).collect()
}

fn kdump(format: &'static str, flags: u32) -> Sample {
    let pages = kdump_pages(flags);
    let file = lay_out(&Head::plain(6), &pages);
    // A header, a sub header, two bitmaps of a page each; then descriptors.
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

fn padded() -> Sample {
    let memory = memory(100);
    let end = memory.len();
    let pieces = vec![Piece { addr: 0, memory: memory.clone(), end, is_plain: true }];
    Sample { format: "padded", file: memory, headers: 0, pieces, map: None }
}

fn raw() -> Sample {
    let memory = memory(100);
    let (first, second) = memory.split_at(0x5000);
    let pieces = vec![
        Piece { addr: 0x1000, memory: first.to_vec(), end: 0x5000, is_plain: true },
        Piece { addr: 0x9000, memory: second.to_vec(), end: memory.len(), is_plain: true },
    ];
    let map = format!("0x1000 0x6000\n0x9000 {:#x}\n", 0x9000 + second.len());
    Sample { format: "raw", file: memory, headers: 0, pieces, map: Some(map) }
}

fn samples() -> Vec<Sample> {
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
    fn open(&self, file: Vec<u8>, rigor: Rigor) -> Result<Image, OpenError> {
        let file = Arc::new(file);
        let format = Format::by_name(self.format).unwrap();
        match (&self.map, format.open) {
            (Some(map), _) => Ok(format::with_map(file, map, rigor)?),
            (None, Some(open)) if self.format == "padded" => Ok(open(file, rigor)?),
            _ => Ok(format::open(file, rigor)?.image),
        }
    }

    /// Every byte of the headers, then every 4,096th and the last ones.
    fn cuts(&self) -> impl Iterator<Item = usize> + use<> {
        let len = self.file.len();
        // The rows of kdump have one reader: of one of them every byte is enough.
        let step = if self.format.starts_with("kdump-") { 61 } else { 1 };
        (0..self.headers).step_by(step).chain((self.headers..len).step_by(4096)).chain(len - 3..len)
    }
}

/// Reads from `addr` on until something is in the way.
fn read_on(space: &dyn AddressSpace, addr: u64, len: usize) -> (Vec<u8>, Option<ReadError>) {
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

/// Bytes of the image that it says are cut off.
fn said_missing(space: &dyn AddressSpace) -> u64 {
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

#[test]
fn what_is_cut_short_is_an_error_that_names_format_place_and_field() {
    for sample in samples().iter().filter(|sample| sample.format != "padded") {
        for len in sample.cuts() {
            let what = format!("{} cut at {len}", sample.format);
            match sample.open(sample.file[..len].to_vec(), Rigor::Strict).err() {
                Some(OpenError::Unknown { .. }) => assert_eq!(len, 0, "{what}"),
                Some(OpenError::Format(error)) => {
                    let text = error.to_string();
                    // One reader reads the three sorts of kdump, one both sorts of cores' headers, one all records.
                    let format =
                        text.split_whitespace().nth(if text.starts_with("not") { 3 } else { 1 });
                    let format = Format::by_name(format.unwrap()).unwrap();
                    let known = Format::by_name(sample.format).unwrap();
                    let family = |one: &str| match one {
                        "lime" | "avml" => "records".to_owned(),
                        "elf" | "core" => "elf".to_owned(),
                        other => other.split('-').next().unwrap().to_owned(),
                    };
                    assert_eq!(family(format.name), family(known.name), "{what}: {text}");
                    assert!(
                        text.contains("offset 0x") || text.contains("ends at 0x"),
                        "{what}: {text}"
                    );
                    assert!(!text.contains("failed to fill"), "{what}: {text}");
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        assert!(sample.open(sample.file.clone(), Rigor::Strict).unwrap().problems.is_empty());
    }
}

#[test]
fn what_is_whole_is_salvaged_and_the_rest_is_truncated_to_the_byte() {
    for sample in samples() {
        for len in sample.cuts() {
            let what = format!("{} cut at {len}", sample.format);
            let image = match sample.open(sample.file[..len].to_vec(), Rigor::Salvage) {
                Ok(image) => image,
                Err(error) => {
                    assert!(len < sample.headers, "{what}: {error}");
                    continue;
                }
            };
            assert!(sample.format == "padded" || !image.problems.is_empty(), "{what}");
            let mut missing = 0;
            // Within the headers there is little to read, and there are many cuts.
            let step = if len < sample.headers { sample.pieces.len().div_ceil(2) } else { 1 };
            for piece in sample.pieces.iter().step_by(step) {
                let start = piece.end.saturating_sub(piece.memory.len());
                let present = match piece.is_plain {
                    true => len.saturating_sub(start).min(piece.memory.len()),
                    false if piece.end <= len => piece.memory.len(),
                    false => 0,
                };
                let (found, error) = read_on(&*image.space, piece.addr, piece.memory.len());
                assert!(piece.memory.starts_with(&found), "{what}: wrong bytes");
                if len >= sample.headers && image.space.map().find(piece.addr).is_some() {
                    assert_eq!(found.len(), present, "{what} at {:#x}", piece.addr);
                    missing += piece.memory.len() - present;
                    let is_told = matches!(
                        error,
                        None | Some(ReadError::Fault { cause: Cause::Truncated, .. })
                    );
                    assert!(is_told || sample.format == "padded", "{what}: {error:?}");
                }
            }
            if sample.format != "padded" && len >= sample.headers {
                assert_eq!(said_missing(&*image.space), missing as u64, "{what}");
                let told = image.problems.listed().iter().find_map(|problem| match problem {
                    FormatError::Truncated { missing, .. } => Some(*missing as usize),
                    _ => None,
                });
                // Records that are not there at all are not known of.
                assert!(told.is_none_or(|told| told == missing), "{what}: {told:?}, {missing}");
            }
        }
    }
}

#[test]
fn streams_that_are_cut_short_give_what_stands_before() {
    let samples = [lime(), avml(), machine(false), machine(true), kdump("kdump", 0x20)];
    for (codec, sample) in CODECS.iter().flat_map(|codec| samples.iter().map(move |s| (codec, s))) {
        let stream = packed(codec.name, &sample.file);
        for len in (0..64).chain((64..stream.len() - 64).step_by(16_384)) {
            let what = format!("{} in {} cut at {len}", sample.format, codec.name);
            let cut = stream[..len].to_vec();
            match sample.open(cut.clone(), Rigor::Strict) {
                Err(OpenError::Unknown { .. }) => assert!(len < 4, "{what}"),
                Err(OpenError::Read(error)) => {
                    assert!(error.to_string().contains(codec.name), "{what}: {error}");
                }
                Err(OpenError::Format(_)) => {}
                Ok(image) => {
                    let found = sample.pieces.iter().filter_map(|piece| {
                        read_on(&*image.space, piece.addr, piece.memory.len()).1
                    });
                    let errors: Vec<_> = found.collect();
                    assert!(!errors.is_empty(), "{what}");
                    for error in errors {
                        assert!(matches!(error, ReadError::Fault { .. }), "{what}: {error:?}");
                    }
                }
            }
            let Ok(image) = sample.open(cut.clone(), Rigor::Salvage) else { continue };
            // What the codec's own program can make of it.
            let whole = unpacked_by_its_own(codec.name, &cut);
            for piece in &sample.pieces {
                let (found, _) = read_on(&*image.space, piece.addr, piece.memory.len());
                assert!(piece.memory.starts_with(&found), "{what}: wrong bytes");
                let start = piece.end.saturating_sub(piece.memory.len());
                if piece.is_plain && image.space.map().find(piece.addr).is_some() {
                    let present = whole.saturating_sub(start).min(piece.memory.len());
                    assert!(found.len() >= present, "{what}: {} of {present}", found.len());
                }
            }
        }
    }
}

/// How many bytes the decoder of a codec gives of a file that is cut short.
fn unpacked_by_its_own(codec: &str, cut: &[u8]) -> usize {
    use std::io::Read;
    let mut decoder: Box<dyn Read + '_> = match codec {
        "zstd" => Box::new(zstd::Decoder::new(cut).unwrap()),
        "gzip" => Box::new(flate2::read::GzDecoder::new(cut)),
        _ => Box::new(lz4_flex::frame::FrameDecoder::new(cut)),
    };
    let (mut total, mut piece) = (0, [0; 4096]);
    while let Ok(read @ 1..) = decoder.read(&mut piece) {
        total += read;
    }
    total
}

fn salvage(file: Vec<u8>) -> Image {
    format::open(Arc::new(file), Rigor::Salvage).unwrap().image
}

fn refusal(file: &[u8]) -> String {
    match format::open(Arc::new(file.to_vec()), Rigor::Strict) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    }
}

fn holds(image: &Image, addr: u64, memory: &[u8]) {
    let (found, error) = read_on(&*image.space, addr, memory.len());
    assert!(found == memory, "{} of {} bytes at {addr:#x}: {error:?}", found.len(), memory.len());
}

#[test]
fn a_damaged_header_costs_one_record() {
    let (first, second, third) = (memory(20), memory(17), memory(9));
    for is_lime in [true, false] {
        let record = if is_lime { lime_record } else { avml_record };
        let parts = [record(0x1000, &first), record(0x10_0000, &second), record(0x20_0000, &third)];
        let middle = parts[0].len();
        let end = (middle + parts[1].len()) as u64;
        for (at, value, field) in
            [(0, 0x55, "magic"), (4, 9, "version"), (15, 0xff, "e_addr"), (20, 0, "e_addr")]
        {
            let mut file = parts.concat();
            file[middle + at] = value;
            if at == 20 {
                // Its end lies before its start.
                file[middle + 16..middle + 24].fill(0);
            }
            assert!(refusal(&file).contains(field), "{}", refusal(&file));
            let image = salvage(file);
            holds(&image, 0x1000, &first);
            holds(&image, 0x20_0000, &third);
            assert!(image.space.map().find(0x10_0000).is_none());
            let told: Vec<String> =
                image.problems.listed().iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|line| line.contains(&format!("{end:#x}"))), "{told:?}");
        }
    }
}

#[test]
fn an_end_far_away_does_not_swallow_the_records_behind() {
    let (first, second) = (memory(20), memory(17));
    for last in [0xffff_ffff_ffff_0fff_u64, 0x1f_ffff_ffff_ffff, 0x7f_fffe] {
        let mut file = [lime_record(0x1000, &first), lime_record(0x80_0000, &second)].concat();
        file[16..24].copy_from_slice(&last.to_le_bytes());
        let image = salvage(file);
        holds(&image, 0x1000, &first);
        holds(&image, 0x80_0000, &second);
        assert_eq!(image.space.map().total(), (first.len() + second.len()) as u64, "{last:#x}");
    }
}

#[test]
fn damage_in_a_stream_costs_what_follows_in_its_record() {
    let (first, second) = (memory(64), memory(17));
    let records = [avml_record(0x1000, &first), avml_record(0x10_0000, &second)];
    let pieces = avml_pieces(0x1000, &first, &records[0][32..], 32);
    let mut file = records.concat();
    // The type of the third chunk.
    file[pieces[1].end] = 0x33;
    assert!(refusal(&file).contains("chunk"));
    let image = salvage(file);
    holds(&image, 0x1000, &first[..128 << 10]);
    holds(&image, 0x10_0000, &second);
    let found = image.space.read_at(0x1000 + (128 << 10), &mut [0; 10]);
    assert!(matches!(found, Err(ReadError::Fault { cause: Cause::Damaged, .. })), "{found:?}");
}

#[test]
fn a_descriptor_that_points_beyond_the_file_is_one_damaged_page() {
    let pages = kdump_pages(0x20);
    let whole = lay_out(&Head::plain(6), &pages);
    for (within, value) in [(4, 0x7f_u8), (0, 1), (9, 0x80), (12, 0x77)] {
        let mut file = whole.clone();
        file[4 * PAGE + 24 * 7 + within] = value;
        for rigor in [Rigor::Strict, Rigor::Salvage] {
            let image = format::open(Arc::new(file.clone()), rigor).unwrap().image;
            let mut page = vec![0; PAGE];
            let found = image.space.read_at(8 << 12, &mut page);
            assert!(
                matches!(found, Err(ReadError::Fault { cause: Cause::Damaged, .. })),
                "{found:?}"
            );
            for frame in [7, 9, 149] {
                let Laid::Page(_, wanted) = &pages[&frame] else { unreachable!() };
                holds(&image, frame << 12, wanted);
            }
        }
    }
}

#[test]
fn bitmaps_and_notes_that_lie_cost_themselves() {
    let pages = kdump_pages(0x20);
    let whole = lay_out(&Head::plain(6), &pages);
    for (at, value, field) in [
        (PAGE + 96, 1 << 40, "max_mapnr"),
        (PAGE + 32, 1 << 50, "offset_vmcoreinfo"),
        (PAGE + 48, 1 << 50, "offset_note"),
    ] {
        let mut file = whole.clone();
        file[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        file[PAGE + 40] = 9;
        file[PAGE + 56] = 9;
        assert!(refusal(&file).contains(field), "{}", refusal(&file));
        let image = salvage(file);
        let Laid::Page(_, wanted) = &pages[&149] else { unreachable!() };
        holds(&image, 149 << 12, wanted);
    }
}

#[test]
fn a_flattened_file_is_salvaged_up_to_its_cut() {
    let pages = kdump_pages(0x20);
    let file = flattened(&lay_out(&Head::plain(6), &pages), 5000);
    for len in (0..file.len()).step_by(4096).chain([file.len() - 1, file.len() - 16]) {
        let cut = &file[..len];
        let text = if len == 0 { continue } else { refusal(cut) };
        assert!(text.contains("kdump") && text.contains("0x"), "{text}");
        let Ok(opened) = format::open(Arc::new(cut.to_vec()), Rigor::Salvage) else {
            assert!(len < 4096 + 2 * PAGE + 100, "{len}");
            continue;
        };
        for (frame, page) in &pages {
            let Laid::Page(_, wanted) = page else { unreachable!() };
            let mut found = vec![0; PAGE];
            if let Ok(read) = opened.image.space.read_at(frame << 12, &mut found) {
                assert!(found[..read] == wanted[..read]);
            }
        }
        if len >= file.len() - 16 {
            holds(&opened.image, 1 << 12, &text_page(1));
        }
    }
}

#[test]
fn split_files_are_one_image() {
    let pages = kdump_pages(0x20);
    for version in [2, 5, 6] {
        let parts = split(&Head::plain(version), &pages, &[1, 40, 41, 150]);
        let open = |order: &[usize], rigor| {
            let files =
                order.iter().map(|&index| Arc::new(parts[index].clone()) as Arc<dyn ReadAt>);
            format::open_parts(files.collect(), rigor)
        };
        let image = open(&[2, 0, 3, 1], Rigor::Strict).unwrap();
        for (frame, page) in &pages {
            let Laid::Page(_, wanted) = page else { unreachable!() };
            holds(&image, frame << 12, wanted);
        }
        // Over the border of two files.
        let both = [noise_page(39), text_page(40), text_page(41)].concat();
        holds(&image, 39 << 12, &both);

        for (order, field) in
            [(&[0, 1, 2][..], "41 to 149"), (&[3], "0 to 40"), (&[0, 1, 1, 2, 3], "two files")]
        {
            let error = open(order, Rigor::Strict).err().unwrap().to_string();
            assert!(error.contains(field) && error.contains("start_pfn"), "{error}");
        }
        let image = open(&[3], Rigor::Salvage).unwrap();
        assert!(!image.problems.is_empty());
        let Laid::Page(_, wanted) = &pages[&100] else { unreachable!() };
        holds(&image, 100 << 12, wanted);
        let found = image.space.read_at(1 << 12, &mut [0; PAGE]);
        assert!(matches!(found, Err(ReadError::Fault { .. })), "{found:?}");
        let alone = refusal(&parts[1]);
        assert!(alone.contains("several files"), "{alone}");
        let other = lay_out(&Head::plain(6), &pages);
        let files: Vec<Arc<dyn ReadAt>> = vec![Arc::new(parts[0].clone()), Arc::new(other)];
        let error = format::open_parts(files, Rigor::Strict).err().unwrap().to_string();
        assert!(error.contains("not parts of one image"), "{error}");
    }
}

/// A file that counts what is read of it.
struct Counted(Vec<u8>, AtomicU64);

impl ReadAt for Counted {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read_at(offset, buf)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[test]
fn what_unpacks_to_terabytes_is_not_unpacked_to_be_opened() {
    // Of segments of a TiB each the stream has 256 MiB.
    let loads: Vec<_> =
        (0..40).map(|i| Load { vaddr: i << 40, paddr: i << 40, size: 1 << 40 }).collect();
    let loads: Vec<(Load, &[u8])> = loads.into_iter().map(|load| (load, &[][..])).collect();
    let notes = laid_out::elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0\n");
    let mut bomb = elf(&notes, &loads);
    while bomb.len() < 256 << 20 {
        bomb.extend([noise_page(bomb.len() as u64)[..64].to_vec(), vec![0; PAGE - 64]].concat());
    }
    for codec in CODECS {
        let file = Arc::new(Counted(packed(codec.name, &bomb), AtomicU64::new(0)));
        for rigor in [Rigor::Strict, Rigor::Salvage] {
            let opened = format::open(Arc::clone(&file) as Arc<dyn ReadAt>, rigor).unwrap();
            assert_eq!(opened.image.space.map().total(), 40 << 40);
            assert_eq!(said_missing(&*opened.image.space), 0);
        }
        let (read, size) = (file.1.load(Ordering::Relaxed), file.0.len() as u64);
        assert!(read < size / 8, "{}: {read} of {size} bytes were read", codec.name);
    }
}

#[derive(Clone, Copy, Debug)]
enum Range {
    Sound { page: u64, pages: u64 },
    Inverted { page: u64 },
    Wrapping,
}

fn ranges() -> impl Strategy<Value = Vec<Range>> {
    let range = prop_oneof![
        6 => (1u64..40, 1u64..4).prop_map(|(page, pages)| Range::Sound { page, pages }),
        1 => (2u64..40).prop_map(|page| Range::Inverted { page }),
        1 => Just(Range::Wrapping),
    ];
    prop::collection::vec(range, 1..9)
}

/// The memory of the range with that number: no two are alike.
fn memory_of(index: usize, pages: u64) -> Vec<u8> {
    (0..pages).flat_map(|page| noise_page(1000 * index as u64 + page)).collect()
}

/// Which range has each page: the first that names it.
fn owners(ranges: &[Range]) -> BTreeMap<u64, (usize, u64)> {
    let mut owners = BTreeMap::new();
    for (index, range) in ranges.iter().enumerate() {
        if let Range::Sound { page, pages } = *range {
            for within in 0..pages {
                owners.entry(page + within).or_insert((index, within));
            }
        }
    }
    owners
}

/// Whether each range is sound and comes after the one before.
fn are_sound(ranges: &[Range], in_order: bool) -> bool {
    let mut end = 0;
    let mut seen = std::collections::BTreeSet::new();
    ranges.iter().all(|range| match *range {
        Range::Sound { page, pages } => {
            let ascends = page >= end;
            end = end.max(page + pages);
            let is_new = (page..page + pages).all(|page| seen.insert(page));
            if in_order { ascends } else { is_new }
        }
        _ => false,
    })
}

fn check_hostile(format: &str, file: &[u8], ranges: &[Range], in_order: bool, fields: &[&str]) {
    let open = Format::by_name(format).unwrap().open.unwrap();
    match open(Arc::new(file.to_vec()), Rigor::Strict) {
        Ok(_) => assert!(are_sound(ranges, in_order), "{format} {ranges:?}"),
        Err(error) => {
            assert!(!are_sound(ranges, in_order), "{format} {ranges:?}: {error}");
            let text = error.to_string();
            assert!(fields.iter().any(|field| text.contains(field)), "{format}: {text}");
        }
    }
    let image = open(Arc::new(file.to_vec()), Rigor::Salvage).unwrap();
    assert_eq!(image.problems.is_empty(), are_sound(ranges, in_order), "{format} {ranges:?}");
    let owners = owners(ranges);
    assert_eq!(image.space.map().total(), owners.len() as u64 * PAGE as u64, "{format} {ranges:?}");
    for (page, (index, within)) in owners {
        let memory = noise_page(1000 * index as u64 + within);
        let (found, error) = read_on(&*image.space, page << 12, PAGE);
        assert!(found == memory, "{format} page {page} of {ranges:?}: {error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn of_hostile_ranges_the_sound_ones_are_salvaged(ranges in ranges()) {
        for magic in [b"EMiL", b"AVML"] {
            let records = ranges.iter().enumerate().map(|(index, range)| {
                let addresses = match *range {
                    Range::Sound { page, pages } => (page << 12, ((page + pages) << 12) - 1),
                    Range::Inverted { page } => (page << 12, (page << 12) - 4096),
                    Range::Wrapping => (u64::MAX - 4095, u64::MAX),
                };
                let pages = if let Range::Sound { pages, .. } = range { *pages } else { 1 };
                let memory = memory_of(index, pages);
                let version = if magic == b"AVML" { 2 } else { 1 };
                let body = match version {
                    2 => avml_record(0, &memory)[32..].to_vec(),
                    _ => memory,
                };
                [record_header(magic, version, addresses.0, addresses.1), body].concat()
            });
            let file: Vec<u8> = records.flatten().collect();
            check_hostile("lime", &file, &ranges, true, &["s_addr", "e_addr"]);
        }
    }

    #[test]
    fn of_hostile_segments_the_sound_ones_are_salvaged(ranges in ranges()) {
        let memories: Vec<Vec<u8>> = ranges.iter().enumerate().map(|(index, range)| {
            memory_of(index, if let Range::Sound { pages, .. } = range { *pages } else { 1 })
        }).collect();
        let loads: Vec<(Load, &[u8])> = ranges.iter().zip(&memories).map(|(range, memory)| {
            let size = memory.len() as u64;
            let (start, size) = match *range {
                Range::Sound { page, .. } => (page << 12, size),
                // A segment has a length in place of an end: past the last address, or past any file.
                Range::Inverted { .. } => (0x1000, u64::MAX - 4096),
                Range::Wrapping => (u64::MAX - 4095, size),
            };
            (Load { vaddr: start, paddr: 0, size }, memory.as_slice())
        }).collect();
        let file = elf(&process_note(), &loads);
        check_hostile("core", &file, &ranges, false, &["p_vaddr", "p_filesz", "p_offset"]);
    }

    #[test]
    fn bytes_changed_anywhere_are_survived_when_salvaging(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<bool>()), 1..5),
    ) {
        static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);
        for sample in SAMPLES.iter() {
            let mut file = sample.file.clone();
            for (place, value, in_headers) in &changes {
                let end = if *in_headers { sample.headers.max(9) } else { file.len() };
                let at = place.index(end - 8);
                file[at..at + 8].copy_from_slice(&value.rotate_left(*value as u32).to_le_bytes());
            }
            let Ok(image) = sample.open(file, Rigor::Salvage) else { continue };
            let regions = image.space.map().regions();
            prop_assert!(regions.array_windows().all(|[a, b]| a.extent.end() <= b.extent.start()));
            for region in regions.iter().take(8) {
                let runs = image.space.survey(region.extent).unwrap();
                prop_assert_eq!(runs[0].extent.start(), region.extent.start());
                prop_assert!(runs.array_windows().all(|[a, b]| a.extent.end() == b.extent.start()));
                for addr in [region.extent.start(), region.extent.last()] {
                    if let Ok(read) = image.space.read_at(addr, &mut [0; 9000]) {
                        prop_assert!(read as u64 <= region.extent.end() - addr);
                    }
                }
            }
        }
    }

    #[test]
    fn noise_after_magics_is_survived_when_salvaging(
        noise in prop::collection::vec(any::<u8>(), 0..3000),
        at in 0usize..3000,
    ) {
        let with = |magic: &[u8]| {
            let mut file = noise.clone();
            let at = at.min(file.len());
            file.splice(at..at, magic.iter().copied());
            file
        };
        for format in FORMATS.iter().filter(|format| format.open.is_some()) {
            for magic in format.magics {
                for file in [[magic, noise.as_slice()].concat(), [magic, with(magic).as_slice()].concat()] {
                    let Ok(image) = format.open.unwrap()(Arc::new(file), Rigor::Salvage) else { continue };
                    for region in image.space.map().regions().iter().take(16) {
                        let _ = image.space.survey(region.extent);
                        let _ = image.space.read_at(region.extent.start(), &mut [0; 64]);
                    }
                }
            }
        }
    }
}
