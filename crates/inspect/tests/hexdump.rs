//! The hexdump beside hexdump(1), and beside a plain one that is itself held against hexdump(1).

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use memdump_image::{
    AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Region, RegionKind, Run, Space,
    View,
};
use memdump_inspect::hexdump::{Event, Layout, Options, hexdump};
use memdump_inspect::scan::{self, Flow};
use proptest::prelude::*;

const PAGE: u64 = 64;

/// Memory of which each page is there, is known to be zero, or cannot be read.
struct Made {
    map: MemoryMap,
    /// All bytes from address 0 on.
    bytes: Vec<u8>,
    pages: Vec<Page>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Memory,
    KnownZero,
    Hole,
}

impl Made {
    fn page(&self, addr: u64) -> Page {
        self.pages[(addr / PAGE) as usize % self.pages.len()]
    }

    /// The byte that there is to see.
    fn byte(&self, addr: u64) -> Option<u8> {
        self.map.find(addr)?;
        match self.page(addr) {
            Page::Memory => Some(self.bytes[addr as usize]),
            Page::KnownZero => Some(0),
            Page::Hole => None,
        }
    }
}

impl AddressSpace for Made {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        for (byte, addr) in buf.iter_mut().zip(addr..) {
            if self.page(addr) == Page::Hole {
                return Err(ReadError::Fault { addr, cause: Cause::Unmapped });
            }
            assert_eq!(self.page(addr), Page::Memory, "what is known is not read");
            *byte = self.bytes[addr as usize];
        }
        Ok(buf.len())
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let end = extent.end().min((extent.start() / PAGE + 1) * PAGE);
        let zero = self.page(extent.start()) == Page::KnownZero;
        let presence = if zero { Presence::Zero } else { Presence::Memory };
        Ok(vec![Run { extent: Extent::half_open(extent.start(), end).unwrap(), presence }])
    }
}

