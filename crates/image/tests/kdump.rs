//! kdump, compared with files that are laid out here by hand. Nothing here is shared with the code of the format.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use memdump_image::elf::note;
use memdump_image::format::{Format, Image, OpenMode};
use memdump_image::{
    AddressSpace, Arch, Cause, Chunk, Content, Extent, Facts, MemoryMap, Output, Plan, Presence,
    ReadError, Region, RegionKind, Space, VmCoreInfo,
};

use laid_out::{
    Head, LZO, Laid, PAGE, SNAPPY, STORED, ZLIB, ZSTD, lay_out, noise_page, sample, text_page,
};

const TEXT: &[u8] = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nNUMBER(phys_base)=-4096\n";

fn extent(start: u64, end: u64) -> Extent {
    Extent::half_open(start, end).unwrap()
}

fn format(name: &str) -> &'static Format {
    Format::by_name(name).unwrap()
}

fn open(file: Vec<u8>) -> Image {
    let format = Format::detect(&file).unwrap();
    assert_eq!(format.name, "kdump");
    format.open.unwrap()(Arc::new(file), OpenMode::Strict).unwrap()
}

fn read_page(space: &dyn AddressSpace, frame: u64) -> Result<Vec<u8>, ReadError> {
    let mut page = vec![0xee; PAGE];
    let read = space.read_at(frame * PAGE as u64, &mut page)?;
    assert_eq!(read, PAGE);
    Ok(page)
}

/// Asserts that every page has the content that was laid out.
fn assert_holds(space: &dyn AddressSpace, pages: &BTreeMap<u64, Laid>) {
    let frames = pages.keys().map(|&frame| extent(frame << 12, (frame + 1) << 12));
    assert_eq!(space.map().extents(), frames.collect());
    for (&frame, page) in pages {
        match page {
            Laid::Page(_, bytes) => assert!(read_page(space, frame).unwrap() == *bytes, "{frame}"),
            Laid::Lost | Laid::RamOnly => {
                let found = read_page(space, frame);
                let is_told =
                    matches!(found, Err(ReadError::Fault { cause: Cause::NotInImage, .. }));
                assert!(is_told, "{frame}: {found:?}");
            }
        }
    }
}

fn plan(frames: &[(u64, u64)]) -> Plan {
    let regions =
        frames.iter().map(|&(a, b)| Region::new(extent(a << 12, b << 12), RegionKind::Ram));
    let facts = Facts {
        host: Some("lab".into()),
        release: Some("6.1.0".into()),
        arch: Some(Arch::X86_64),
        vmcoreinfo: VmCoreInfo::new(TEXT.to_vec()),
        ..Facts::default()
    };
    Plan::whole(MemoryMap::new(Space::Physical, regions.collect()).unwrap(), PAGE as u64, facts)
}

/// An output that only goes forward.
#[derive(Default)]
struct Pipe(Vec<u8>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Pipe {}

/// Writes pages. Each run of pages with content is one chunk.
fn write(name: &str, output: &mut dyn Output, plan: &Plan, pages: &BTreeMap<u64, Laid>) {
    let mut writer = (format(name).writer)(output);
    writer.begin(plan).unwrap();
    for extent in plan.extents() {
        let mut run = (extent.start(), Vec::new());
        for frame in extent.start() >> 12..extent.end() >> 12 {
            match &pages[&frame] {
                Laid::Page(_, bytes) => run.1.extend(bytes),
                Laid::Lost | Laid::RamOnly => {
                    if !run.1.is_empty() {
                        let content = Content::Bytes(&run.1);
                        writer.chunk(&Chunk { addr: run.0, content }).unwrap();
                    }
                    let content = Content::Hole { len: PAGE as u64, cause: Cause::Unmapped };
                    writer.chunk(&Chunk { addr: frame << 12, content }).unwrap();
                    run = ((frame + 1) << 12, Vec::new());
                }
            }
        }
        if !run.1.is_empty() {
            writer.chunk(&Chunk { addr: run.0, content: Content::Bytes(&run.1) }).unwrap();
        }
    }
    writer.finish("").unwrap();
}

const ROWS: [(&str, u32); 3] = [("kdump", ZSTD), ("kdump-zlib", ZLIB), ("kdump-snappy", SNAPPY)];

#[test]
fn the_file_is_laid_out_as_makedumpfile_lays_it_out() {
    for (name, flags) in ROWS {
        let pages = sample(flags);
        let mut file = Vec::new();
        write(name, &mut file, &plan(&[(1, 7), (9, 11)]), &pages);
        let notes = note("VMCOREINFO", 0, TEXT);
        let vmcoreinfo = (24, TEXT.len() as u64);
        // A page is lost, so the image is marked incomplete.
        let status = flags | 8;
        let expected = lay_out(&Head { version: 6, status, notes, vmcoreinfo }, &pages);
        assert_eq!(file.len(), expected.len(), "{name}");
        let differs = file.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}");
    }
}

