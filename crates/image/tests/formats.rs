//! Every format of the table: written and read back, cut short at every byte, and fed with noise. The bytes that a
//! format's documentation specifies are compared with images laid out here by hand.

use std::sync::Arc;

use memdump_image::elf::note;
use memdump_image::format::{FORMATS, Format, HoleEncoding, OpenMode, with_map};
use memdump_image::{
    Arch, Cause, Chunk, Content, Extent, Facts, MemoryMap, Plan, ProcessFacts, ReadError, Region,
    RegionKind, Space, VmCoreInfo,
};
use proptest::prelude::*;

const PAGE: u64 = 4096;
const SPACES: &[Space] = &[Space::Physical, Space::Kernel, Space::Process(7)];
/// The offset of the made-up machine's direct map from physical addresses.
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

fn extent(start: u64, end: u64) -> Extent {
    Extent::half_open(start, end).unwrap()
}

fn plan(space: Space, ranges: &[(u64, u64)]) -> Plan {
    let regions = ranges.iter().map(|&(start, end)| Region {
        alias: match space {
            Space::Physical => Some(DIRECT_MAP + start),
            Space::Kernel | Space::Process(_) => None,
        },
        ..Region::new(extent(start, end), RegionKind::Ram)
    });
    let vmcoreinfo = VmCoreInfo::new(b"OSRELEASE=6.1.0\nPAGESIZE=4096\n".to_vec());
    let arch = Some(Arch::X86_64);
    let process = match space {
        Space::Process(pid) => Some(ProcessFacts { pid, ..ProcessFacts::default() }),
        _ => None,
    };
    let vmcoreinfo = vmcoreinfo.filter(|_| process.is_none());
    let facts = Facts { vmcoreinfo, arch, process, ..Facts::default() };
    Plan::whole(MemoryMap::new(space, regions.collect()).unwrap(), PAGE, facts)
}

fn thinned(mut plan: Plan) -> Plan {
    plan.is_thinned = true;
    plan
}

/// A plan for a space that the format holds.
fn plan_for(format: &Format, ranges: &[(u64, u64)]) -> Plan {
    let space = SPACES.iter().find(|&&space| (format.holds)(space)).unwrap();
    plan(*space, ranges)
}

fn byte_at(addr: u64) -> u8 {
    (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}

fn bytes_of(extent: Extent) -> Vec<u8> {
    (extent.start()..extent.end()).map(byte_at).collect()
}

/// Writes all of a plan except `holes`.
fn write(format: &Format, plan: &Plan, holes: &[Extent]) -> Vec<u8> {
    let mut image = Vec::new();
    let mut writer = (format.writer)(&mut image);
    writer.begin(plan).unwrap();
    for region in plan.map.regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let to_page_end = PAGE - here.start() % PAGE;
            let (Some(page), after) = here.split_at(to_page_end) else { unreachable!() };
            let bytes = bytes_of(page);
            let content = match holes.iter().any(|hole| hole.covers(page)) {
                true => Content::Hole { len: page.len(), cause: Cause::Unmapped },
                false => Content::Bytes(&bytes),
            };
            writer.chunk(&Chunk { addr: page.start(), content }).unwrap();
            rest = after;
        }
    }
    writer.finish("{}").unwrap();
    drop(writer);
    image
}

/// Reads all of `wanted` from an image.
fn read(format: &Format, image: Vec<u8>, wanted: Extent) -> Vec<u8> {
    let image = format.open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
    let mut bytes = vec![0; wanted.len() as usize];
    let mut done = 0;
    while done < bytes.len() {
        let addr = wanted.start() + done as u64;
        done += image.space.read_at(addr, &mut bytes[done..]).unwrap();
    }
    bytes
}

const RANGES: &[(u64, u64)] = &[(0x1000, 0x3000), (0x8000, 0x9000)];

#[test]
fn the_predicted_size_is_the_size() {
    for format in FORMATS {
        for space in SPACES.iter().copied().filter(|&space| (format.holds)(space)) {
            for ranges in [&[][..], RANGES, &[(0x1234, 0x1235), (0x1300, 0x5001)]] {
                let plan = plan(space, ranges);
                let size = write(format, &plan, &[]).len() as u64;
                let predicted = (format.size)(&plan);
                let is_right = predicted == size || format.compresses && predicted > size;
                assert!(is_right, "{} {space} {ranges:?}: {predicted}, {size}", format.name);
            }
        }
    }
}

