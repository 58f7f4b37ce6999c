//! The diff beside a plain one, that looks at page after page.

use memdump_image::{
    AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Region, RegionKind, Run, Space,
    View,
};
use memdump_inspect::diff::{Event, Options, Pages, Report, diff};
use memdump_inspect::scan::{self, Flow};
use proptest::prelude::*;

const PAGE: u64 = 64;
const PAGES: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Unmapped,
    KnownZero,
    Hole,
    /// Zeros, but for a byte at each of these two places, where it is not 0.
    Memory(u8, u8),
}

/// Memory from address 0 on.
#[derive(Debug)]
struct Made {
    map: MemoryMap,
    pages: Vec<Page>,
}

impl Made {
    fn new(pages: Vec<Page>) -> Self {
        // Runs of mapped pages are regions.
        let mut regions = Vec::new();
        let mut at = 0;
        for run in pages.chunk_by(|a, b| (*a == Page::Unmapped) == (*b == Page::Unmapped)) {
            let extent = Extent::with_len(at, run.len() as u64 * PAGE).unwrap();
            if run[0] != Page::Unmapped {
                regions.push(Region::new(extent, RegionKind::Ram));
            }
            at = extent.end();
        }
        Self { map: MemoryMap::new(Space::Physical, regions).unwrap(), pages }
    }

    fn page(&self, addr: u64) -> Page {
        self.pages[(addr / PAGE) as usize]
    }

    fn byte(&self, addr: u64) -> u8 {
        match (self.page(addr), addr % PAGE) {
            (Page::Memory(byte, _), 5) | (Page::Memory(_, byte), 63) => byte,
            _ => 0,
        }
    }

    fn bytes(&self, addr: u64, len: u64) -> Vec<u8> {
        (addr..addr + len).map(|addr| self.byte(addr)).collect()
    }
}

