//! Made-up kcore files, laid out byte by byte, for each way in which a kernel's may look.

use std::fs;
use std::path::PathBuf;

use memdump_image::RegionKind;
use proptest::prelude::*;

use super::*;

const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
const TEXT: u64 = 0xffff_ffff_8100_0000;
const VMALLOC: u64 = 0xffff_c900_0000_0000;

/// A directory that looks like `/proc`.
struct Made {
    folder: tempfile::TempDir,
    /// `p_offset`, `p_vaddr`, `p_paddr`, size.
    segments: Vec<[u64; 4]>,
}

/// The bytes at a physical address.
fn byte_at(phys: u64) -> u8 {
    (phys >> 12) as u8 ^ phys as u8
}

impl Made {
    fn new(iomem: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("iomem"), iomem).unwrap();
        Self { folder, segments: Vec::new() }
    }

    /// A segment of RAM from a physical address to one beyond, whose bytes are in the file.
    fn ram(mut self, start: u64, end: u64) -> Self {
        self.segments.push([0x1_0000 + start, DIRECT_MAP + start, start, end - start]);
        self
    }

    fn segment(mut self, offset: u64, vaddr: u64, paddr: u64, len: u64) -> Self {
        self.segments.push([offset, vaddr, paddr, len]);
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kcore")
    }

    /// Writes the file anew.
    fn write(&self) {
        let count = self.segments.len();
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
        for word in [0_u64, 64, 0] {
            head.extend(word.to_le_bytes());
        }
        head.extend([0, 0, 0, 0, 64, 0, 56, 0, count as u8, 0, 0, 0, 0, 0, 0, 0]);
        for [offset, vaddr, paddr, len] in &self.segments {
            head.extend([1, 0, 0, 0, 7, 0, 0, 0]);
            for word in [offset, vaddr, paddr, len, len, &0] {
                head.extend(word.to_le_bytes());
            }
        }
        let file = File::create(self.path()).unwrap();
        file.write_all_at(&head, 0).unwrap();
        for [offset, vaddr, _, len] in &self.segments {
            if let Some(start) = vaddr.checked_sub(DIRECT_MAP).filter(|&start| start < 1 << 24) {
                let bytes: Vec<u8> = (start..start + len).map(byte_at).collect();
                file.write_all_at(&bytes, *offset).unwrap();
            }
        }
    }

    fn flags(&self, flags: &[u64]) {
        let bytes: Vec<u8> = flags.iter().flat_map(|flags| flags.to_ne_bytes()).collect();
        fs::write(self.folder.path().join("kpageflags"), bytes).unwrap();
    }

    fn open(&self) -> Result<Physical, Reason> {
        self.write();
        super::open(&Machine::of_kcore(&self.path()), &self.path())
    }
}

fn extents(physical: &Physical) -> Vec<(u64, u64)> {
    let regions = physical.space.map().regions().iter();
    regions.map(|region| (region.extent.start(), region.extent.end())).collect()
}

/// Reads all of a range.
fn read(physical: &Physical, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0; (end - start) as usize];
    let mut done = 0;
    while done < bytes.len() {
        done += physical.space.read_at(start + done as u64, &mut bytes[done..]).unwrap();
    }
    bytes
}

fn cause(error: ReadError) -> Cause {
    match error {
        ReadError::Fault { cause, .. } => cause,
        ReadError::Io(error) => panic!("{error}"),
    }
}

const IOMEM: &str = "00001000-0003ffff : System RAM\n00100000-0013ffff : System RAM\n";

#[test]
fn aliases_of_ram_are_no_ram() {
    let made = Made::new(IOMEM)
        .segment(0x9000_0000, TEXT, 0x2000, 0x1000) // KCORE_TEXT
        .segment(0x9100_0000, VMALLOC, NO_PADDR, 1 << 45)
        .ram(0x1000, 0x4_0000)
        .segment(0x9200_0000, 0xffff_9000_0000_0000, 0x3000, 0x1000) // KCORE_REMAP
        .ram(0x10_0000, 0x14_0000);
    let physical = made.open().unwrap();
    assert_eq!(extents(&physical), [(0x1000, 0x4_0000), (0x10_0000, 0x14_0000)]);
    assert!(
        physical.omitted.is_empty() && physical.space.map().regions()[0].kind == RegionKind::Ram
    );
    assert_eq!(physical.space.map().regions()[1].alias, Some(DIRECT_MAP + 0x10_0000));
    let expected: Vec<u8> = (0x1234..0x3_0000).map(byte_at).collect();
    assert!(read(&physical, 0x1234, 0x3_0000) == expected);
    let kernel = physical.kernel.unwrap();
    assert_eq!((kernel.image.len(), kernel.mapped.len()), (2, 1));
}