#[test]
fn what_is_written_is_read_back_with_its_map_and_facts() {
    for format in FORMATS.iter().filter(|format| format.open.is_some()) {
        for space in SPACES.iter().copied().filter(|&space| (format.holds)(space)) {
            let plan = plan(space, RANGES);
            let image = write(format, &plan, &[]);
            for region in plan.map.regions() {
                let bytes = read(format, image.clone(), region.extent);
                assert!(bytes == bytes_of(region.extent), "{} {}", format.name, region.extent);
            }
            if format.magics.is_empty() {
                continue;
            }
            assert_eq!(Format::detect(&image).unwrap().name, format.name);
            let opened = format.open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
            assert_eq!(opened.space.map().extents(), plan.map.extents(), "{}", format.name);
            if format.name == "elf" {
                assert_eq!(opened.space.map().space(), space);
                assert_eq!(opened.space.map().joined(), plan.map.joined());
                assert_eq!(opened.facts.vmcoreinfo, plan.facts.vmcoreinfo);
            }
        }
    }
}

#[test]
fn holes_are_left_out_or_zeros_and_cost_only_themselves() {
    let hole = extent(0x2000, 0x3000);
    for format in FORMATS {
        let plan = plan_for(format, RANGES);
        let whole = write(format, &plan, &[]);
        let image = write(format, &plan, &[hole]);
        match format.hole_encoding {
            HoleEncoding::LeftOut => {
                let expected = [bytes_of(extent(0x1000, 0x2000)), bytes_of(extent(0x8000, 0x9000))];
                assert!(image == expected.concat(), "{}", format.name);
            }
            HoleEncoding::Kept => {
                let opened = format.open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
                let mut bytes = vec![0; 0x1000];
                let found = opened.space.read_at(hole.start(), &mut bytes);
                assert!(matches!(found, Err(ReadError::Fault { .. })), "{}", format.name);
                assert_eq!(opened.space.read_at(0x8000, &mut bytes).unwrap(), 0x1000);
                assert!(bytes == bytes_of(extent(0x8000, 0x9000)), "{}", format.name);
            }
            HoleEncoding::Filled | HoleEncoding::Gaps => {
                assert!(image.len() == whole.len() || format.compresses);
                assert!(read(format, image.clone(), hole).iter().all(|&byte| byte == 0));
                let after = extent(0x8000, 0x9000);
                assert!(read(format, image, after) == bytes_of(after), "{}", format.name);
            }
        }
    }
}

/// Writes a thinned plan to an image. `cuts` are further ends of chunks, and `holes` are the page frames that are left out.
fn write_thinned(format: &Format, plan: &Plan, cuts: &[u64], holes: &[u64]) -> Vec<u8> {
    let mut image = Vec::new();
    let mut writer = (format.writer)(&mut image);
    writer.begin(plan).unwrap();
    let packer = writer.packer();
    for region in plan.map.regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let at = here.start();
            let is_hole = |at: u64| holes.contains(&(at / PAGE));
            let ends = (at / PAGE + 1..=here.end().div_ceil(PAGE))
                .map(|frame| frame * PAGE)
                .find(|&end| is_hole(end) != is_hole(at));
            let cut = cuts.iter().copied().filter(|&cut| cut > at && !is_hole(at)).min();
            let len = ends.into_iter().chain(cut).min().map_or(here.len(), |end| end - at);
            let (piece, after) = here.split_at(len);
            let piece = piece.unwrap();
            let bytes = bytes_of(piece);
            if is_hole(at) {
                let content = Content::Hole { len: piece.len(), cause: Cause::FreePage };
                writer.chunk(&Chunk { addr: at, content }).unwrap();
            } else {
                let chunk = Chunk { addr: at, content: Content::Bytes(&bytes) };
                match &packer {
                    Some(packer) => writer.packed(&chunk, packer.pack(at, &bytes).unwrap()),
                    None => writer.chunk(&chunk),
                }
                .unwrap();
            }
            rest = after;
        }
    }
    writer.finish("{}").unwrap();
    drop(writer);
    image
}

