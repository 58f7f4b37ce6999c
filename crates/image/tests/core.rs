//! Cores of processes, compared with the layout of the kernel's own cores (`fs/binfmt_elf.c`). They are read here field by
//! field, without the reader under test.

use std::sync::Arc;
use std::time::Duration;

use memdump_image::elf::note;
use memdump_image::format::{Format, OpenMode, RECORD_LEN};
use memdump_image::{
    Arch, Backing, Chunk, Content, Extent, ExtentSet, Facts, Mapping, MemoryMap, Permissions, Plan,
    ProcessFacts, Region, RegionKind, Registers, Space, Thread, XsaveComponent,
};

const PAGE: u64 = 4096;

fn extent(start: u64, pages: u64) -> Extent {
    Extent::with_len(start, pages * PAGE).unwrap()
}

fn region(start: u64, pages: u64, permissions: &[u8], path: &str) -> Region {
    let backing = (!path.is_empty()).then(|| Backing {
        path: path.as_bytes().to_vec(),
        offset: 3 * PAGE,
        device: (8, 1),
        inode: 77,
    });
    let permissions = Permissions::parse(permissions).unwrap();
    Region {
        mapping: Some(Mapping { permissions, backing }),
        ..Region::new(extent(start, pages), RegionKind::Anonymous)
    }
}

fn thread(tid: u32) -> Thread {
    let registers = Registers::new(Arch::X86_64, vec![tid as u8; 216]);
    Thread {
        tid,
        registers: Some(registers.with(2, vec![0xf0; 512]).with(0x202, vec![0xee; 2432])),
        pending: 0x11,
        blocked: 0x22,
        user_time: Duration::from_micros(5_000_007),
        ..Thread::default()
    }
}

fn plan(regions: Vec<Region>) -> Plan {
    let process = ProcessFacts {
        pid: 1234,
        ppid: 1,
        pgrp: 1200,
        sid: 1100,
        uid: 1000,
        gid: 1001,
        state: b'S',
        nice: -3,
        flags: 0x40_0000,
        name: b"a name".to_vec(),
        arguments: [b"a".repeat(100), b" b".to_vec()].concat(),
        auxv: vec![6, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0],
        threads: vec![thread(1234), thread(1235)],
        xsave_layout: vec![XsaveComponent { number: 2, size: 256, offset: 576 }],
        ..ProcessFacts::default()
    };
    let facts = Facts { arch: Some(Arch::X86_64), process: Some(process), ..Facts::default() };
    Plan::whole(MemoryMap::new(Space::Process(1234), regions).unwrap(), PAGE, facts)
}

/// Writes a core in which each page is filled with the low byte of its page number.
fn write(plan: &Plan, record: &str) -> Vec<u8> {
    let mut image = Vec::new();
    let mut writer = (Format::by_name("core").unwrap().writer)(&mut image);
    writer.begin(plan).unwrap();
    for extent in plan.extents() {
        for addr in (extent.start()..extent.end()).step_by(PAGE as usize) {
            let page = vec![(addr / PAGE) as u8; PAGE as usize];
            writer.chunk(&Chunk { addr, content: Content::Bytes(&page) }).unwrap();
        }
    }
    writer.finish(record).unwrap();
    drop(writer);
    assert_eq!(image.len() as u64, (Format::by_name("core").unwrap().size)(plan));
    image
}

