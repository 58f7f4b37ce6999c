//! Windows, borders and holes, with windows so short that there are many: against a search that looks at each address by itself.

use std::path::PathBuf;

use memdump_image::{
    AddressSpace, Cause, Extent, MemoryMap, Presence, ReadError, Region, RegionKind, Run, Space,
    View,
};
use proptest::prelude::*;

use super::limits::Sizes;
use super::{Event, Rules, Source};
use crate::scan::Flow;

const BASE: u64 = 0x1_0000;
const PAGE: usize = 16;
const SIZES: Sizes = Sizes { window: 128, overlap: 24, margin: 8, context: 5 };

/// The content of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    Bytes(Vec<u8>),
    /// Known to be zero.
    Zero,
    /// Known to be a hole.
    Hole,
    /// Found to be a hole when it is read.
    Bad,
}

struct Pages {
    map: MemoryMap,
    pages: Vec<Page>,
}

impl Pages {
    /// Regions of so many pages; they touch.
    fn new(pages: Vec<Page>, region_len: usize) -> Self {
        let regions = pages.chunks(region_len).zip(0_usize..).map(|(chunk, index)| {
            let start = BASE + (index * region_len * PAGE) as u64;
            let extent = Extent::with_len(start, (chunk.len() * PAGE) as u64).unwrap();
            // Another name keeps them apart.
            Region { label: index.to_string(), ..Region::new(extent, RegionKind::Heap) }
        });
        let map = MemoryMap::new(Space::Process(1), regions.collect()).unwrap();
        Self { map, pages }
    }
}

impl AddressSpace for Pages {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        for (byte, at) in buf.iter_mut().zip((addr - BASE) as usize..) {
            match &self.pages[at / PAGE] {
                Page::Bytes(bytes) => *byte = bytes[at % PAGE],
                _ => return Err(ReadError::Fault { addr, cause: Cause::Unmapped }),
            }
        }
        Ok(buf.len())
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let mut runs = Vec::new();
        let mut at = extent.start();
        while at < extent.end() && runs.len() < 3 {
            let index = (at - BASE) as usize / PAGE;
            let end = extent.end().min(BASE + ((index + 1) * PAGE) as u64);
            let presence = match self.pages[index] {
                Page::Bytes(_) | Page::Bad => Presence::Memory,
                Page::Zero => Presence::Zero,
                Page::Hole => Presence::Nothing(Cause::Unmapped),
            };
            runs.push(Run { extent: Extent::half_open(at, end).unwrap(), presence });
            at = end;
        }
        Ok(runs)
    }
}

type Line = (u64, String, Option<String>, Vec<u8>);

/// The matches of the rules, and the bytes that were read, zero and missing.
fn found(rules: &str, pages: &Pages, threads: usize) -> (Vec<Line>, [u64; 3]) {
    let source =
        Source { name: "rules".into(), text: rules.as_bytes().to_vec(), folder: PathBuf::new() };
    let rules = Rules::compile(&[source]).unwrap();
    let mut lines: Vec<Line> = Vec::new();
    let view = View::new(pages, PAGE as u64);
    let report = rules.run_in(&view, threads, SIZES, &mut |event| {
        if let Event::Match(found) = event {
            assert_eq!(found.before, pages.near(found.addr, -5, 0), "{found:x?}");
            let end = found.addr + found.bytes.len() as u64;
            if !found.bytes.is_empty() {
                assert_eq!(found.after, pages.near(end - 1, 1, 6), "{found:x?}");
            }
            let pattern = found.pattern.map(str::to_owned);
            lines.push((found.addr, found.rule.into(), pattern, found.bytes.to_vec()));
        }
        Ok(Flow::Continue)
    });
    let report = report.unwrap();
    let missing = report.summary.holes.listed().iter().map(|hole| hole.extent.len()).sum();
    (lines, [report.summary.bytes, report.summary.zero, missing])
}

impl Pages {
    /// The byte at an address; none in a hole.
    fn byte(&self, addr: u64) -> Option<u8> {
        let at = usize::try_from(addr.checked_sub(BASE)?).unwrap();
        match self.pages.get(at / PAGE)? {
            Page::Bytes(bytes) => Some(bytes[at % PAGE]),
            Page::Zero => Some(0),
            Page::Hole | Page::Bad => None,
        }
    }

    /// The bytes from `from` to `to` beside an address, as far as its region and readable memory go.
    fn near(&self, addr: u64, from: i64, to: i64) -> Vec<u8> {
        let region = self.map.find(addr).unwrap().extent;
        let byte = |offset: i64| {
            let addr = addr.checked_add_signed(offset).unwrap();
            region.contains(addr).then(|| self.byte(addr)).flatten()
        };
        match from < 0 {
            true => {
                let mut bytes: Vec<u8> = (from..to).rev().map_while(byte).collect();
                bytes.reverse();
                bytes
            }
            false => (from..to).map_while(byte).collect(),
        }
    }

    /// The addresses of `text`, by looking at each address.
    fn places(&self, text: &[u8]) -> Vec<u64> {
        let regions = self.map.regions().iter().map(|region| region.extent);
        let starts = regions.flat_map(|extent| extent.start()..extent.end());
        starts.filter(|&addr| self.near(addr, 0, text.len() as i64) == text).collect()
    }
}

fn some_page() -> impl Strategy<Value = Page> {
    let bytes = prop::collection::vec(prop::sample::select(&b"aab\0"[..]), PAGE);
    prop_oneof![
        6 => bytes.prop_map(Page::Bytes),
        2 => Just(Page::Zero),
        1 => Just(Page::Hole),
        1 => Just(Page::Bad),
    ]
}

