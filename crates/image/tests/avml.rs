//! AVML's records, compared with streams that snappy itself writes and reads, and tested with noise.

use std::io::{Read, Write};
use std::sync::Arc;

use laid_out::{avml_record as record, record_header as header};
use memdump_image::format::{Format, OpenMode};
use memdump_image::{
    Chunk, Content, Extent, Facts, MemoryMap, Output, Plan, ReadError, Region, RegionKind, Space,
};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn avml() -> &'static Format {
    Format::by_name("avml").unwrap()
}

fn plan(ranges: &[(u64, u64)]) -> Plan {
    let regions = ranges
        .iter()
        .map(|&(start, end)| Region::new(Extent::half_open(start, end).unwrap(), RegionKind::Ram));
    let map = MemoryMap::new(Space::Physical, regions.collect()).unwrap();
    Plan::whole(map, 4096, Facts::default())
}

/// Memory that compresses well, or noise that does not compress.
fn memory(len: usize, shrinks: bool) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|index| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if shrinks { (index / 100) as u8 } else { (state >> 56) as u8 }
        })
        .collect()
}

/// A pipe: bytes that were written cannot be changed.
struct Pipe<'a>(&'a mut Vec<u8>);

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output for Pipe<'_> {}

/// Writes an image to a file.
fn write(plan: &Plan, parts: &[(u64, &[u8])]) -> Vec<u8> {
    let mut image = Vec::new();
    write_to(&mut image, plan, parts);
    image
}

/// Writes an image to a pipe.
fn stream(plan: &Plan, parts: &[(u64, &[u8])]) -> Vec<u8> {
    let mut image = Vec::new();
    write_to(&mut Pipe(&mut image), plan, parts);
    image
}

fn write_to(output: &mut dyn Output, plan: &Plan, parts: &[(u64, &[u8])]) {
    let mut writer = (avml().writer)(output);
    writer.begin(plan).unwrap();
    for (addr, bytes) in parts {
        for (index, piece) in bytes.chunks(1 << 20).enumerate() {
            let addr = addr + index as u64 * MIB;
            writer.chunk(&Chunk { addr, content: Content::Bytes(piece) }).unwrap();
        }
    }
    writer.finish("").unwrap();
}

fn read(image: &[u8], addr: u64, len: usize) -> Result<Vec<u8>, ReadError> {
    let opened = avml().open.unwrap()(Arc::new(image.to_vec()), OpenMode::Strict).unwrap();
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        done += opened.space.read_at(addr + done as u64, &mut bytes[done..])?;
    }
    Ok(bytes)
}

#[test]
fn what_snappy_makes_is_read() {
    let (first, second) = (memory(300_000, true), memory(200_001, false));
    let image = [record(0x1000, &first), record(0x10_0000, &second)].concat();
    assert!(read(&image, 0x1000, 300_000).unwrap() == first);
    assert!(read(&image, 0x10_0000, 200_001).unwrap() == second);
    // A read in the middle that crosses the borders of chunks.
    assert!(read(&image, 0x1000 + 65_535, 70_000).unwrap() == first[65_535..135_535]);
    assert!(read(&image, 0x10_0000 + 131_071, 10).unwrap() == second[131_071..131_081]);
}

#[test]
fn lime_records_may_stand_between() {
    let bytes = memory(5000, true);
    let mut image = record(0, &bytes);
    image.extend(header(b"EMiL", 1, 0x2000, 0x2000 + 4999));
    image.extend(&bytes);
    image.extend(record(0x8000, &bytes));
    for addr in [0, 0x2000, 0x8000] {
        assert!(read(&image, addr, 5000).unwrap() == bytes);
    }
}