#[test]
fn every_codec_and_version_is_read() {
    for version in 1..=6 {
        for flags in [STORED, ZLIB, LZO, SNAPPY, ZSTD] {
            let mut pages = sample(flags);
            pages.insert(7, Laid::RamOnly);
            pages.insert(40_000, Laid::Page(flags, text_page(4)));
            let image = open(lay_out(&Head::plain(version), &pages));
            assert_holds(&*image.space, &pages);
            assert_eq!(image.facts.host.as_deref(), Some("lab"));
            assert_eq!(image.facts.release.as_deref(), Some("6.1.0"));
            assert_eq!(image.facts.machine(), Some("x86_64"));
        }
    }
}

#[test]
fn facts_come_back_with_the_source_s_notes() {
    let mut plan = plan(&[(1, 2)]);
    let own = [note("CORE", 1, &[7; 336]), note("CORE", 1, &[8; 336]), note("VMCOREINFO", 0, TEXT)];
    plan.facts.elf_notes = Some(own.concat());
    let mut file = Vec::new();
    plan.facts.version = Some("#1 SMP Debian 6.1.0-1 (2026-01-02)".into());
    plan.facts.taken = Some(Duration::new(1_700_000_000, 123_456_000));
    write("kdump", &mut file, &plan, &BTreeMap::from([(1, Laid::Lost)]));
    assert_eq!(file[460..464], 2_u32.to_le_bytes());
    assert!(file[207..].starts_with(b"#1 SMP Debian 6.1.0-1 (2026-01-02)\0"));
    assert_eq!(file[408..416], 1_700_000_000_u64.to_le_bytes());
    assert_eq!(file[416..424], 123_456_u64.to_le_bytes());
    assert_eq!(open(file).facts, plan.facts);
}

#[test]
fn a_read_goes_over_pages_and_stops_before_what_is_lost() {
    let pages = sample(ZSTD);
    let space = open(lay_out(&Head::plain(6), &pages)).space;
    let mut bytes = vec![0; 8 * PAGE];
    let read = space.read_at(0x1800, &mut bytes).unwrap();
    assert_eq!(read, 5 * PAGE / 2);
    let expected = [&text_page(1)[0x800..], &noise_page(2), &[0; PAGE]].concat();
    assert!(bytes[..read] == expected);
    // A read that begins in zeros and crosses the end of the region.
    let read = space.read_at(0x5001, &mut bytes).unwrap();
    assert!(bytes[..read] == [&[0; PAGE - 1][..], &text_page(6)].concat());
    assert!(matches!(space.read_at(0x7000, &mut bytes), Err(ReadError::Fault { .. })));
}

#[test]
fn a_survey_tells_lost_pages() {
    let mut pages = sample(ZSTD);
    pages.insert(7, Laid::RamOnly);
    let space = open(lay_out(&Head::plain(6), &pages)).space;
    let runs = space.survey(extent(0x1800, 0x7800)).unwrap();
    let found: Vec<(Extent, Presence)> =
        runs.iter().map(|run| (run.extent, run.presence)).collect();
    let expected = [
        (extent(0x1800, 0x4000), Presence::Memory),
        (extent(0x4000, 0x5000), Presence::Nothing(Cause::NotInImage)),
        (extent(0x5000, 0x7000), Presence::Memory),
        (extent(0x7000, 0x7800), Presence::Nothing(Cause::NotInImage)),
    ];
    assert_eq!(found, expected);
}

