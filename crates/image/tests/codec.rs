//! Compression of whole images, which are unpacked by the plain decoder of each codec, and read at random places.

use std::io::Read;
use std::io::Write as _;
use std::sync::Arc;

use laid_out::packed;
use memdump_image::codec::{CODECS, Codec, unpacked};
use memdump_image::{Output, ReadAt};
use proptest::prelude::*;

fn sample(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    (0..len)
        .map(|index| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if index / 5000 % 3 == 0 { (state >> 60) as u8 } else { (index / 777) as u8 }
        })
        .collect()
}

fn compress(codec: &'static Codec, bytes: &[u8]) -> Vec<u8> {
    let mut compressor = codec.compressor(Vec::new());
    for piece in bytes.chunks(300_001) {
        compressor.write_all(piece).unwrap();
    }
    compressor.zeros(12_345).unwrap();
    compressor.finish().unwrap()
}

/// Unpacks from front to back without the table, as the codec's own program does.
fn unpack(codec: &Codec, packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match codec.name {
        "zstd" => bytes = zstd::decode_all(packed).unwrap(),
        "gzip" => drop(flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut bytes).unwrap()),
        "lz4" => {
            let mut decoder = lz4_flex::frame::FrameDecoder::new(packed);
            while decoder.read_to_end(&mut bytes).unwrap() > 0 {}
        }
        other => panic!("{other}"),
    }
    bytes
}

fn all_of(file: &dyn ReadAt) -> Vec<u8> {
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_usual_programs_unpack_it() {
    for codec in CODECS {
        for len in [0, 1, 4096, (5 << 20) + 17] {
            let wanted = [sample(len), vec![0; 12_345]].concat();
            let packed = compress(codec, &sample(len));
            assert!(unpack(codec, &packed) == wanted, "{} {len}", codec.name);
            let (found, file) = unpacked(Arc::new(packed)).unwrap();
            assert_eq!(found.unwrap().name, codec.name);
            assert!(all_of(&*file) == wanted, "{} {len}", codec.name);
        }
    }
}

#[test]
fn one_stream_is_read_backwards_too() {
    // Longer than what is kept in memory.
    let bytes = sample(28 << 20);
    for codec in CODECS {
        let (_, file) = unpacked(Arc::new(packed(codec.name, &bytes))).unwrap();
        assert_eq!(file.size().unwrap(), bytes.len() as u64, "{}", codec.name);
        for at in [27 << 20, 5, 20 << 20, (28 << 20) - 3, 0] {
            let mut found = vec![0; 3];
            file.read_exact_at(at as u64, &mut found).unwrap();
            assert!(found == bytes[at..at + 3], "{} at {at}", codec.name);
        }
        assert_eq!(file.read_at(28 << 20, &mut [0; 10]).unwrap(), 0);
    }
}

#[test]
fn damage_is_an_error_and_costs_one_frame() {
    let zstd = Codec::by_name("zstd").unwrap();
    let bytes = sample(4 << 20);
    let mut packed = compress(zstd, &bytes);
    packed[20] ^= 0x55;
    let (_, file) = unpacked(Arc::new(packed)).unwrap();
    assert!(file.read_at(0, &mut [0; 100]).is_err());
    let mut found = vec![0; 1 << 20];
    file.read_exact_at(1 << 20, &mut found).unwrap();
    assert!(found == bytes[1 << 20..2 << 20]);
}

#[test]
fn what_is_cut_short_is_an_error() {
    let bytes = sample(100_000);
    for codec in CODECS {
        let packed = packed(codec.name, &bytes);
        for len in (8..packed.len() - 1).step_by(packed.len() / 50 + 1) {
            let (_, file) = unpacked(Arc::new(packed[..len].to_vec())).unwrap();
            let mut found = vec![0; bytes.len()];
            assert!(file.read_exact_at(0, &mut found).is_err(), "{} at {len}", codec.name);
        }
    }
}

#[test]
fn a_table_that_lies_is_not_believed() {
    let zstd = Codec::by_name("zstd").unwrap();
    let bytes = sample(3 << 20);
    let wanted = [bytes.clone(), vec![0; 12_345]].concat();
    let packed = compress(zstd, &bytes);
    let table = packed.len() - 9 - 4 * 8 - 8;
    for at in table..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x41;
        // The file is read without the table, or it is an error. It never gives wrong bytes.
        let Ok((_, file)) = unpacked(Arc::new(damaged)) else { continue };
        let mut found = vec![0; 1000];
        if file.read_exact_at(2 << 20, &mut found).is_ok() {
            assert!(found == wanted[2 << 20..][..1000], "byte {}", at - table);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn reads_anywhere_give_what_stands_there(
        reads in prop::collection::vec((0usize..3 << 20, 1usize..300_000), 1..20),
    ) {
        let bytes = [sample(3 << 20), vec![0; 12_345]].concat();
        for codec in CODECS {
            let (_, file) = unpacked(Arc::new(compress(codec, &bytes[..3 << 20]))).unwrap();
            for &(at, len) in &reads {
                let len = len.min(bytes.len() - at);
                let mut found = vec![0; len];
                file.read_exact_at(at as u64, &mut found).unwrap();
                prop_assert!(found == bytes[at..at + len]);
            }
        }
    }
}
