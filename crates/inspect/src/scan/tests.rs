use std::io;

use memdump_image::{
    AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Region, RegionKind, Run, Space,
    View,
};
use proptest::prelude::*;

use super::{Content, Flow, Look, Options, Part, ScanError, scan};

const PAGE: u64 = 64;

/// Made-up memory: what a page is follows from its number.
struct Made {
    map: MemoryMap,
    /// By page: 0 memory, 1 zeros that were never touched, 2 a page that cannot be read.
    pages: Vec<u8>,
}

fn byte_at(addr: u64) -> u8 {
    (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}

impl Made {
    fn page(&self, addr: u64) -> u8 {
        self.pages[(addr / PAGE) as usize % self.pages.len()]
    }
}

impl AddressSpace for Made {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        for (byte, addr) in buf.iter_mut().zip(addr..) {
            *byte = match self.page(addr) {
                2 => return Err(ReadError::Fault { addr, cause: Cause::Unmapped }),
                _ => byte_at(addr),
            };
        }
        Ok(buf.len())
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let mut runs = Vec::new();
        let mut at = extent.start();
        while at < extent.end() {
            let end = extent.end().min((at / PAGE + 1) * PAGE);
            let presence = if self.page(at) == 1 { Presence::Zero } else { Presence::Memory };
            runs.push(Run { extent: Extent::half_open(at, end).unwrap(), presence });
            at = end;
        }
        Ok(runs)
    }
}

/// Sees its surroundings, and checks that they are all there.
struct Surroundings<'a> {
    reach: usize,
    memory: &'a [Option<u8>],
}

impl Look for Surroundings<'_> {
    type Found = Extent;

    fn reach(&self) -> usize {
        self.reach
    }

    fn look(&self, part: &Part<'_>) -> Extent {
        if let Content::Bytes(window) = &part.content {
            assert_eq!(window.addr_of(window.own.start), part.extent.start());
            assert_eq!(window.addr_of(window.own.end), part.extent.end());
            for (index, &byte) in window.bytes.iter().enumerate() {
                assert_eq!(self.memory[window.addr_of(index) as usize], Some(byte));
            }
            // Where fewer bytes are seen, there is no more memory.
            let at = |addr: u64| self.memory.get(addr as usize).copied().flatten();
            if window.own.start < self.reach && self.reach > 0 {
                assert!(window.addr == 0 || at(window.addr - 1).is_none());
            }
            let end = window.addr_of(window.bytes.len());
            if window.bytes.len() - window.own.end < self.reach {
                assert_eq!(at(end), None);
            }
        }
        part.extent
    }
}

proptest! {
    #[test]
    fn every_byte_is_a_parts_own_once_and_sees_its_surroundings(
        ranges in prop::collection::vec((0u64..200, 1u64..700), 0..6),
        pages in prop::collection::vec(0u8..3, 1..40),
        reach in 0usize..100,
        block_len in 1usize..900,
        threads in 1usize..5,
    ) {
        let mut at = 0;
        let regions: Vec<Region> = ranges.iter().zip(0..).map(|(&(gap, len), index)| {
            // Some regions touch.
            let extent = Extent::with_len(at + gap.saturating_sub(100), len).unwrap();
            at = extent.end();
            Region { label: format!("{index}"), ..Region::new(extent, RegionKind::Anonymous) }
        }).collect();
        let map = MemoryMap::new(Space::Process(1), regions).unwrap();
        let made = Made { map: map.clone(), pages };
        let memory: Vec<Option<u8>> = (0..at).map(|addr| {
            map.find(addr).and_then(|_| match made.page(addr) {
                0 => Some(byte_at(addr)),
                1 => Some(0),
                _ => None,
            })
        }).collect();
        let look = Surroundings { reach, memory: &memory };
        let mut parts: Vec<Extent> = Vec::new();
        let mut zero = 0;
        let result = scan(
            &View::new(&made, PAGE),
            &Options::default().threads(threads).block_len(block_len),
            &look,
            &mut |part: &Part<'_>, found| {
                assert_eq!(part.extent, found);
                if let Content::Zero = part.content {
                    zero += found.len();
                }
                parts.push(found);
                Ok(Flow::Continue)
            },
        );
        prop_assert!(result.is_ok());
        let summary = result.unwrap();
        prop_assert!(parts.array_windows().all(|[a, b]| a.end() <= b.start()));
        prop_assert_eq!(parts.iter().map(|part| part.len()).sum::<u64>(), map.total());
        let missing = memory.iter().zip(0..).filter(|(byte, addr)| {
            byte.is_none() && map.find(*addr).is_some()
        });
        prop_assert_eq!(summary.holes.total(), missing.count() as u64);
        prop_assert_eq!(summary.zero, zero);
        prop_assert_eq!(summary.bytes + zero + summary.holes.total(), map.total());
    }
}

#[test]
fn an_error_and_a_stop_end_the_scan_in_order() {
    let extent = Extent::with_len(0, 1 << 20).unwrap();
    let map = MemoryMap::new(Space::Physical, vec![Region::new(extent, RegionKind::Ram)]).unwrap();
    let made = Made { map, pages: vec![0] };
    let memory: Vec<Option<u8>> = (0..1 << 20).map(|addr| Some(byte_at(addr))).collect();
    let scan_until = |answer: fn() -> io::Result<Flow>| {
        let mut seen = 0;
        let result = scan(
            &View::new(&made, PAGE),
            &Options::default().threads(4).block_len(4096),
            &Surroundings { reach: 8, memory: &memory },
            &mut |part: &Part<'_>, _| {
                assert!(seen <= 1 << 18, "nothing is delivered after the end");
                seen = part.extent.end();
                if seen > 1 << 18 { answer() } else { Ok(Flow::Continue) }
            },
        );
        assert!(seen < (1 << 18) + 8192, "{seen}");
        result
    };
    let failed = scan_until(|| Err(io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(failed, Err(ScanError::Deliver(_))));
    let stopped = scan_until(|| Ok(Flow::Stop)).unwrap();
    assert!((1 << 18..(1 << 18) + 8192).contains(&stopped.bytes), "{}", stopped.bytes);
}