/// Puts the records of a flattened file in order.
fn put_in_order(flattened: &[u8]) -> Vec<u8> {
    assert_eq!(flattened[..16], *b"makedumpfile\0\0\0\0");
    assert_eq!(flattened[16..32], [[0, 0, 0, 0, 0, 0, 0, 1]; 2].concat());
    assert!(flattened[32..4096].iter().all(|&byte| byte == 0));
    let mut file = Vec::new();
    let mut rest = &flattened[4096..];
    loop {
        let word = |at: usize| i64::from_be_bytes(rest[at..at + 8].try_into().unwrap());
        let (offset, len) = (word(0), word(8));
        if (offset, len) == (-1, -1) {
            assert_eq!(rest.len(), 16);
            return file;
        }
        let (offset, end) = (offset as usize, (offset + len) as usize);
        if file.len() < end {
            // A byte that no record writes would show.
            file.resize(end, 0xcc);
        }
        file[offset..end].copy_from_slice(&rest[16..16 + len as usize]);
        rest = &rest[16 + len as usize..];
    }
}

#[test]
fn a_pipe_gets_the_same_file_flattened() {
    for (name, flags) in ROWS {
        let pages = sample(flags);
        let plan = plan(&[(1, 7), (9, 11)]);
        let (mut file, mut pipe) = (Vec::new(), Pipe::default());
        write(name, &mut file, &plan, &pages);
        write(name, &mut pipe, &plan, &pages);
        // The header was in the pipe before the lost page was known.
        let status = u32::from_le_bytes(file[424..428].try_into().unwrap());
        assert_eq!(status, flags | 8, "{name}");
        file[424..428].copy_from_slice(&flags.to_le_bytes());
        assert!(put_in_order(&pipe.0) == file, "{name}");
        assert!(pipe.0.len() as u64 <= (format(name).size)(&plan));
        assert_holds(&*open(pipe.0).space, &pages);
    }
}

#[test]
fn what_no_chunk_came_for_is_lost() {
    let mut plan = plan(&[(1, 7), (9, 11)]);
    plan.left_out = [extent(0x3000, 0x6000)].into_iter().collect();
    let mut pages = sample(ZSTD);
    for frame in 3..6 {
        pages.insert(frame, Laid::Lost);
    }
    let (mut file, mut pipe) = (Vec::new(), Pipe::default());
    write("kdump", &mut file, &plan, &pages);
    write("kdump", &mut pipe, &plan, &pages);
    assert!(put_in_order(&pipe.0) == file, "what was left out makes nothing incomplete");
    assert_holds(&*open(file).space, &pages);
    assert_holds(&*open(pipe.0).space, &pages);
}

#[test]
fn what_is_left_out_has_no_descriptor() {
    // The second bitmap has several pieces, each for 524,288 pages.
    let far = 524_288;
    let plan = plan(&[(1, 8), (far, far + 4)]);
    let page = |byte: u8| vec![byte; PAGE];
    let chunks =
        [(1, Some(1)), (2, None), (4, Some(4)), (5, None), (far, None), (far + 3, Some(9))];
    let holes: BTreeMap<u64, u64> = [(2, 2), (5, 3), (far, 3)].into();
    let (mut file, mut pipe) = (Vec::new(), Pipe::default());
    let outputs: [&mut dyn Output; 2] = [&mut file, &mut pipe];
    for output in outputs {
        let mut writer = (format("kdump").writer)(output);
        writer.begin(&plan).unwrap();
        for (frame, byte) in chunks {
            let bytes = byte.map(page);
            let content = match &bytes {
                Some(bytes) => Content::Bytes(bytes),
                None => Content::Hole { len: holes[&frame] * PAGE as u64, cause: Cause::FreePage },
            };
            writer.chunk(&Chunk { addr: frame * PAGE as u64, content }).unwrap();
        }
        writer.finish("").unwrap();
    }
    let ordered = put_in_order(&pipe.0);
    for file in [file, ordered] {
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        // The sub_hdr_size and bitmap_blocks, both in blocks.
        let (first, len) = (PAGE * (1 + number(432)), PAGE * number(436) / 2);
        let set = |bitmap: &[u8]| -> Vec<u64> {
            (0..bitmap.len() as u64 * 8)
                .filter(|bit| bitmap[(bit / 8) as usize] >> (bit % 8) & 1 == 1)
                .collect()
        };
        let (ram, dumped) = (&file[first..first + len], &file[first + len..first + 2 * len]);
        assert_eq!(set(ram), (1..8).chain(far..far + 4).collect::<Vec<_>>());
        assert_eq!(set(dumped), [1, 4, far + 3]);
        let table = first + 2 * len;
        let is_there = |index: usize| file[table + index * 24..][..8] != [0; 8];
        // Nothing points to the bytes after that.
        assert_eq!([0, 1, 2].map(is_there), [true; 3]);
        let space = open(file).space;
        for (frame, byte) in chunks {
            let found = read_page(&*space, frame).ok();
            assert!(found == byte.map(page), "page {frame}");
        }
    }
}

