//! Against a search that looks at one character at a time, as `strings(1)` does.

use memdump_image::{
    AddressSpace, Cause, Extent, MemoryMap, ReadError, Region, RegionKind, Space, View,
};
use proptest::prelude::*;

use super::{Event, Options, find};
use crate::scan::{self, Flow};
use crate::text::Encoding;

/// Bytes at address 0; pages that cannot be read are as given.
struct Bytes {
    map: MemoryMap,
    bytes: Vec<u8>,
    bad: Vec<u64>,
}

const PAGE: u64 = 64;

impl AddressSpace for Bytes {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let end = addr + buf.len() as u64;
        if self.bad.iter().any(|&page| page * PAGE < end && addr < (page + 1) * PAGE) {
            return Err(ReadError::Fault { addr, cause: Cause::Unmapped });
        }
        buf.copy_from_slice(&self.bytes[addr as usize..end as usize]);
        Ok(buf.len())
    }
}

/// The strings that are found; parts of one string joined.
fn found(
    space: &Bytes,
    encodings: &[Encoding],
    min_len: usize,
    scan: scan::Options,
) -> Vec<(u64, Encoding, Vec<u8>)> {
    let options = Options::default().encodings(encodings.iter().copied()).min_len(min_len);
    let options = options.in_parts(true).scan(scan);
    let mut all: Vec<(u64, Encoding, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    let mut done = 0;
    let result = find(&View::new(space, PAGE), &options, &mut |event| {
        let strings = match event {
            Event::Strings(strings) => strings,
            Event::Progress(len) => {
                done += len;
                return Ok(Flow::Continue);
            }
        };
        for string in strings.iter() {
            assert_eq!(string.is_first, !is_open);
            is_open = !string.is_last;
            match string.is_first {
                true => all.push((string.addr, string.encoding, string.text.to_vec())),
                false => all.last_mut().unwrap().2.extend(string.text),
            }
        }
        Ok(Flow::Continue)
    });
    result.unwrap();
    assert!(!is_open);
    assert_eq!(done, space.map.total());
    all
}

/// The character at `at`, and its length.
fn char_at(bytes: &[u8], encoding: Encoding, at: usize) -> Option<(Vec<u8>, usize)> {
    let unit = |len: usize| bytes.get(at..at + len);
    let (code, len) = match encoding {
        Encoding::Ascii | Encoding::Latin => (u32::from(unit(1)?[0]), 1),
        Encoding::Utf16Le => (u32::from(u16::from_le_bytes(unit(2)?.try_into().unwrap())), 2),
        Encoding::Utf16Be => (u32::from(u16::from_be_bytes(unit(2)?.try_into().unwrap())), 2),
        Encoding::Utf32Le => (u32::from_le_bytes(unit(4)?.try_into().unwrap()), 4),
        Encoding::Utf32Be => (u32::from_be_bytes(unit(4)?.try_into().unwrap()), 4),
        Encoding::Utf8 => {
            let rest = &bytes[at..bytes.len().min(at + 4)];
            let text = match std::str::from_utf8(rest) {
                Ok(text) => text,
                Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap(),
            };
            let c = text.chars().next()?;
            let text = c.to_string().into_bytes();
            return crate::text::is_printable_char(c).then_some((text.clone(), text.len()));
        }
    };
    let is_printable = code == 9 || (0x20..0x7f).contains(&code);
    let is_high = encoding == Encoding::Latin && (0x80..0x100).contains(&code);
    (is_printable || is_high).then(|| (vec![code as u8], len))
}

/// The loop of `strings(1)`: where a character is none, it begins again at the next byte.
fn expected(space: &Bytes, encoding: Encoding, min_len: usize) -> Vec<(u64, Encoding, Vec<u8>)> {
    let mut all = Vec::new();
    let is_bad =
        |at: usize| space.map.find(at as u64).is_none() || space.bad.contains(&(at as u64 / PAGE));
    let mut begin = 0;
    while begin < space.bytes.len() {
        if is_bad(begin) {
            begin += 1;
            continue;
        }
        let end = (begin..space.bytes.len()).find(|&at| is_bad(at)).unwrap_or(space.bytes.len());
        let stretch = &space.bytes[begin..end];
        let mut at = 0;
        while at < stretch.len() {
            let (start, mut text, mut count) = (at, Vec::new(), 0);
            while let Some((letter, len)) = char_at(stretch, encoding, at) {
                text.extend(letter);
                (at, count) = (at + len, count + 1);
            }
            if count >= min_len {
                all.push(((begin + start) as u64, encoding, text));
            }
            at += 1;
        }
        begin = end;
    }
    all
}

/// Bytes of which long and short strings in all encodings are made.
fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(prop::sample::select(&b"ab \t\0\0\n\x7f\x80\xc3\xa9"[..]), 0..40),
        (0usize..7, 1usize..90).prop_map(|(which, len)| {
            let text = "héllo wörld €uro 𝄞 ".chars().cycle().take(len).collect::<String>();
            let ascii: String = "the quick brown fox ".chars().cycle().take(len).collect();
            let encoding = Encoding::ALL[which];
            encoding.encode(if encoding == Encoding::Utf8 { &text } else { &ascii }).unwrap()
        }),
        (1usize..300, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn strings_are_those_of_the_slow_search(
        bytes in some_bytes(),
        gaps in prop::collection::vec((0u64..1500, 1u64..90), 0..3),
        bad in prop::collection::vec(0u64..30, 0..3),
        encoding in prop::sample::select(&Encoding::ALL[..]),
        min_len in 1usize..20,
        block_len in 1usize..400,
        threads in 1usize..4,
    ) {
        let len = bytes.len() as u64;
        let all: memdump_image::ExtentSet = Extent::half_open(0, len).into_iter().collect();
        let gaps = gaps.into_iter().map(|(start, len)| Extent::with_len(start, len).unwrap()).collect();
        // Neighbouring regions of two sorts: strings go on across their border.
        let regions = all.difference(&gaps).iter().flat_map(|extent| {
            let (a, b) = extent.split_at(extent.len() / 2);
            a.map(|a| Region::new(a, RegionKind::Heap)).into_iter()
                .chain(b.map(|b| Region::new(b, RegionKind::Stack)))
                .collect::<Vec<_>>()
        }).collect();
        let map = MemoryMap::new(Space::Process(1), regions).unwrap();
        let space = Bytes { map, bytes, bad };
        let options = scan::Options::default().threads(threads).block_len(block_len);
        let one = found(&space, &[encoding], min_len, options);
        prop_assert_eq!(&one, &expected(&space, encoding, min_len));

        let several = [Encoding::Ascii, Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be];
        let mut all: Vec<_> =
            several.iter().flat_map(|&encoding| expected(&space, encoding, min_len)).collect();
        all.sort();
        prop_assert_eq!(found(&space, &several, min_len, options), all);
    }
}

#[test]
fn a_sink_that_has_enough_gets_no_more() {
    let bytes = b"one string\0".repeat(1000);
    let extent = Extent::with_len(0, bytes.len() as u64).unwrap();
    let map = MemoryMap::new(Space::Physical, vec![Region::new(extent, RegionKind::Ram)]).unwrap();
    let space = Bytes { map, bytes, bad: Vec::new() };
    for limit in [1, 5] {
        let mut events = 0;
        let options = Options::default().scan(scan::Options::default().threads(3).block_len(100));
        let summary = find(&View::new(&space, PAGE), &options, &mut |_| {
            events += 1;
            assert!(events <= limit);
            Ok(Flow::stop_if(events == limit))
        });
        assert!(summary.unwrap().bytes < 1000, "it ended early");
        assert_eq!(events, limit);
    }
}
