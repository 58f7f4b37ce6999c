//! The loop against a made-up memory with bad pages, by every route to a hole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::{
    Cause, Extent, ExtentSet, Facts, HoleEncoding, MemoryMap, ReadError, Region, RegionKind, Space,
};

const PAGE: u64 = 4096;

/// Memory whose bytes follow from their addresses, with bad pages.
struct Patterned {
    map: MemoryMap,
    bad: BTreeSet<u64>,
    /// True if a read gives the bytes before a bad page; otherwise it fails whole, as `/proc/kcore` does.
    gives_prefix: bool,
    reads: AtomicUsize,
}

fn byte_at(addr: u64) -> u8 {
    (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl AddressSpace for Patterned {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let end = addr + buf.len() as u64;
        let bad = self.bad.iter().map(|page| page * PAGE).find(|&p| p < end && p + PAGE > addr);
        let readable = bad.map_or(end, |page| page.max(addr)) - addr;
        if bad.is_some() && (readable == 0 || !self.gives_prefix) {
            return Err(ReadError::Fault { addr, cause: Cause::Unmapped });
        }
        for (byte, addr) in buf.iter_mut().zip(addr..).take(readable as usize) {
            *byte = byte_at(addr);
        }
        Ok(readable as usize)
    }
}

/// Keeps what it is given, and checks the writer's contract.
#[derive(Default)]
struct Recorder {
    bytes: Vec<(u64, Vec<u8>)>,
    holes: Vec<(Extent, Cause)>,
    next: u64,
    finished: bool,
}

impl ImageWriter for Recorder {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Kept
    }

    fn begin(&mut self, _: &Plan) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        assert!(chunk.addr >= self.next, "chunks ascend");
        self.next = chunk.addr + chunk.len();
        match chunk.content {
            Content::Bytes(bytes) => self.bytes.push((chunk.addr, bytes.to_vec())),
            Content::Zero { len } => self.bytes.push((chunk.addr, vec![0; len as usize])),
            Content::Hole { len, cause } => {
                self.holes.push((Extent::with_len(chunk.addr, len).unwrap(), cause));
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}

/// Stops after so many chunks.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn chunk(&mut self, _: &Chunk<'_>) -> io::Result<()> {
        self.0 -= 1;
        Ok(())
    }

    fn wants_stop(&self) -> bool {
        self.0 == 0
    }
}

const NEVER: StopAfter = StopAfter(usize::MAX);

fn patterned(ranges: &[(u64, u64)], bad: &[u64], gives_prefix: bool) -> Patterned {
    let regions = ranges
        .iter()
        .map(|&(start, end)| Region::new(Extent::half_open(start, end).unwrap(), RegionKind::Ram));
    let map = MemoryMap::new(Space::Physical, regions.collect()).unwrap();
    Patterned { map, bad: bad.iter().copied().collect(), gives_prefix, reads: 0.into() }
}

fn plan_of(space: &Patterned) -> Plan {
    Plan::whole(space.map.clone(), PAGE, Facts::default())
}

const OPTIONS: CopyOptions =
    CopyOptions { read_size: 64 << 10, readers: 2, limit: None, no_zeros: false };

#[test]
fn one_bad_page_costs_one_page_and_few_reads() {
    for gives_prefix in [false, true] {
        let space = patterned(&[(0, 1 << 20)], &[77], gives_prefix);
        let mut recorder = Recorder::default();
        let (summary, result) =
            copy(&space, &plan_of(&space), &mut recorder, &OPTIONS, &mut { NEVER });
        result.unwrap();
        assert_eq!(summary.bytes, (1 << 20) - PAGE);
        let hole = Extent::with_len(77 * PAGE, PAGE).unwrap();
        assert_eq!(recorder.holes, [(hole, Cause::Unmapped)]);
        assert!(recorder.finished);
        let reads = space.reads.load(Ordering::Relaxed);
        assert!(reads < 16 + 16, "{reads} reads for 16 blocks with one bad page");
    }
}

#[test]
fn the_limit_counts_what_was_read_and_not_holes() {
    let space = patterned(&[(0, 1 << 20), (4 << 20, 5 << 20)], &[0, 1], false);
    let mut recorder = Recorder::default();
    let options = CopyOptions { limit: Some((1 << 20) + 1), ..OPTIONS };
    let (summary, result) = copy(&space, &plan_of(&space), &mut recorder, &options, &mut { NEVER });
    result.unwrap();
    assert_eq!(summary.bytes, (1 << 20) + 1);
    assert_eq!(recorder.next, (4 << 20) + 2 * PAGE + 1);
}

#[test]
fn more_readers_than_buffers_end() {
    let space = patterned(&[(0, 100 << 20)], &[], false);
    let options = CopyOptions {
        read_size: CopyOptions::MAX_READ_SIZE,
        readers: 9,
        limit: None,
        no_zeros: false,
    };
    let mut stop = StopAfter(usize::MAX);
    let mut sum = Sum(0);
    let (summary, result) = copy(&space, &plan_of(&space), &mut sum, &options, &mut stop);
    result.unwrap();
    assert_eq!((summary.bytes, sum.0), (100 << 20, 100 << 20));
}