#[test]
fn a_page_of_zeros_that_is_left_out_is_zeros_still() {
    let zeros = extent(0x2000, 0x3000);
    for name in ["lime", "avml"] {
        let format = Format::by_name(name).unwrap();
        let plan = thinned(plan(Space::Physical, &[(0x1000, 0x3000)]));
        let mut image = Vec::new();
        let mut writer = (format.writer)(&mut image);
        writer.begin(&plan).unwrap();
        let content = Content::Hole { len: PAGE, cause: Cause::FreePage };
        writer.chunk(&Chunk { addr: 0x1000, content }).unwrap();
        let content = Content::Hole { len: PAGE, cause: Cause::ZeroPage };
        writer.chunk(&Chunk { addr: zeros.start(), content }).unwrap();
        writer.finish("{}").unwrap();
        drop(writer);
        assert!(read(format, image, zeros).iter().all(|&byte| byte == 0), "{name}");
    }
}

#[test]
fn a_block_of_which_nothing_is_left_is_a_gap_of_avml() {
    let format = Format::by_name("avml").unwrap();
    let plan = thinned(plan(Space::Physical, &[(0x10_0000, 0x40_0000)]));
    // One page of the first MiB, and all of the second.
    let holes: Vec<u64> = (0x110..0x111).chain(0x200..0x300).collect();
    let image = write_thinned(format, &plan, &[], &holes);
    let opened = format.open.unwrap()(Arc::new(image.clone()), OpenMode::Strict).unwrap();
    let left = [extent(0x10_0000, 0x20_0000), extent(0x30_0000, 0x40_0000)];
    assert_eq!(opened.space.map().extents(), left.into_iter().collect());
    assert!(read(format, image.clone(), left[1]) == bytes_of(left[1]));
    let page = extent(0x11_0000, 0x11_1000);
    assert!(read(format, image, page).iter().all(|&byte| byte == 0));
}

proptest! {
    #[test]
    fn what_is_left_out_page_by_page_is_a_gap_of_lime(
        edges in prop::collection::btree_set(0u64..0x4_0000, 2..8),
        cuts in prop::collection::vec(0u64..0x4_0000, 0..20),
        holes in prop::collection::vec(0u64..0x40, 0..30),
    ) {
        let edges: Vec<u64> = edges.into_iter().collect();
        let ranges: Vec<(u64, u64)> =
            edges.as_chunks::<2>().0.iter().map(|&[start, end]| (start, end)).collect();
        let format = Format::by_name("lime").unwrap();
        let plan = thinned(plan(Space::Physical, &ranges));
        let image = write_thinned(format, &plan, &cuts, &holes);
        prop_assert!(image.len() as u64 <= (format.size)(&plan));
        let opened = format.open.unwrap()(Arc::new(image.clone()), OpenMode::Strict).unwrap();
        let found = opened.space.map().extents();
        // Exactly the pages that have any memory.
        let taken = plan.map.extents();
        let frames = taken.iter().flat_map(|all| all.start() / PAGE..all.end().div_ceil(PAGE));
        let wanted = frames.filter(|frame| !holes.contains(frame));
        let wanted = wanted.map(|frame| extent(frame * PAGE, (frame + 1) * PAGE)).collect();
        prop_assert_eq!(&found, &wanted);
        for page in found.iter().flat_map(|all| (all.start()..all.end()).step_by(PAGE as usize)) {
            let page = extent(page, page + PAGE);
            let mut bytes = vec![0; PAGE as usize];
            for here in taken.within(page) {
                let from = (here.start() - page.start()) as usize;
                bytes[from..][..here.len() as usize].copy_from_slice(&bytes_of(here));
            }
            prop_assert!(read(format, image.clone(), page) == bytes, "{page}");
        }
    }

}