#[test]
fn pages_in_any_order_and_in_parts_are_found() {
    // One region ends within page 3 and another begins there. Page 5 is read first, from its middle.
    let regions = [(0x1000, 0x3400), (0x3800, 0x7000)];
    let regions = regions.map(|(a, b)| Region::new(extent(a, b), RegionKind::Ram));
    let map = MemoryMap::new(Space::Physical, regions.to_vec()).unwrap();
    let mut plan = Plan::whole(map, PAGE as u64, Facts::default());
    plan.first = [extent(0x5800, 0x6000)].into_iter().collect();
    for is_pipe in [false, true] {
        let (mut file, mut pipe) = (Vec::new(), Pipe::default());
        let output: &mut dyn Output = if is_pipe { &mut pipe } else { &mut file };
        let mut writer = (format("kdump").writer)(output);
        writer.begin(&plan).unwrap();
        for extent in plan.extents() {
            let bytes = vec![(extent.start() >> 8) as u8; extent.len() as usize];
            let content = Content::Bytes(&bytes);
            writer.chunk(&Chunk { addr: extent.start(), content }).unwrap();
        }
        writer.finish("").unwrap();
        drop(writer);
        let space = open(if is_pipe { pipe.0 } else { file }).space;
        assert_eq!(space.map().extents().as_slice(), [extent(0x1000, 0x7000)]);
        let part = |len: usize, byte: u8| vec![byte; len];
        let third = [part(0x400, 0x10), part(0x400, 0), part(0x800, 0x38)].concat();
        assert!(read_page(&*space, 3).unwrap() == third);
        assert!(read_page(&*space, 4).unwrap() == part(PAGE, 0x38));
        let fifth = [part(0x800, 0x38), part(0x800, 0x58)].concat();
        assert!(read_page(&*space, 5).unwrap() == fifth);
        assert!(read_page(&*space, 6).unwrap() == part(PAGE, 0x60));
    }
}

#[test]
fn zeros_that_nobody_read_and_memory_far_up_cost_little() {
    let far = 1 << 24;
    let plan = plan(&[(0, 100_000), (far - 3, far)]);
    for is_pipe in [false, true] {
        let (mut file, mut pipe) = (Vec::new(), Pipe::default());
        let output: &mut dyn Output = if is_pipe { &mut pipe } else { &mut file };
        let mut writer = (format("kdump").writer)(output);
        writer.begin(&plan).unwrap();
        let content = Content::Zero { len: 100_000 << 12 };
        writer.chunk(&Chunk { addr: 0, content }).unwrap();
        let content = Content::Bytes(&text_page(5));
        writer.chunk(&Chunk { addr: (far - 1) << 12, content }).unwrap();
        writer.finish("").unwrap();
        drop(writer);
        let file = if is_pipe { put_in_order(&pipe.0) } else { file };
        // Two bitmaps of 2 MiB, and 24 bytes for each page.
        assert!(file.len() < (4 << 20) + 100_003 * 24 + 5 * PAGE);
        let space = open(file).space;
        assert_eq!(space.map().extents(), plan.map.extents());
        assert!(read_page(&*space, 99_999).unwrap() == vec![0; PAGE]);
        assert!(read_page(&*space, far - 1).unwrap() == text_page(5));
        assert!(read_page(&*space, far - 2).is_err());
    }
}