impl AddressSpace for Made {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        for (byte, addr) in buf.iter_mut().zip(addr..) {
            match self.page(addr) {
                Page::Memory(..) => *byte = self.byte(addr),
                Page::Hole => return Err(ReadError::Fault { addr, cause: Cause::Device }),
                known => panic!("{known:?} was read"),
            }
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

fn page() -> impl Strategy<Value = Page> {
    let byte = || prop::sample::select(vec![0_u8, 0, 1, 2]);
    prop_oneof![
        2 => Just(Page::Unmapped),
        1 => Just(Page::KnownZero),
        1 => Just(Page::Hole),
        6 => (byte(), byte()).prop_map(|(a, b)| Page::Memory(a, b)),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    prop::collection::vec(page(), PAGES as usize).prop_map(Made::new)
}

/// The state of each page, by hand.
fn plain(a: &Made, b: &Made) -> Pages {
    let mut pages = Pages::default();
    for addr in (0..PAGES * PAGE).step_by(PAGE as usize) {
        let (old, new) = (a.bytes(addr, PAGE), b.bytes(addr, PAGE));
        let is_hole = |made: &Made| made.page(addr) == Page::Hole;
        let count = match (a.page(addr), b.page(addr)) {
            _ if is_hole(a) || is_hole(b) => &mut pages.unread,
            _ if old == new && new.iter().all(|&byte| byte == 0) => continue,
            _ if old == new => &mut pages.same,
            _ if old.iter().all(|&byte| byte == 0) => &mut pages.added,
            _ if new.iter().all(|&byte| byte == 0) => &mut pages.gone,
            _ => {
                let differ = old.iter().zip(&new).filter(|(old, new)| old != new);
                pages.changed_bytes += differ.count() as u64;
                &mut pages.changed
            }
        };
        *count += PAGE;
    }
    pages
}

fn options(changes: bool, block_len: usize, threads: usize) -> Options {
    let scan = scan::Options::default().threads(threads).block_len(block_len);
    Options::default().changes(changes).scan(scan)
}

/// The addresses in A and in B, and the bytes in each.
type Told = (u64, u64, Vec<u8>, Vec<u8>);

fn compare(a: &Made, b: &Made, options: &Options) -> (Report, Vec<Told>) {
    let mut changes = Vec::new();
    let (a, b) = (View::new(a, PAGE), View::new(b, PAGE));
    let report = diff(&a, &b, options, &mut |event| {
        if let Event::Change(change) = event {
            changes.push((change.a, change.b, change.old.to_vec(), change.new.to_vec()));
        }
        Ok(Flow::Continue)
    });
    (report.unwrap(), changes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_page_is_counted_once(
        a in made(),
        b in made(),
        block_len in 1_usize..600,
        threads in 1_usize..4,
        changes in any::<bool>(),
    ) {
        let (report, changes_told) = compare(&a, &b, &options(changes, block_len, threads));
        let wanted = plain(&a, &b);
        prop_assert_eq!(report.pages(), wanted);
        let holes = |made: &Made| {
            PAGE * made.pages.iter().filter(|&&page| page == Page::Hole).count() as u64
        };
        prop_assert_eq!(report.holes_b.values().sum::<u64>(), holes(&b));
        prop_assert!(report.holes_a.values().sum::<u64>() <= holes(&a));
        let mapped = |x: &Made, y: &Made| {
            x.map.extents().difference(&y.map.extents()).total()
        };
        prop_assert_eq!(report.rows.iter().map(|row| row.mapped).sum::<u64>(), mapped(&b, &a));
        prop_assert_eq!(report.rows.iter().map(|row| row.unmapped).sum::<u64>(), mapped(&a, &b));
        if changes {
            // The lines that differ, in what both have: all of them, and no others.
            let mut told = Vec::new();
            for (at_a, at_b, old, new) in changes_told {
                prop_assert_eq!(at_a, at_b);
                prop_assert_eq!(&old, &a.bytes(at_a, old.len() as u64));
                prop_assert_eq!(&new, &b.bytes(at_b, new.len() as u64));
                told.extend((at_b..at_b + new.len() as u64).step_by(16));
            }
            let differ: Vec<u64> = (0..PAGES * PAGE).step_by(16).filter(|&addr| {
                let both = a.map.find(addr).is_some() && b.map.find(addr).is_some();
                let readable = a.page(addr) != Page::Hole && b.page(addr) != Page::Hole;
                both && readable && a.bytes(addr, 16) != b.bytes(addr, 16)
            }).collect();
            prop_assert_eq!(told, differ);
        } else {
            prop_assert!(changes_told.is_empty());
        }
    }

    #[test]
    fn what_is_equal_does_not_differ(pages in prop::collection::vec(page(), PAGES as usize)) {
        let (a, b) = (Made::new(pages.clone()), Made::new(pages));
        let (report, changes) = compare(&a, &b, &options(true, 100, 2));
        prop_assert!(!report.differs() && changes.is_empty());
    }
}

#[test]
fn growth_is_told_by_region() {
    let region = |start, end, kind| Region::new(Extent::half_open(start, end).unwrap(), kind);
    let process = |heap_end, full: std::ops::Range<u64>| {
        let regions =
            vec![region(0, heap_end, RegionKind::Heap), region(0xc00, 0x1000, RegionKind::Stack)];
        let pages = (0..PAGES).map(|page| match full.contains(&(page * PAGE)) {
            true => Page::Memory(7, 7),
            false => Page::KnownZero,
        });
        let map = MemoryMap::new(Space::Process(1), regions).unwrap();
        Made { map, pages: pages.collect() }
    };
    let (report, _) =
        compare(&process(0x400, 0..0x200), &process(0xa00, 0..0x900), &options(false, 100, 2));
    assert_eq!(report.rows.len(), 2);
    let heap = &report.rows[0];
    assert_eq!((heap.kind(), heap.mapped, heap.unmapped), (RegionKind::Heap, 0x600, 0));
    assert_eq!(heap.pages, Pages { same: 0x200, added: 0x700, ..Pages::default() });
    assert_eq!(report.pages().growth(), 0x700);
    assert!(heap.differs() && !report.rows[1].differs());
}

#[test]
fn a_sink_that_has_enough_gets_no_more() {
    let page = |byte| Page::Memory(byte, byte);
    let a = Made::new(vec![page(1); PAGES as usize]);
    // Memory is read here, and zeros are known there.
    for other in [page(2), Page::KnownZero] {
        let b = Made::new(vec![other; PAGES as usize]);
        let (a, b) = (View::new(&a, PAGE), View::new(&b, PAGE));
        let mut told = 0;
        let report = diff(&a, &b, &options(true, 100, 2), &mut |event| {
            assert!(told < 3);
            told += u64::from(matches!(event, Event::Change(_)));
            Ok(Flow::stop_if(told == 3))
        });
        assert!(report.unwrap().differs());
        assert_eq!(told, 3);
    }
}