proptest! {
    // Each case has several blocks of 1 MiB.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn what_was_packed_is_what_is_read(
        start in 0u64..0x40_0000,
        len in 1u64..0x28_0000,
        cuts in prop::collection::vec(0u64..0x80_0000, 0..5),
    ) {
        for format in FORMATS.iter().filter(|format| format.compresses) {
            let plan = plan(Space::Physical, &[(start, start + len)]);
            let image = write_thinned(format, &plan, &cuts, &[]);
            let all = extent(start, start + len);
            prop_assert!(read(format, image, all) == bytes_of(all), "{}", format.name);
        }
    }
}

#[test]
fn an_image_cut_short_is_an_error_or_a_fault_and_never_wrong_bytes() {
    for format in FORMATS.iter().filter(|format| format.open.is_some()) {
        let plan = plan_for(format, RANGES);
        let image = write(format, &plan, &[]);
        for len in 0..image.len() {
            let Ok(opened) =
                format.open.unwrap()(Arc::new(image[..len].to_vec()), OpenMode::Strict)
            else {
                continue;
            };
            for region in opened.space.map().regions() {
                let mut bytes = vec![0; 512];
                match opened.space.read_at(region.extent.last(), &mut bytes) {
                    Ok(1) if plan.map.find(region.extent.last()).is_some() => {
                        assert_eq!(bytes[0], byte_at(region.extent.last()), "{}", format.name);
                    }
                    Ok(1) | Err(ReadError::Fault { .. }) => {}
                    other => panic!("{} cut at {len}: {other:?}", format.name),
                }
            }
        }
    }
}

#[test]
fn lime_is_laid_out_as_its_header_file_says() {
    // The second range ends within a page, but LeechCore requires whole pages.
    let plan = plan(Space::Physical, &[(0x1000, 0x3000), (0x9000, 0x9c00)]);
    let mut expected = Vec::new();
    for (first, last, bytes) in [
        (0x1000_u64, 0x2fff_u64, bytes_of(extent(0x1000, 0x3000))),
        (0x9000, 0x9fff, [bytes_of(extent(0x9000, 0x9c00)), vec![0; 0x400]].concat()),
    ] {
        expected.extend(b"EMiL");
        expected.extend([1, 0, 0, 0]);
        expected.extend(first.to_le_bytes());
        expected.extend(last.to_le_bytes());
        expected.extend([0; 8]);
        expected.extend(bytes);
    }
    assert!(write(Format::by_name("lime").unwrap(), &plan, &[]) == expected);
}