#[test]
fn only_what_both_accounts_call_ram_is_read() {
    // The kernel has a segment that iomem does not know, and iomem RAM that has no segment.
    let made = Made::new("00001000-0003ffff : System RAM\n00200000-0020ffff : System RAM\n")
        .ram(0x1000, 0x4_0000)
        .ram(0x8_0000, 0x9_0000);
    let physical = made.open().unwrap();
    assert_eq!(extents(&physical), [(0x1000, 0x4_0000)]);
    let error = physical.space.read_at(0x20_0000, &mut [0; 16]).unwrap_err();
    assert_eq!(cause(error), Cause::NotOffered);
    let hole =
        Hole { extent: Extent::half_open(0x20_0000, 0x21_0000).unwrap(), cause: Cause::NotOffered };
    assert_eq!(physical.omitted, [hole]);
    assert!(physical.differences.iter().any(|difference| difference.contains("0x80000-0x90000")));
}

#[test]
fn a_partial_page_is_a_hole_with_a_cause() {
    let made = Made::new("00001000-0003fbff : System RAM\n").ram(0x1000, 0x3_f000);
    let physical = made.open().unwrap();
    let extent = Extent::inclusive(0x3_f000, 0x3_fbff).unwrap();
    assert_eq!(physical.omitted, [Hole { extent, cause: Cause::PartialPage }]);
}

#[test]
fn a_page_that_two_ranges_share_is_in_neither() {
    // As EFI's setup_data cuts RAM: the page at 0x20000 belongs to no segment and reads as zeros.
    let iomem = "00001000-000203ff : System RAM\n00020400-0003ffff : System RAM\n";
    let made = Made::new(iomem).ram(0x1000, 0x2_0000).ram(0x2_1000, 0x4_0000);
    let physical = made.open().unwrap();
    assert_eq!(extents(&physical), [(0x1000, 0x2_0000), (0x2_1000, 0x4_0000)]);
    let extent = Extent::half_open(0x2_0000, 0x2_1000).unwrap();
    assert_eq!(physical.omitted, [Hole { extent, cause: Cause::PartialPage }]);
}

#[test]
fn ram_of_drivers_is_ram_and_keeps_its_name() {
    let iomem = "00001000-0003ffff : System RAM\n00100000-0013ffff : CXL Window 0\n  \
                 00100000-0013ffff : dax0.0\n    00100000-0013ffff : System RAM (kmem)\n";
    let made = Made::new(iomem).ram(0x1000, 0x4_0000).ram(0x10_0000, 0x14_0000);
    let physical = made.open().unwrap();
    assert_eq!(physical.space.map().regions()[1].label, "System RAM (kmem)");
    assert!(physical.omitted.is_empty());
}

#[test]
fn without_addresses_in_iomem_kcores_own_are_taken_and_that_is_said() {
    let made = Made::new("00000000-00000000 : System RAM\n").ram(0x1000, 0x4_0000);
    let physical = made.open().unwrap();
    assert_eq!(extents(&physical), [(0x1000, 0x4_0000)]);
    let said = physical.differences.iter().any(|difference| difference.contains("CAP_SYS_ADMIN"));
    assert!(said, "{:?}", physical.differences);
}

#[test]
fn kernels_without_physical_addresses_are_checked_by_arithmetic() {
    let old = |iomem: &str| {
        let mut made = Made::new(iomem)
            .segment(0x9000_0000, TEXT, 0, 0x1000)
            .segment(0x9100_0000, VMALLOC, 0, 1 << 45)
            .ram(0x1000, 0x4_0000)
            .ram(0x10_0000, 0x14_0000);
        made.segments.iter_mut().for_each(|segment| segment[2] = 0);
        made
    };
    let made = old(IOMEM);
    let physical = made.open().unwrap();
    assert_eq!(extents(&physical), [(0x1000, 0x4_0000), (0x10_0000, 0x14_0000)]);
    let expected: Vec<u8> = (0x10_0000..0x10_2000).map(byte_at).collect();
    assert!(read(&physical, 0x10_0000, 0x10_2000) == expected);

    for iomem in ["00001000-0003ffff : System RAM\n00500000-0053ffff : System RAM\n", "none\n"] {
        let made = old(iomem);
        assert_eq!(made.open().err(), Some(Reason::NoPhysicalAddresses), "{iomem}");
    }
}