/// `hexdump -C` of the bytes.
fn peer(bytes: &[u8], arguments: &[&str]) -> String {
    let mut hexdump = Command::new("hexdump");
    hexdump.arg("-C").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = hexdump.spawn().expect("hexdump, of the Debian package bsdextrautils");
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feeder = thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The expected lines of a stretch, byte by byte.
fn plain(start: u64, bytes: &[u8], width: usize, digits: usize, squeeze: bool) -> String {
    let mut text = String::new();
    let mut last: &[u8] = &[];
    let mut starred = false;
    for (line, addr) in bytes.chunks(width).zip((start..).step_by(width)) {
        if squeeze && line == last {
            if !starred {
                text += "*\n";
            }
            starred = true;
            continue;
        }
        starred = false;
        last = if line.len() == width { line } else { &[] };
        text += &format!("{addr:0digits$x}  ");
        for index in 0..width {
            if index > 0 && index.is_multiple_of(8) {
                text += " ";
            }
            match line.get(index) {
                Some(byte) => text += &format!("{byte:02x} "),
                None => text += "   ",
            }
        }
        let shown = line.iter().map(|&byte| if matches!(byte, 0x20..0x7f) { byte } else { b'.' });
        text += &format!(" |{}|\n", String::from_utf8(shown.collect()).unwrap());
    }
    text + &format!("{:0digits$x}\n", start + bytes.len() as u64)
}

fn options(width: usize, squeeze: bool, block_len: usize, threads: usize) -> Options {
    let scan = scan::Options::default().threads(threads).block_len(block_len);
    Options::default().layout(Layout::canonical(8).width(width)).squeeze(squeeze).scan(scan)
}

fn shown(space: &Made, ranges: Option<&[Extent]>, options: &Options) -> String {
    let mut text = Vec::new();
    let result = hexdump(&View::new(space, PAGE), ranges, options, &mut |event| {
        match event {
            Event::Lines(lines) => text.extend_from_slice(lines),
            Event::Region(region) => writeln!(text, "region {}", region.extent)?,
            Event::Hole(hole) => writeln!(text, "hole {}", hole.extent)?,
            Event::Nothing(extent) => writeln!(text, "nothing {extent}")?,
            Event::Progress(_) => {}
        }
        Ok(Flow::Continue)
    });
    result.unwrap();
    String::from_utf8(text).unwrap()
}

/// Bytes in which lines repeat: few values, long runs, and copies of what stood before.
fn repeating() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (prop::sample::select(vec![0_u8, 0, b'A', 0xff]), 1_usize..150)
            .prop_map(|(byte, len)| vec![byte; len]),
        (prop::collection::vec(any::<u8>(), 16), 1_usize..6).prop_map(|(line, n)| line.repeat(n)),
        prop::collection::vec(any::<u8>(), 1..40),
        (prop::sample::select(vec![0_u8, b'A']), 1_usize..8)
            .prop_map(|(byte, lines)| vec![byte; 16 * lines]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_stretch_reads_as_hexdump_shows_it(
        bytes in repeating(),
        block_len in 1_usize..300,
        threads in 1_usize..4,
        squeeze in any::<bool>(),
        known in prop::collection::vec(prop::bool::weighted(0.3), 1..8),
    ) {
        let mut bytes = bytes;
        let pages: Vec<Page> =
            known.iter().map(|&known| if known { Page::KnownZero } else { Page::Memory }).collect();
        for (index, byte) in bytes.iter_mut().enumerate() {
            if pages[index / PAGE as usize % pages.len()] == Page::KnownZero {
                *byte = 0;
            }
        }
        let regions = Extent::with_len(0, bytes.len() as u64)
            .map(|extent| Region::new(extent, RegionKind::Unknown));
        let map = MemoryMap::new(Space::Physical, regions.into_iter().collect()).unwrap();
        let made = Made { map, bytes: bytes.clone(), pages };
        let arguments: &[&str] = if squeeze { &[] } else { &["-v"] };
        let wanted = peer(&bytes, arguments);
        prop_assert_eq!(&shown(&made, None, &options(16, squeeze, block_len, threads)), &wanted);
        if !bytes.is_empty() {
            prop_assert_eq!(plain(0, &bytes, 16, 8, squeeze), wanted);
        }
    }

    #[test]
    fn holes_and_gaps_part_stretches_and_regions_do_not(
        bytes in repeating(),
        ranges in prop::collection::vec((0_u64..150, 1_u64..300), 1..5),
        pages in prop::collection::vec(
            prop::sample::select(vec![Page::Memory, Page::Memory, Page::KnownZero, Page::Hole]),
            1..12,
        ),
        block_len in 1_usize..300,
        threads in 1_usize..4,
        squeeze in any::<bool>(),
        width in prop::sample::select(vec![16_usize, 8, 32]),
    ) {
        let mut at = 0;
        let regions: Vec<Region> = ranges.iter().zip(0..).map(|(&(gap, len), index)| {
            // Half of the regions touch; stretches begin where lines may.
            let start = if gap < 75 { at } else { u64::next_multiple_of(at + gap, 32) };
            let extent = Extent::with_len(start, len).unwrap();
            at = extent.end();
            Region { label: index.to_string(), ..Region::new(extent, RegionKind::Anonymous) }
        }).collect();
        let map = MemoryMap::new(Space::Process(1), regions).unwrap();
        let bytes: Vec<u8> =
            bytes.iter().chain(&[b'A', 0]).copied().cycle().take(at as usize).collect();
        let made = Made { map: map.clone(), bytes, pages };
        // Stretches of what there is, and of what is not, in order.
        let mut wanted = String::new();
        let mut addr = 0;
        while addr < at {
            let run = |same: &dyn Fn(u64) -> bool| {
                (addr..at).take_while(|&addr| same(addr)).count() as u64
            };
            let is_there = made.byte(addr).is_some();
            let is_mapped = map.find(addr).is_some();
            let len = run(&|addr| {
                made.byte(addr).is_some() == is_there && map.find(addr).is_some() == is_mapped
            });
            if is_there {
                let bytes: Vec<u8> =
                    (addr..addr + len).map(|addr| made.byte(addr).unwrap()).collect();
                wanted += &plain(addr, &bytes, width, 8, squeeze);
            } else if is_mapped {
                wanted += &format!("hole {:#x}-{:#x}\n", addr, addr + len);
            }
            addr += len;
        }
        prop_assert_eq!(shown(&made, None, &options(width, squeeze, block_len, threads)), wanted);
    }

    #[test]
    fn ranges_are_shown_from_their_first_byte_on(
        bytes in prop::collection::vec(any::<u8>(), 1..500),
        ranges in prop::collection::vec((0_u64..500, 1_u64..200), 1..4),
        block_len in 1_usize..300,
        width in 1_usize..40,
    ) {
        let whole = Extent::with_len(0, bytes.len() as u64).unwrap();
        let map = MemoryMap::new(Space::Physical, vec![Region::new(whole, RegionKind::Ram)]).unwrap();
        let made = Made { map, bytes: bytes.clone(), pages: vec![Page::Memory] };
        let ranges: Vec<Extent> =
            ranges.iter().map(|&(start, len)| Extent::with_len(start, len).unwrap()).collect();
        let mut wanted = String::new();
        for range in &ranges {
            if let Some(there) = range.intersection(whole) {
                let bytes = &bytes[there.start() as usize..there.end() as usize];
                wanted += &plain(there.start(), bytes, width, 8, true);
            }
            if let Ok(beyond) = Extent::half_open(range.start().max(whole.end()), range.end()) {
                wanted += &format!("nothing {beyond}\n");
            }
        }
        prop_assert_eq!(shown(&made, Some(&ranges), &options(width, true, block_len, 2)), wanted);
    }
}

#[test]
fn regions_are_told_and_lines_end_with_them() {
    let region = |start, end| {
        let extent = Extent::half_open(start, end).unwrap();
        Region { label: format!("{start}"), ..Region::new(extent, RegionKind::Heap) }
    };
    let map = MemoryMap::new(Space::Process(1), vec![region(0, 0x28), region(0x28, 0x50)]).unwrap();
    let made = Made { map, bytes: vec![0; 0x50], pages: vec![Page::KnownZero] };
    let options = options(16, true, 100, 2).by_region(true);
    let text = shown(&made, None, &options);
    let heads: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(
        heads,
        [
            "region 0x0-0x28",
            "00000000",
            "*",
            "00000020",
            "00000028",
            "region 0x28-0x50",
            "00000028",
            "*",
            "00000048",
            "00000050",
        ]
    );
}

#[test]
fn endless_zeros_take_no_time() {
    let extent = Extent::with_len(0x1000, 1 << 46).unwrap();
    struct Zeros(MemoryMap);
    impl AddressSpace for Zeros {
        fn map(&self) -> &MemoryMap {
            &self.0
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, ReadError> {
            unreachable!("zeros are known")
        }
        fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
            Ok(vec![Run { extent, presence: Presence::Zero }])
        }
    }
    let map = MemoryMap::new(Space::Process(1), vec![Region::new(extent, RegionKind::Heap)]);
    let zeros = Zeros(map.unwrap());
    let mut text = Vec::new();
    let view = View::new(&zeros, PAGE);
    let result = hexdump(&view, None, &options(16, true, 1 << 20, 2), &mut |event| {
        if let Event::Lines(lines) = event {
            text.extend_from_slice(lines);
        }
        Ok(Flow::Continue)
    });
    result.unwrap();
    // Nor does an end that comes early, where each line is shown.
    let mut events = 0;
    let result = hexdump(&view, None, &options(16, false, 1 << 20, 2), &mut |_| {
        events += 1;
        Ok(Flow::stop_if(events == 3))
    });
    result.unwrap();
    assert_eq!(events, 3);
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with("00001000  00 00") && text.ends_with("|\n*\n400000001000\n"),
        "{text}"
    );
}