#[test]
fn elf_is_laid_out_as_crash_drgn_and_volatility_want_it() {
    let image = write(Format::by_name("elf").unwrap(), &plan(Space::Physical, RANGES), &[]);
    let field = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&image[at..at + len]);
        u64::from_le_bytes(bytes)
    };
    assert_eq!(&image[..16], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    assert_eq!((field(16, 2), field(18, 2), field(20, 4)), (4, 62, 1)); // ET_CORE, EM_X86_64
    assert_eq!((field(32, 8), field(40, 8)), (64, 0)); // e_phoff, e_shoff
    assert_eq!((field(52, 2), field(54, 2), field(56, 2)), (64, 56, 3)); // e_ehsize, e_phentsize, e_phnum

    let header = |index: usize| {
        let at = 64 + 56 * index;
        let words: Vec<u64> = (0..6).map(|word| field(at + 8 + 8 * word, 8)).collect();
        (field(at, 4), words)
    };
    let (kind, note) = header(0);
    assert_eq!(kind, 4, "PT_NOTE comes first");
    let notes = &image[note[0] as usize..][..note[3] as usize];
    assert_eq!(&notes[..12], [11, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&notes[12..24], b"VMCOREINFO\0\0");
    assert_eq!(&notes[24..54], b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"[..].as_ref());
    for (index, start, len) in [(1, 0x1000, 0x2000), (2, 0x8000, 0x1000)] {
        let (kind, words) = header(index);
        assert_eq!(kind, 1);
        let [offset, vaddr, paddr, file_size, memory_size, align] = words[..] else { panic!() };
        assert_eq!((vaddr, paddr), (DIRECT_MAP + start, start));
        assert_eq!((file_size, memory_size, align), (len, len, 0));
        assert!(image[offset as usize..][..len as usize] == bytes_of(extent(start, start + len)));
    }
}

#[test]
fn elf_numbers_more_than_65534_segments_by_the_section_header() {
    let ranges: Vec<(u64, u64)> = (0..70_000).map(|i| (i * 0x2000, i * 0x2000 + 1)).collect();
    let plan = plan(Space::Physical, &ranges);
    let format = Format::by_name("elf").unwrap();
    let image = write(format, &plan, &[]);
    assert_eq!(image[56..58], [0xff, 0xff]); // e_phnum
    let section = u64::from_le_bytes(image[40..48].try_into().unwrap()) as usize;
    assert_eq!(image[section + 44..section + 48], 70_001_u32.to_le_bytes()); // sh_info
    let opened = format.open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
    assert_eq!(opened.space.map().extents(), plan.map.extents());
}

#[test]
fn notes_of_the_source_are_kept_whole() {
    let mut plan = plan(Space::Physical, RANGES);
    let own = [note("CORE", 1, &[7; 336]), note("VMCOREINFO", 0, b"OSRELEASE=9\n")].concat();
    plan.facts.elf_notes = Some(own.clone());
    let format = Format::by_name("elf").unwrap();
    let opened =
        format.open.unwrap()(Arc::new(write(format, &plan, &[])), OpenMode::Strict).unwrap();
    assert_eq!(opened.facts.elf_notes, Some(own));
    assert_eq!(opened.facts.release.as_deref(), Some("9"));
}

#[test]
fn raw_is_read_with_its_map() {
    let plan = plan(Space::Physical, RANGES);
    let image = write(Format::by_name("raw").unwrap(), &plan, &[]);
    let map = "0x1000 0x3000\n0x8000 0x9000\n";
    let opened = with_map(Arc::new(image), map, OpenMode::Strict).unwrap();
    assert_eq!(opened.space.map().extents(), plan.map.extents());
    let mut bytes = vec![0; 0x1000];
    assert_eq!(opened.space.read_at(0x8000, &mut bytes).unwrap(), 0x1000);
    assert!(bytes == bytes_of(extent(0x8000, 0x9000)));
    for wrong in
        ["0x1000", "0x1000 0x1000", "1000 2000", "0x1 0x2 0x3", "0x1000 0x3000\n0x2000 0x4000"]
    {
        assert!(with_map(Arc::new(Vec::new()), wrong, OpenMode::Strict).is_err(), "{wrong}");
    }
}

#[test]
fn segments_that_overlap_are_read_once() {
    // As in the kernel's own vmcore: first the kernel's text, then RAM, which contains it.
    let plan = plan(Space::Physical, &[(0x1000, 0x9000)]);
    let mut image = write(Format::by_name("elf").unwrap(), &plan, &[]);
    // The note header becomes a second PT_LOAD: all of RAM from 0x2000 on, with the same bytes in the file as the first.
    let load = image[64 + 56..64 + 112].to_vec();
    image[64..64 + 56].copy_from_slice(&load);
    let offset = u64::from_le_bytes(load[8..16].try_into().unwrap());
    for (at, value) in [(8, offset + 0x1000), (16, 0x77), (24, 0x2000), (32, 0x1000), (40, 0x1000)]
    {
        image[64 + at..64 + at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    let opened =
        Format::by_name("elf").unwrap().open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
    assert_eq!(opened.space.map().extents(), plan.map.extents());
    assert_eq!(opened.space.map().regions()[0].alias, Some(DIRECT_MAP + 0x1000));
}

/// A program header of ELF64 (elf(5)), made of the fields that matter here: type, offset, physical address, size in the file, size in
/// memory.
fn program_header([kind, offset, paddr, in_file, in_memory]: [u64; 5]) -> Vec<u8> {
    let first = kind | 7 << 32;
    [first, offset, 0, paddr, in_file, in_memory, 0].iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// The header of an ELF64 core for x86-64 with that many program headers.
fn elf_header(count: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([4, 0, 62, 0, 1, 0, 0, 0]); // e_type, e_machine, e_version
    for word in [0, 64, 0_u64] {
        bytes.extend(word.to_le_bytes()); // e_entry, e_phoff, e_shoff
    }
    bytes.extend([0; 4]);
    for half in [64, 56, count, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

#[test]
fn a_core_of_virtualbox_is_read() {
    // `VBoxManage debugvm dumpvmcore`, as its manual describes it ("VM core format"): notes called VBCORE and VBCPU, and a PT_LOAD for each
    // range of physical memory. Those of device ranges have no content.
    let core = [0xc01a_c0de_u32, 0x1_0000, 24, 0x7_0000, 0, 2].map(u32::to_le_bytes).concat();
    let notes = [
        note("VBCORE", 0xb00, &core),
        note("VBCPU", 0xb01, &[7; 2000]),
        note("VBCPU", 0xb01, &[8; 2000]),
    ]
    .concat();
    let at = 64 + 5 * 56;
    let data = at + notes.len() as u64;
    let (low, high) = (0xa_0000, 0x20_0000);
    let headers = [
        [4, at, 0, notes.len() as u64, notes.len() as u64],
        [1, data, 0, low, low],
        [1, data + low, 0xa_0000, 0, 0x2_0000],
        [1, data + low, 0x10_0000, high, high],
        [1, data + low + high, 0xf000_0000, 0, 0x100_0000],
    ];
    let memory = |seed: u8, len: u64| (0..len).map(move |at| (at / 3) as u8 ^ seed);
    let mut file = elf_header(5);
    headers.into_iter().for_each(|header| file.extend(program_header(header)));
    file.extend(notes);
    file.extend(memory(1, low).chain(memory(2, high)));

    let opened =
        Format::by_name("elf").unwrap().open.unwrap()(Arc::new(file), OpenMode::Strict).unwrap();
    assert_eq!(opened.facts.machine(), Some("x86_64"));
    assert_eq!(opened.space.map().space(), Space::Physical);
    let ram: Vec<Extent> = opened.space.map().extents().iter().collect();
    assert_eq!(ram, [extent(0, low), extent(0x10_0000, 0x10_0000 + high)]);
    for (start, seed, len) in [(0, 1, low), (0x10_0000, 2, high)] {
        let mut bytes = vec![0; len as usize];
        assert_eq!(opened.space.read_at(start, &mut bytes).unwrap() as u64, len);
        assert!(bytes.iter().copied().eq(memory(seed, len)), "at {start:#x}");
    }
}

/// Opens a file, and reads a little of it if it opens.
fn probe(format: &Format, file: Vec<u8>) {
    let Ok(image) = format.open.unwrap()(Arc::new(file), OpenMode::Strict) else { return };
    for region in image.space.map().regions().iter().take(16) {
        let mut bytes = [0; 64];
        for addr in [region.extent.start(), region.extent.last()] {
            if let Ok(read) = image.space.read_at(addr, &mut bytes) {
                assert!(read as u64 <= region.extent.end() - addr, "no read leaves its region");
            }
        }
    }
}

proptest! {
    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in FORMATS.iter().filter(|format| format.open.is_some()) {
            probe(format, noise.clone());
            for magic in format.magics {
                probe(format, [magic, noise.as_slice()].concat());
            }
        }
    }

    #[test]
    fn damaged_images_are_survived(at in 0usize..400, value: [u8; 8]) {
        for format in FORMATS.iter().filter(|format| format.open.is_some()) {
            let mut image = write(format, &plan_for(format, RANGES), &[]);
            let end = image.len().min(at + 8);
            image[at..end].copy_from_slice(&value[..end - at]);
            probe(format, image);
        }
    }

    #[test]
    fn generated_maps_round_trip(
        ranges in prop::collection::vec((1u64..3 * PAGE, 1u64..3 * PAGE), 1..8),
    ) {
        let mut at = 0;
        // A gap of at least a page, so that LiME's whole pages do not touch.
        let ranges: Vec<(u64, u64)> = ranges.into_iter().map(|(gap, len)| {
            let start = at + PAGE + gap;
            at = start + len;
            (start, at)
        }).collect();
        for format in FORMATS.iter().filter(|format| format.open.is_some()) {
            let plan = plan_for(format, &ranges);
            let image = write(format, &plan, &[]);
            prop_assert!(format.compresses || image.len() as u64 == (format.size)(&plan));
            for region in plan.map.regions() {
                prop_assert!(read(format, image.clone(), region.extent) == bytes_of(region.extent));
            }
        }
    }
}