#[test]
fn snappy_reads_what_is_written() {
    let bytes = memory(6 << 20, true);
    let image = write(&plan(&[(0x10_0000, 0x10_0000 + 6 * MIB)]), &[(0x10_0000, &bytes)]);
    let mut rest = image.as_slice();
    let mut found = Vec::new();
    for (first, last) in (1..7).map(|at| (at * MIB, (at + 1) * MIB - 1)) {
        assert_eq!(rest[..32], header(b"AVML", 2, first, last));
        let mut memory = vec![0; (last - first + 1) as usize];
        snap::read::FrameDecoder::new(&rest[32..]).read_exact(&mut memory).unwrap();
        // The trailer ends the record. The bytes before it are the stream.
        let len = (0..).find(|&len| {
            rest[32 + len..40 + len] == (len as u64).to_le_bytes()
                && matches!(rest.get(40 + len..44 + len), None | Some(b"AVML"))
        });
        let len = len.unwrap();
        assert!((len as u64) < last - first, "Volatility would not end");
        rest = &rest[40 + len..];
        found.extend(memory);
    }
    assert!(rest.is_empty() && found == bytes);
}

/// The records of an image: start, end, and true if compressed.
fn records(image: &[u8]) -> Vec<(u64, u64, bool)> {
    let mut records = Vec::new();
    let mut rest = image;
    while !rest.is_empty() {
        let word = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
        let (first, last, is_compressed) = (word(8), word(16), rest.starts_with(b"AVML"));
        let len = (last - first + 1) as usize;
        let mut memory = vec![0; len];
        let end = match is_compressed {
            true => {
                snap::read::FrameDecoder::new(&rest[32..]).read_exact(&mut memory).unwrap();
                let ends = |end: usize| word(end) == (end - 32) as u64;
                (32 + 10..32 + len).find(|&end| ends(end)).expect("Volatility would not end") + 8
            }
            false => 32 + len,
        };
        records.push((first / MIB, (last + 1) / MIB, is_compressed));
        rest = &rest[end..];
    }
    records
}

#[test]
fn what_does_not_shrink_is_one_record_with_what_does() {
    let (noise, text) = (memory(4 << 20, false), memory(4 << 20, true));
    let parts: [&[u8]; 5] = [&text, &noise, &noise, &text, &noise];
    let parts: Vec<_> = (0..).step_by(4 << 20).zip(parts).collect();
    let plan = plan(&[(0, 20 * MIB)]);
    for image in [write(&plan, &parts), stream(&plan, &parts)] {
        // The last block that compresses shares a record with the noise after it.
        let single = |at| (at, at + 1, true);
        let expected = [0, 1, 2].map(single).into_iter().chain([(3, 12, true)]);
        let expected = expected.chain([12, 13, 14].map(single)).chain([(15, 20, true)]);
        assert_eq!(records(&image), expected.collect::<Vec<_>>());
        for (addr, part) in &parts {
            assert!(read(&image, *addr, part.len()).unwrap() == *part);
        }
    }
}

#[test]
fn much_noise_needs_what_shrinks_before_it_or_after() {
    let (noise, text) = (memory(40 << 20, false), memory(4 << 20, true));
    let (before, after, alone) = (0, 64 * MIB, 128 * MIB);
    let plan = plan(&[(0, 44 * MIB), (after, after + 44 * MIB), (alone, alone + 4 * MIB)]);
    let parts = [
        (before, &text[..]),
        (before + 4 * MIB, &noise[..]),
        (after, &noise[..]),
        (after + 40 * MIB, &text[..]),
        (alone, &noise[..4 << 20]),
    ];
    // Most blocks that compress are records of their own.
    let long = |image: &[u8]| -> Vec<_> {
        records(image).into_iter().filter(|(first, end, _)| end - first > 1).collect()
    };
    let file = write(&plan, &parts);
    assert_eq!(long(&file), [(3, 44, true), (64, 105, true), (128, 132, false)]);
    let pipe = stream(&plan, &parts);
    assert_eq!(long(&pipe), [(3, 44, true), (64, 96, false), (96, 105, true), (128, 132, false)]);
    for image in [file, pipe] {
        for (addr, part) in parts {
            assert!(read(&image, addr, part.len()).unwrap() == part);
        }
    }
}