#[test]
fn pages_that_the_flags_object_to_are_not_read() {
    let made = Made::new(IOMEM).ram(0x1000, 0x4_0000);
    let mut flags = vec![0; 64];
    (flags[0x10], flags[0x11], flags[0x20]) = (1 << 19, 1 << 23, 1 << 20);
    made.flags(&flags);
    let physical = made.open().unwrap();
    let mut buf = vec![0; 0x3_f000];
    // The good pages before, then a fault at each bad one, then on.
    assert_eq!(physical.space.read_at(0x1000, &mut buf).unwrap(), 0xf000);
    let cause_at = |addr| cause(physical.space.read_at(addr, &mut [0; 4096]).unwrap_err());
    assert_eq!(cause_at(0x1_0000), Cause::Poisoned);
    assert_eq!(cause_at(0x1_0fff), Cause::Poisoned);
    assert_eq!(cause_at(0x1_1000), Cause::Offline);
    assert_eq!(cause_at(0x2_0000), Cause::Removed);
    assert_eq!(physical.space.read_at(0x1_2000, &mut buf).unwrap(), 0xe000);
}

#[test]
fn memory_that_comes_and_goes_is_noticed() {
    let mut made = Made::new(IOMEM).ram(0x1000, 0x4_0000).ram(0x10_0000, 0x14_0000);
    let physical = made.open().unwrap();
    assert_eq!((physical.recheck)().unwrap(), []);
    made.segments.pop();
    made = made.ram(0x20_0000, 0x21_0000);
    made.write();
    let holes = (physical.recheck)().unwrap();
    let hole = |start, end, cause| Hole { extent: Extent::half_open(start, end).unwrap(), cause };
    assert_eq!(
        holes,
        [hole(0x10_0000, 0x14_0000, Cause::Removed), hole(0x20_0000, 0x21_0000, Cause::Added)]
    );
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let malformed = |made: Made| matches!(made.open(), Err(Reason::Malformed(_)));
    assert!(malformed(Made::new(IOMEM).segment(0, VMALLOC, NO_PADDR, 4096)));
    assert!(malformed(Made::new(IOMEM).ram(0x1000, 0x4_0000).ram(0x3_0000, 0x5_0000)));
    assert!(malformed(Made::new(IOMEM).segment(
        u64::MAX - 5,
        DIRECT_MAP + (1 << 24),
        1 << 24,
        4096
    )));
    assert!(malformed(Made::new(IOMEM).segment(0, DIRECT_MAP + (1 << 24), 1 << 24, u64::MAX)));
}

#[test]
fn an_empty_file_is_a_containers_mask() {
    let made = Made::new(IOMEM);
    fs::write(made.path(), "").unwrap();
    let machine = Machine::of_kcore(&made.path());
    assert_eq!(super::open(&machine, &made.path()).err(), Some(Reason::Masked));
}

proptest! {
    #[test]
    fn hostile_headers_are_survived(
        segments in prop::collection::vec(any::<[u64; 4]>(), 0..6),
        small in prop::collection::vec((0u64..99, 0u64..99, 1u64..99), 0..6),
        iomem in "([0-9a-f]{0,9}-[0-9a-f]{0,9} : System RAM\n){0,4}",
    ) {
        let mut made = Made::new(&iomem);
        made.segments = segments;
        for (vaddr, paddr, len) in small {
            made.segments.push([0, (1 << 40) + vaddr * 4096, paddr * 4096, len * 4096]);
        }
        if let Ok(physical) = made.open() {
            for region in physical.space.map().regions() {
                // A short file ends before its segments do: that is a fault, and no panic.
                let _ = physical.space.read_at(region.extent.start(), &mut [0; 64]);
                let _ = physical.space.read_at(region.extent.last(), &mut [0; 64]);
            }
        }
    }
}
