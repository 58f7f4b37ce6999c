//! Images made to mislead: ranges that overlap, wrap or run backwards, bytes changed anywhere, terabytes in a kilobyte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use memdump_image::ReadAt;
use memdump_image::codec::CODECS;
use memdump_image::format::{self, FORMATS, Format, OpenMode};
use proptest::prelude::*;

use crate::samples::*;
use laid_out::*;

/// A file that counts the bytes that are read from it.
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
    // The segments claim a TiB each, but the stream has 256 MiB.
    let loads: Vec<_> =
        (0..40).map(|i| Load { vaddr: i << 40, paddr: i << 40, size: 1 << 40 }).collect();
    let loads: Vec<(Load, &[u8])> = loads.into_iter().map(|load| (load, &[][..])).collect();
    let notes = elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0\n");
    let mut bomb = elf(&notes, &loads);
    while bomb.len() < 256 << 20 {
        bomb.extend([noise_page(bomb.len() as u64)[..64].to_vec(), vec![0; PAGE - 64]].concat());
    }
    for codec in CODECS {
        let file = Arc::new(Counted(packed(codec.name, &bomb), AtomicU64::new(0)));
        for mode in [OpenMode::Strict, OpenMode::Salvage] {
            let opened = format::open(Arc::clone(&file) as Arc<dyn ReadAt>, mode).unwrap();
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

/// The memory of the range with that number. No two ranges are equal.
fn memory_of(index: usize, pages: u64) -> Vec<u8> {
    (0..pages).flat_map(|page| noise_page(1000 * index as u64 + page)).collect()
}

/// The owner of each page: the first range that names it.
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

/// Returns true if all ranges are valid, and are in ascending order (if `in_order`) or else disjoint.
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
    match open(Arc::new(file.to_vec()), OpenMode::Strict) {
        Ok(_) => assert!(are_sound(ranges, in_order), "{format} {ranges:?}"),
        Err(error) => {
            assert!(!are_sound(ranges, in_order), "{format} {ranges:?}: {error}");
            let text = error.to_string();
            assert!(fields.iter().any(|field| text.contains(field)), "{format}: {text}");
        }
    }
    let image = open(Arc::new(file.to_vec()), OpenMode::Salvage).unwrap();
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
                // A segment has a length instead of an end. This one goes past the last address, or past the end of any file.
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
            let Ok(image) = sample.open(file, OpenMode::Salvage) else { continue };
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
                    let Ok(image) = format.open.unwrap()(Arc::new(file), OpenMode::Salvage) else { continue };
                    for region in image.space.map().regions().iter().take(16) {
                        let _ = image.space.survey(region.extent);
                        let _ = image.space.read_at(region.extent.start(), &mut [0; 64]);
                    }
                }
            }
        }
    }
}