/// Only counts.
struct Sum(u64);

impl ImageWriter for Sum {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Kept
    }

    fn begin(&mut self, _: &Plan) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.0 += chunk.len();
        Ok(())
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stop_and_a_failing_writer_end_the_threads_too() {
    struct Full;
    impl ImageWriter for Full {
        fn hole_encoding(&self) -> HoleEncoding {
            HoleEncoding::Kept
        }

        fn begin(&mut self, _: &Plan) -> io::Result<()> {
            Ok(())
        }
        fn chunk(&mut self, _: &Chunk<'_>) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn finish(&mut self, _: &str) -> io::Result<()> {
            unreachable!("a failed image is not finished")
        }
    }
    let space = patterned(&[(0, 64 << 20)], &[], false);
    let plan = plan_of(&space);
    let (_, result) = copy(&space, &plan, &mut Full, &OPTIONS, &mut { NEVER });
    assert!(
        matches!(result, Err(CopyError::Write(error)) if error.kind() == io::ErrorKind::StorageFull)
    );

    let mut recorder = Recorder::default();
    let (summary, result) = copy(&space, &plan, &mut recorder, &OPTIONS, &mut StopAfter(3));
    assert!(matches!(result, Err(CopyError::Stopped)));
    assert_eq!(summary.bytes, 3 * (256 << 10));
    assert!(!recorder.finished);
}

#[test]
fn a_read_that_takes_long_is_not_waited_for() {
    /// A byte at a time, and slowly.
    struct Slow(Patterned);
    impl AddressSpace for Slow {
        fn map(&self) -> &MemoryMap {
            self.0.map()
        }
        fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
            std::thread::sleep(Duration::from_millis(1));
            self.0.read_at(addr, &mut buf[..1])
        }
    }
    let space = Slow(patterned(&[(0, 1 << 20)], &[], false));
    let plan = plan_of(&space.0);
    let started = Instant::now();
    let (summary, result) =
        copy(&space, &plan, &mut Recorder::default(), &OPTIONS, &mut StopAfter(0));
    assert!(matches!(result, Err(CopyError::Stopped)), "{result:?}");
    assert_eq!(summary.bytes, 0);
    // All of it would take 17 minutes, a block of it four.
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_source_that_fails_is_named_with_its_address() {
    struct Broken(Patterned);
    impl AddressSpace for Broken {
        fn map(&self) -> &MemoryMap {
            self.0.map()
        }
        fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
            if addr >= 0x10_0000 {
                return Err(io::Error::from_raw_os_error(19).into());
            }
            self.0.read_at(addr, buf)
        }
    }
    let space = Broken(patterned(&[(0, 2 << 20)], &[], false));
    let plan = plan_of(&space.0);
    let (summary, result) = copy(&space, &plan, &mut Recorder::default(), &OPTIONS, &mut { NEVER });
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("cannot read memory at 0x100000:"), "{error}");
    assert_eq!(summary.bytes, 1 << 20);
}

proptest! {
    #[test]
    fn every_good_byte_arrives_and_every_bad_page_is_a_hole(
        bad in prop::collection::btree_set(0u64..200, 0..40),
        starts in prop::collection::vec((0u64..40 * PAGE, 1u64..60 * PAGE), 1..4),
        read_size in prop_oneof![Just(1usize << 20), Just(4096), Just(12345), 500usize..100_000],
        readers in 1usize..5,
        gives_prefix: bool,
    ) {
        let mut at = 0;
        let ranges: Vec<(u64, u64)> = starts.iter().map(|&(gap, len)| {
            let start = at + gap + 1;
            at = start + len;
            (start, at)
        }).collect();
        let bad: Vec<u64> = bad.into_iter().collect();
        let space = patterned(&ranges, &bad, gives_prefix);
        let mut recorder = Recorder::default();
        let options = CopyOptions { read_size, readers, limit: None, no_zeros: false };
        let (summary, result) =
            copy(&space, &plan_of(&space), &mut recorder, &options, &mut { NEVER });
        prop_assert!(result.is_ok());

        let pages: ExtentSet =
            bad.iter().map(|page| Extent::with_len(page * PAGE, PAGE).unwrap()).collect();
        let all = space.map.extents();
        let holes: ExtentSet = recorder.holes.iter().map(|hole| hole.0).collect();
        prop_assert_eq!(&holes, &all.intersection(&pages));
        let taken: ExtentSet = recorder.bytes.iter()
            .map(|(addr, bytes)| Extent::with_len(*addr, bytes.len() as u64).unwrap())
            .collect();
        prop_assert_eq!(&taken, &all.difference(&pages));
        prop_assert_eq!(summary.bytes, taken.total());
        prop_assert_eq!(summary.holes.total(), holes.total());
        for (addr, bytes) in &recorder.bytes {
            prop_assert!(bytes.iter().zip(*addr..).all(|(&byte, addr)| byte == byte_at(addr)));
        }
    }
}