fn field(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut word = [0; 8];
    word[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(word)
}

/// A 64-bit program header: type, flags, then offset, vaddr, paddr, filesz, memsz, align.
fn header(image: &[u8], index: usize) -> (u64, u64, [u64; 6]) {
    let at = 64 + 56 * index;
    let words = std::array::from_fn(|word| field(image, at + 8 + 8 * word, 8));
    (field(image, at, 4), field(image, at + 4, 4), words)
}

/// The name, type and descriptor of each note.
fn notes(mut bytes: &[u8]) -> Vec<(String, u64, Vec<u8>)> {
    let mut notes = Vec::new();
    while bytes.len() >= 12 {
        let (name, len) = (field(bytes, 0, 4) as usize, field(bytes, 4, 4) as usize);
        let at = 12 + name.next_multiple_of(4);
        let text = String::from_utf8(bytes[12..12 + name - 1].to_vec()).unwrap();
        notes.push((text, field(bytes, 8, 4), bytes[at..at + len].to_vec()));
        bytes = &bytes[at + len.next_multiple_of(4)..];
    }
    notes
}

fn mappings() -> Vec<Region> {
    vec![
        region(0x40_0000, 2, b"r-xp", "/bin/program"),
        region(0x60_0000, 3, b"rw-p", ""),
        region(0x60_3000, 1, b"---p", ""),
        region(0x70_0000, 4, b"rw-s", "/memfd:\u{fc}"),
    ]
}

#[test]
fn notes_come_in_the_kernels_order_with_the_kernels_sizes() {
    let image = write(&plan(mappings()), "{}");
    assert_eq!(&image[..7], b"\x7fELF\x02\x01\x01");
    assert_eq!((field(&image, 16, 2), field(&image, 18, 2)), (4, 62)); // ET_CORE, EM_X86_64
    assert_eq!(field(&image, 56, 2), 6); // e_phnum: notes, four mappings, the record
    let (kind, _, words) = header(&image, 0);
    assert_eq!(kind, 4);
    let found = notes(&image[words[0] as usize..][..words[3] as usize]);
    let order: Vec<_> =
        found.iter().map(|(name, kind, desc)| (name.as_str(), *kind, desc.len())).collect();
    let names = "/bin/program\0/memfd:\u{fc}\0".len();
    assert_eq!(
        order,
        [
            ("CORE", 1, 336),
            ("CORE", 3, 136),
            ("CORE", 0x5349_4749, 128),
            ("CORE", 6, 16),
            ("CORE", 0x4649_4c45, 16 + 2 * 24 + names),
            ("CORE", 2, 512),
            ("LINUX", 0x202, 2432),
            ("LINUX", 0x205, 16),
            ("CORE", 1, 336),
            ("CORE", 2, 512),
            ("LINUX", 0x202, 2432),
        ]
    );
    let status = &found[0].2;
    assert_eq!((field(status, 16, 8), field(status, 24, 8)), (0x11, 0x22)); // pr_sigpend, pr_sighold
    let ids: Vec<u64> = (0..4).map(|i| field(status, 32 + 4 * i, 4)).collect();
    assert_eq!(ids, [1234, 1, 1200, 1100]); // pr_pid, pr_ppid, pr_pgrp, pr_sid
    assert_eq!((field(status, 48, 8), field(status, 56, 8)), (5, 7)); // pr_utime
    assert_eq!(status[112..328], [1234_u32 as u8; 216]); // pr_reg
    assert_eq!(field(status, 328, 4), 1); // pr_fpvalid
    assert_eq!(field(&found[8].2, 32, 4), 1235);

    let info = &found[1].2;
    assert_eq!(info[..4], [1, b'S', 0, 0xfd]); // pr_state, pr_sname, pr_zomb, pr_nice
    assert_eq!(
        (field(info, 8, 8), field(info, 16, 4), field(info, 20, 4)),
        (0x40_0000, 1000, 1001)
    );
    assert_eq!(info[40..47], *b"a name\0");
    assert!(info[56..135].iter().all(|&byte| byte == b'a') && info[135] == 0);

    let files = &found[4].2;
    let words: Vec<u64> = (0..8).map(|i| field(files, 8 * i, 8)).collect();
    assert_eq!(words, [2, PAGE, 0x40_0000, 0x40_2000, 3, 0x70_0000, 0x70_4000, 3]);
}

#[test]
fn every_mapping_has_a_segment_and_what_is_left_out_has_no_content() {
    let mut plan = plan(mappings());
    // All of the third mapping, all but the first page of the first, and the middle of the last.
    plan.left_out =
        [extent(0x40_1000, 1), extent(0x60_3000, 1), extent(0x70_1000, 2)].into_iter().collect();
    let image = write(&plan, "{}");
    let segments: Vec<_> = (1..7).map(|index| header(&image, index)).collect();
    let places: Vec<_> =
        segments.iter().map(|(_, flags, w)| (*flags, w[1], w[3] / PAGE, w[4] / PAGE)).collect();
    assert_eq!(
        places,
        [
            (5, 0x40_0000, 1, 2),
            (6, 0x60_0000, 3, 3),
            (0, 0x60_3000, 0, 1),
            (6, 0x70_0000, 1, 3),
            (6, 0x70_3000, 1, 1),
            (0, 0, 4, 0), // the record's PT_NOTE
        ]
    );
    for (kind, _, [offset, vaddr, paddr, file_size, _, align]) in &segments[..5] {
        assert_eq!((*kind, *paddr, *align), (1, 0, PAGE));
        for page in 0..file_size / PAGE {
            let at = (offset + page * PAGE) as usize;
            assert_eq!(image[at], (vaddr / PAGE + page) as u8);
            assert!(file_size == &0 || offset.is_multiple_of(PAGE));
        }
    }
}

#[test]
fn what_is_copied_first_stands_first() {
    let mut plan = plan(mappings());
    plan.first = [extent(0x70_0000, 4)].into_iter().collect();
    let image = write(&plan, "{}");
    let offsets: Vec<u64> = (1..5).map(|index| header(&image, index).2[0]).collect();
    assert!(offsets[3] < offsets[0] && offsets[0] < offsets[1] && offsets[1] < offsets[2]);
    assert_eq!(image[offsets[3] as usize], 0x00);
    assert_eq!(image[offsets[1] as usize + 2 * PAGE as usize], 0x02);
    let opened =
        Format::by_name("elf").unwrap().open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
    let mut byte = [0];
    opened.space.read_at(0x70_3fff, &mut byte).unwrap();
    assert_eq!(byte[0], 0x03);
}

#[test]
fn the_record_stands_at_the_end_and_never_changes_the_size() {
    for record in ["", "{\"pause\":\"stop\"}", &"x".repeat(RECORD_LEN + 5)] {
        let image = write(&plan(mappings()), record);
        let (kind, _, words) = header(&image, 5);
        assert_eq!((kind, words[0] + words[3]), (4, image.len() as u64));
        let found = notes(&image[words[0] as usize..]);
        let [(name, 0x4d45_4d44, text)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((name.as_str(), text.len()), ("MEMDUMP", RECORD_LEN));
        let kept = record.len().min(RECORD_LEN);
        assert_eq!(&text[..kept], &record.as_bytes()[..kept]);
    }
}

#[test]
fn more_than_65534_mappings_are_numbered_by_the_section_header() {
    let regions = (0..70_000).map(|i| region(0x10_0000 + i * 2 * PAGE, 1, b"rw-p", "")).collect();
    let mut plan = plan(regions);
    plan.left_out = [extent(0x10_0000, 139_000)].into_iter().collect::<ExtentSet>();
    let image = write(&plan, "{}");
    assert_eq!(field(&image, 56, 2), 0xffff);
    let section = field(&image, 40, 8) as usize;
    assert_eq!(field(&image, section + 44, 4), 70_002);
    let opened =
        Format::by_name("elf").unwrap().open.unwrap()(Arc::new(image), OpenMode::Strict).unwrap();
    assert_eq!(opened.space.map().space(), Space::Process(1234));
    assert_eq!(opened.space.map().regions().len(), 500);
}

#[test]
fn a_process_of_32_bits_has_a_core_of_32_bits() {
    let mut plan = plan(vec![region(0x804_8000, 1, b"r-xp", "/bin/old")]);
    let process = plan.facts.process.as_mut().unwrap();
    process.arch = Some(Arch::X86);
    process.threads = vec![Thread {
        tid: 1234,
        registers: Some(Registers::new(Arch::X86, vec![9; 68])),
        ..Thread::default()
    }];
    let image = write(&plan, "{}");
    assert_eq!(&image[..7], b"\x7fELF\x01\x01\x01");
    assert_eq!(field(&image, 18, 2), 3); // EM_386
    assert_eq!((field(&image, 28, 4), field(&image, 40, 2), field(&image, 42, 2)), (52, 52, 32));
    // Type, offset, vaddr, paddr, filesz, memsz, flags, align.
    let words = |index: usize| -> Vec<u64> {
        (0..8).map(|word| field(&image, 52 + 32 * index + 4 * word, 4)).collect()
    };
    let load = words(1);
    assert_eq!((load[0], load[2], load[4], load[5], load[6]), (1, 0x804_8000, PAGE, PAGE, 5));
    assert_eq!(image[load[1] as usize], 0x48);
    let note = words(0);
    let found = notes(&image[note[1] as usize..][..note[4] as usize]);
    let sizes: Vec<usize> = found.iter().map(|(_, _, descriptor)| descriptor.len()).collect();
    assert_eq!(sizes[..2], [144, 124]);
    assert_eq!(found[0].2[72..140], [9; 68]);
}

#[test]
fn a_core_of_32_bits_is_read() {
    // As gdb and the kernel write them: registers (the stack pointer is the sixteenth word), the program's files, its auxiliary vector.
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut status = vec![0; 144];
    status[72 + 4 * 15..][..4].copy_from_slice(&0xf7a0_0010_u32.to_le_bytes());
    let mut info = vec![0, b'S', 0, 5_u8.wrapping_neg(), 0, 0, 0, 0];
    info.extend([1000_u16, 1001].iter().flat_map(|half| half.to_le_bytes()));
    info.extend(words(&[1234, 1, 1200, 1100]));
    info.extend(b"old\0\0\0\0\0\0\0\0\0\0\0\0\0old --serve");
    info.resize(124, 0);
    let mut files = words(&[1, 4096, 0x804_8000, 0x804_a000, 2]);
    files.extend(b"/bin/old\0");
    let auxv = words(&[3, 0x804_8034, 25, 0xffff_e00b, 0, 0]);
    let notes = [
        note("CORE", 1, &status),
        note("CORE", 3, &info),
        note("CORE", 6, &auxv),
        note("CORE", 0x4649_4c45, &files),
    ]
    .concat();
    // The address and flags of each segment, which is one page long.
    let segments: [(u32, u32); 5] =
        [(0x804_8000, 5), (0x804_9000, 6), (0x8a0_0000, 6), (0xf7a0_0000, 6), (0xffff_e000, 6)];
    let data = 8192;
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(words(&[4 | 3 << 16, 1, 0, 52, 0, 0, 52 | 32 << 16, 6, 0])); // e_type … e_shstrndx
    let at = 52 + 32 * 6;
    file.extend(words(&[4, at, 0, 0, notes.len() as u32, 0, 0, 4]));
    for (index, (start, flags)) in (0..).zip(segments) {
        file.extend(words(&[1, data + 4096 * index, start, 0, 4096, 4096, flags, 4096]));
    }
    file.extend(&notes);
    file.resize(data as usize, 0);
    (1..=5).for_each(|page| file.extend([page; 4096]));

    let opened =
        Format::by_name("elf").unwrap().open.unwrap()(Arc::new(file), OpenMode::Strict).unwrap();
    assert_eq!(opened.facts.machine(), Some("i686"));
    let process = opened.facts.process.as_ref().unwrap();
    assert_eq!(process.arch, Some(Arch::X86));
    assert_eq!((process.pid, process.ppid, process.pgrp, process.sid), (1234, 1, 1200, 1100));
    assert_eq!((process.uid, process.gid, process.nice), (1000, 1001, -5));
    assert_eq!((&process.name[..], &process.arguments[..]), (&b"old"[..], &b"old --serve"[..]));
    let kinds: Vec<_> =
        opened.space.map().regions().iter().map(|r| (r.kind, &r.label[..])).collect();
    let expected = [
        (RegionKind::Library, "/bin/old"),
        (RegionKind::Library, "/bin/old"),
        (RegionKind::Heap, "[heap]"),
        (RegionKind::ThreadStack, ""),
        (RegionKind::Stack, "[stack]"),
    ];
    assert_eq!(kinds, expected);
    for ((start, _), page) in segments.into_iter().zip(1..) {
        let mut bytes = [0; 4096];
        assert_eq!(opened.space.read_at(start.into(), &mut bytes).unwrap(), 4096);
        assert_eq!(bytes, [page; 4096]);
    }
    // Written again, it is a 32-bit core with the same notes.
    let plan = Plan::whole(opened.space.map().clone(), 4096, opened.facts.clone());
    let again = write(&plan, "{}");
    assert_eq!(again[..20], *b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x03\0");
    assert!(again.windows(notes.len()).any(|window| window == notes));
}