#[test]
fn in_a_pipe_noise_is_compressed_as_far_as_what_was_saved_makes_up_for_it() {
    let mut bytes = memory(60 << 20, false);
    // Each chunk of noise is 14 bytes longer than its memory. A MiB has 16 chunks, or 18 if cuts come early.
    bytes[..10_000].fill(0);
    let plan = plan(&[(0, 60 * MIB)]);
    let image = stream(&plan, &[(0, &bytes)]);
    let found = records(&image);
    let (_, end, is_compressed) = found[0];
    assert!(is_compressed && (36..50).contains(&end), "{found:?}");
    assert_eq!(found[1..], [(end, 60, false)]);
    assert!(read(&image, 0, bytes.len()).unwrap() == bytes);
}

#[test]
fn nothing_is_cut_in_two_where_there_are_zeros_to_cut_at() {
    let mut bytes = memory(300_000, true);
    // Text across each multiple of 64 KiB, after zeros.
    for at in (1..4).map(|index| index << 16) {
        bytes[at - 100..at - 50].fill(0);
        bytes[at - 50..at + 200].copy_from_slice(&b"Linux version"[..].repeat(20)[..250]);
    }
    let image = write(&plan(&[(0, 300_000)]), &[(0, &bytes)]);
    let mut at = 32 + 10;
    let mut texts = 0;
    while at + 8 < image.len() {
        let len = u32::from_le_bytes([image[at + 1], image[at + 2], image[at + 3], 0]) as usize;
        let chunk = snap::raw::Decoder::new().decompress_vec(&image[at + 8..at + 4 + len]).unwrap();
        texts += chunk.windows(13).filter(|window| *window == b"Linux version").count();
        at += 4 + len;
    }
    assert_eq!(texts, 3 * 19);
}

#[test]
fn damage_is_found_where_it_is() {
    let bytes = memory(1 << 20, true);
    let image = record(0, &bytes);
    // A change within the third chunk: the checksum does not match.
    let mut chunk = 32 + 10;
    for _ in 0..2 {
        let len = u32::from_le_bytes([image[chunk + 1], image[chunk + 2], image[chunk + 3], 0]);
        chunk += 4 + len as usize;
    }
    let mut damaged = image.clone();
    damaged[chunk + 100] ^= 1;
    assert!(read(&damaged, 0, 128 << 10).unwrap() == bytes[..128 << 10]);
    assert!(matches!(read(&damaged, 128 << 10, 10), Err(ReadError::Fault { .. })));
    assert!(read(&damaged, 192 << 10, 100).unwrap() == bytes[192 << 10..][..100]);
    // Cut short, it is no longer a record.
    for len in (1..image.len()).step_by(97) {
        let error =
            avml().open.unwrap()(Arc::new(image[..len].to_vec()), OpenMode::Strict).err().unwrap();
        assert!(error.to_string().contains("avml image"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn generated_memory_round_trips(
        parts in prop::collection::vec((1u64..40, 1usize..200_000, any::<bool>()), 1..6),
    ) {
        let mut at = 0;
        let parts: Vec<(u64, Vec<u8>)> = parts.into_iter().map(|(gap, len, shrinks)| {
            let start = at + gap * 4096;
            at = (start + len as u64).next_multiple_of(4096);
            (start, memory(len, shrinks))
        }).collect();
        let ranges: Vec<_> =
            parts.iter().map(|(start, bytes)| (*start, start + bytes.len() as u64)).collect();
        let chunks: Vec<_> = parts.iter().map(|(start, bytes)| (*start, bytes.as_slice())).collect();
        let image = write(&plan(&ranges), &chunks);
        prop_assert!(image.len() as u64 <= (avml().size)(&plan(&ranges)));
        for (start, bytes) in &parts {
            prop_assert!(read(&image, *start, bytes.len()).unwrap() == *bytes);
        }
    }
}
