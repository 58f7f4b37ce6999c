//! Against a search that looks at each address by itself.

use memdump_image::{
    AddressSpace, Extent, ExtentSet, MemoryMap, ReadError, Region, RegionKind, Space, View,
};
use proptest::prelude::*;

use super::{Event, Match, Options, Pattern, Search, What};
use crate::scan::{self, Flow};

/// Bytes from this address on.
const BASE: u64 = 0x1_0000;

struct Bytes(MemoryMap, Vec<u8>);

impl AddressSpace for Bytes {
    fn map(&self) -> &MemoryMap {
        &self.0
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let at = (addr - BASE) as usize;
        buf.copy_from_slice(&self.1[at..at + buf.len()]);
        Ok(buf.len())
    }
}

impl Bytes {
    /// The bytes, in one region.
    fn new(bytes: Vec<u8>) -> Self {
        let extent = Extent::with_len(BASE, bytes.len() as u64);
        let regions = extent.map(|extent| Region::new(extent, RegionKind::Heap));
        Self(MemoryMap::new(Space::Process(1), regions.into_iter().collect()).unwrap(), bytes)
    }

    /// Sends the matches to `each`.
    fn search(
        &self,
        patterns: &[Pattern],
        options: &Options,
        each: &mut (dyn FnMut(&Match<'_>) -> Flow + Send),
    ) {
        let result =
            Search::new(patterns).unwrap().run(&View::new(self, 4096), options, &mut |event| {
                match event {
                    Event::Match(found) => Ok(each(&found)),
                    Event::Progress(_) => Ok(Flow::Continue),
                }
            });
        result.unwrap();
    }
}

fn options(context: usize, block_len: usize, threads: usize) -> Options {
    let scan = scan::Options::default().threads(threads).block_len(block_len);
    Options::default().context(context).scan(scan)
}

/// Matches by address and pattern, with their bytes; those before and after are looked at here.
fn matches(bytes: &[u8], patterns: &[Pattern], options: &Options) -> Vec<(u64, usize, Vec<u8>)> {
    let context = options.context;
    let mut all = Vec::new();
    Bytes::new(bytes.to_vec()).search(patterns, options, &mut |found| {
        let at = (found.addr - BASE) as usize;
        let end = at + found.bytes.len();
        assert_eq!(found.before, &bytes[at.saturating_sub(context)..at]);
        assert_eq!(found.after, &bytes[end..bytes.len().min(end + context)]);
        all.push((found.addr, found.pattern, found.bytes.to_vec()));
        Flow::Continue
    });
    all
}

fn is_there(what: &What, bytes: &[u8]) -> Option<usize> {
    match what {
        What::Bytes(wanted) => bytes.starts_with(wanted).then_some(wanted.len()),
        What::AnyCase(wanted) => {
            let here = bytes.get(..wanted.len())?;
            here.eq_ignore_ascii_case(wanted).then_some(wanted.len())
        }
        What::Masked { bytes: wanted, mask } => {
            let here = bytes.get(..wanted.len())?;
            let all = (0..here.len()).all(|i| here[i] & mask[i] == wanted[i]);
            all.then_some(wanted.len())
        }
        What::PointerTo { to, width } => {
            let mut word = [0; 8];
            word[..*width].copy_from_slice(bytes.get(..*width)?);
            to.find(u64::from_le_bytes(word)).map(|_| *width)
        }
        What::Regex(_) => unreachable!(),
    }
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(prop::sample::select(&b"abAB\0"[..]), 0..60),
        prop::collection::vec(any::<u8>(), 0..20),
        (1usize..200).prop_map(|len| vec![b'a'; len]),
        (0u64..64).prop_map(|offset| (BASE + offset).to_le_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn some_pattern() -> impl Strategy<Value = Pattern> {
    let text = prop::collection::vec(prop::sample::select(&b"abAB"[..]), 1..5);
    let what = prop_oneof![
        text.clone().prop_map(What::Bytes),
        text.clone().prop_map(What::AnyCase),
        (text, any::<u8>()).prop_map(|(mut bytes, at)| {
            let mut mask = vec![0xff; bytes.len()];
            if bytes.len() > 1 {
                let at = usize::from(at) % bytes.len();
                mask[at] = 0x5f;
                bytes[at] &= 0x5f;
            }
            What::Masked { bytes, mask }
        }),
        (0u64..60, 1u64..20, prop::sample::select(&[4usize, 8][..])).prop_map(
            |(start, len, width)| {
                let to = ExtentSet::from_iter(Extent::with_len(BASE + start, len));
                What::PointerTo { to, width }
            }
        ),
    ];
    (what, prop::sample::select(&[1u64, 1, 2, 8][..])).prop_map(|(what, align)| Pattern {
        name: String::new(),
        what,
        align,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn patterns_are_where_a_slow_search_finds_them(
        bytes in some_bytes(),
        patterns in prop::collection::vec(some_pattern(), 1..20),
        context in 0usize..20,
        block_len in 1usize..300,
        threads in 1usize..4,
    ) {
        let mut expected = Vec::new();
        for (at, addr) in (0..bytes.len()).zip(BASE..) {
            for (index, pattern) in patterns.iter().enumerate() {
                if let Some(len) = is_there(&pattern.what, &bytes[at..])
                    && addr.is_multiple_of(pattern.align)
                {
                    expected.push((addr, index, bytes[at..at + len].to_vec()));
                }
            }
        }
        let found = matches(&bytes, &patterns, &options(context, block_len, threads));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn matches_of_an_expression_are_those_of_the_whole(
        bytes in some_bytes(),
        regex in prop::sample::select(&["ab?a", "aa", "(?i)abab|ba", "[ab]{3}", "a\\x00", "a+b"][..]),
        block_len in 1usize..300,
        threads in 1usize..4,
    ) {
        let whole = regex::bytes::RegexBuilder::new(regex).unicode(false).build().unwrap();
        let expected: Vec<(u64, usize, Vec<u8>)> = whole
            .find_iter(&bytes)
            .map(|found| (BASE + found.start() as u64, 0, found.as_bytes().to_vec()))
            .collect();
        let pattern = Pattern::regex(regex, false).unwrap();
        let found = matches(&bytes, &[pattern], &options(4, block_len, threads));
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn more_matches_than_are_kept_at_once_are_all_told_of() {
    let bytes = vec![b'a'; 1 << 20];
    let patterns: Vec<Pattern> = ["a", "aa", "aaa"]
        .iter()
        .map(|text| Pattern::new(text, What::Bytes(text.as_bytes().to_vec())).unwrap())
        .collect();
    let mut count = 0_u64;
    let mut last = (0, 0);
    Bytes::new(bytes).search(&patterns, &options(0, 1 << 20, 2), &mut |found| {
        assert!(last < (found.addr, found.pattern));
        last = (found.addr, found.pattern);
        count += 1;
        Flow::stop_if(count == 3_000_000)
    });
    assert_eq!(count, 3_000_000);
}