#[test]
fn a_later_record_counts() {
    let pages = sample(ZSTD);
    let file = lay_out(&Head::plain(6), &pages);
    let record = |offset: usize, bytes: &[u8]| {
        let head = [(offset as u64).to_be_bytes(), (bytes.len() as u64).to_be_bytes()].concat();
        [&head, bytes].concat()
    };
    let mut flattened = b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01".to_vec();
    flattened.resize(4096, 0);
    // Wrong bytes in the middle, at the start and across a border; then the right ones in pieces.
    for (offset, len) in [(0, 9000), (5000, 100), (8990, 20), (4000, 5000)] {
        flattened.extend(record(offset, &vec![0xcc; len]));
    }
    for (index, piece) in file.chunks(1234).enumerate().rev() {
        flattened.extend(record(index * 1234, piece));
    }
    let without_end = flattened.clone();
    flattened.extend([0xff; 16]);
    assert!(put_in_order(&flattened) == file);
    assert_holds(&*open(flattened).space, &pages);
    // A transfer that was cut off does not tell that pages were lost before it.
    let open = |mode| format("kdump").open.unwrap()(Arc::new(without_end.clone()), mode);
    let error = open(OpenMode::Strict).err().unwrap().to_string();
    assert!(error.contains("record at offset"), "{error}");
    let found = read_page(&*open(OpenMode::Salvage).unwrap().space, 4);
    assert!(matches!(found, Err(ReadError::Fault { cause: Cause::Truncated, .. })));
}

/// Reads all of a file if it opens. The pages that are read must be right unless `may_differ`.
fn probe(file: Vec<u8>, pages: &BTreeMap<u64, Laid>, may_differ: bool) {
    let Ok(image) = format("kdump").open.unwrap()(Arc::new(file), OpenMode::Strict) else { return };
    for region in image.space.map().regions().iter().take(64) {
        let _ = image.space.survey(region.extent);
        for frame in (region.extent.start() >> 12..region.extent.end() >> 12).take(64) {
            let mut bytes = vec![0; 3 * PAGE];
            match image.space.read_at(frame << 12, &mut bytes) {
                Ok(read) if !may_differ => {
                    assert!(read >= PAGE);
                    let Laid::Page(_, page) = &pages[&frame] else { panic!("{frame} was lost") };
                    assert!(bytes[..PAGE] == *page, "{frame}");
                }
                Ok(_) | Err(ReadError::Fault { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn damage_is_survived() {
    for flags in [ZLIB, LZO, SNAPPY, ZSTD] {
        let pages = sample(flags);
        let file = lay_out(&Head::plain(6), &pages);
        let mut pipe = Pipe::default();
        write("kdump", &mut pipe, &plan(&[(1, 7), (9, 11)]), &pages);
        for whole in [file, pipe.0] {
            for at in (0..whole.len()).step_by(97) {
                for value in [0xff, whole[at] ^ 1] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    probe(damaged, &pages, true);
                }
            }
            for len in (0..whole.len()).step_by(97) {
                probe(whole[..len].to_vec(), &pages, false);
            }
        }
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let file = lay_out(&Head::plain(6), &sample(ZSTD));
    for (at, value, field) in [
        (0, *b"DISK", "signature"),
        (8, 7_u32.to_le_bytes(), "header_version"),
        (8, 6_u32.to_be_bytes(), "header_version"),
        (428, 0_u32.to_le_bytes(), "block_size"),
        (428, 6000_u32.to_le_bytes(), "block_size"),
        (428, (1_u32 << 30).to_le_bytes(), "block_size"),
        (432, 0_u32.to_le_bytes(), "sub_hdr_size"),
        (432, u32::MAX.to_le_bytes(), "bitmap_blocks"),
        (436, (u32::MAX - 1).to_le_bytes(), "bitmap_blocks"),
        (436, 3_u32.to_le_bytes(), "bitmap_blocks"),
        (PAGE + 12, 1_u32.to_le_bytes(), "split"),
        (PAGE + 100, 1_u32.to_le_bytes(), "max_mapnr"),
        (PAGE + 36, 1_u32.to_le_bytes(), "offset_vmcoreinfo"),
        (PAGE + 52, 1_u32.to_le_bytes(), "offset_note"),
    ] {
        let mut damaged = file.clone();
        damaged[at..at + 4].copy_from_slice(&value);
        // A length, because an offset without a length is ignored.
        damaged[PAGE + 40] = 9;
        damaged[PAGE + 56] = 9;
        let error = format("kdump").open.unwrap()(Arc::new(damaged), OpenMode::Strict)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(field), "{at}: {error}");
    }
}