/// Texts that none of the windows' borders may hide.
const TEXTS: &[&[u8]] = &[b"ab", b"aaaa", b"a\0\0\0\0b", b"\0\0\0\0\0\0a", b"ba\0"];

fn rule_of_texts() -> String {
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
    let texts: String =
        TEXTS.iter().zip(0..).map(|(text, at)| format!("$t{at} = {{ {}}} ", hex(text))).collect();
    format!("rule texts {{ strings: {texts} condition: any of them }}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn matches_are_where_a_slow_search_finds_them(
        runs in prop::collection::vec((some_page(), 1_usize..14), 1..12),
        region_len in 1_usize..60,
        threads in 1_usize..4,
    ) {
        let pages: Vec<Page> =
            runs.into_iter().flat_map(|(page, count)| vec![page; count]).collect();
        let pages = Pages::new(pages, region_len);
        let (lines, seen) = found(&rule_of_texts(), &pages, threads);
        let mut wanted: Vec<Line> = Vec::new();
        for (text, at) in TEXTS.iter().zip(0..) {
            let pattern = Some(format!("$t{at}"));
            let line = |addr| (addr, "texts".to_owned(), pattern.clone(), text.to_vec());
            wanted.extend(pages.places(text).into_iter().map(line));
        }
        wanted.sort();
        prop_assert_eq!(lines, wanted);
        let count = |is_it: fn(&Page) -> bool| {
            (pages.pages.iter().filter(|page| is_it(page)).count() * PAGE) as u64
        };
        let seen_here = [
            count(|page| matches!(page, Page::Bytes(_))),
            count(|page| matches!(page, Page::Zero)),
            count(|page| matches!(page, Page::Hole | Page::Bad)),
        ];
        prop_assert_eq!(seen, seen_here);
    }
}

fn page(text: &str) -> Page {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(PAGE, b'.');
    Page::Bytes(bytes)
}

#[test]
fn a_condition_is_about_one_run_of_memory() {
    let rule = "rule both { strings: $x = \"first\" $y = \"second\" condition: all of them }";
    let names = |lines: Vec<Line>| -> Vec<String> {
        lines
            .into_iter()
            .map(|(addr, _, pattern, _)| format!("{:x}{}", addr - BASE, pattern.unwrap()))
            .collect()
    };
    let of = |pages: Vec<Page>, region_len| names(found(rule, &Pages::new(pages, region_len), 1).0);
    let (x, y, dots) = (page("first"), page("second"), page(""));
    assert_eq!(of(vec![x.clone(), dots.clone(), y.clone()], 9), ["0$x", "20$y"]);
    // Zeros that were never touched are a part of it, holes and borders of regions are not.
    assert_eq!(of(vec![x.clone(), Page::Zero, y.clone()], 9), ["0$x", "20$y"]);
    for (pages, region_len) in [
        (vec![x.clone(), Page::Hole, y.clone()], 9),
        (vec![x.clone(), Page::Bad, y.clone()], 9),
        (vec![x.clone(), y.clone()], 1),
    ] {
        assert!(of(pages.clone(), region_len).is_empty(), "{pages:?}");
    }
    // Windows begin at 0, 0x68 and 0xd0 and are 0x80 long. What only the first one's condition is about is found where they
    // overlap, too; what is too far from one another is not.
    let mut far = vec![dots.clone(); 20];
    (far[0], far[7]) = (x.clone(), y.clone());
    assert_eq!(of(far.clone(), 20), ["0$x", "70$y"]);
    (far[7], far[9]) = (dots, y);
    assert!(of(far, 20).is_empty());
}

#[test]
fn conditions_without_patterns_and_offsets_are_about_the_unit() {
    let pages = Pages::new(vec![Page::Hole, page("magic"), page(""), Page::Hole, page("magic")], 9);
    let rule = "rule short { condition: filesize == 16 }
                rule starts { strings: $m = \"magic\" condition: $m at 0 and uint8(1) == 0x61 }";
    let (lines, _) = found(rule, &pages, 1);
    let lines: Vec<(u64, &str, Option<&str>)> = lines
        .iter()
        .map(|(addr, rule, pattern, _)| (addr - BASE, rule.as_str(), pattern.as_deref()))
        .collect();
    assert_eq!(
        lines,
        [(0x10, "starts", Some("$m")), (0x40, "short", None), (0x40, "starts", Some("$m"))]
    );
}

#[test]
fn rules_that_are_wrong_or_cannot_be_used_are_told_of() {
    let compile = |text: &str| {
        let text = text.as_bytes().to_vec();
        Rules::compile(&[Source { name: "my.yar".into(), text, folder: PathBuf::new() }])
    };
    let error = |text| compile(text).err().unwrap().to_string();
    assert!(error("rule a { condition: $b }").contains("my.yar:1"));
    assert!(error("rule a { strings: $a = \"x\" condition: $a ").contains("my.yar:1"));
    assert!(error("// nothing").contains("no rules"));
    assert!(error("import \"pe\" rule a { condition: pe.is_pe }").contains("module pe"));
    let some = compile(
        "import \"pe\" rule a { condition: pe.is_pe } rule b { condition: a } rule c { condition: true }",
    );
    let notes = some.unwrap().notes;
    assert!(
        notes.len() == 2 && notes[0].contains("rule a") && notes[1].contains("rule b"),
        "{notes:?}"
    );
}
