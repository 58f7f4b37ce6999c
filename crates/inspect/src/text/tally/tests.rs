use super::*;
use crate::text::Encoding;

fn counts(alike: Alike, rank: Rank, max_kept: usize, texts: &[(&str, u64)]) -> Counts {
    let tally = Tally::new(alike, rank, max_kept);
    for part in texts.chunks(2) {
        let mut out = Default::default();
        for &(text, addr) in part {
            let found = FoundString {
                addr,
                encoding: Encoding::Ascii,
                text: text.as_bytes(),
                is_first: true,
                is_last: true,
                is_cut: false,
            };
            tally.string(&mut out, &found);
        }
        tally.end_part(&mut out);
    }
    tally.into_counts()
}

fn listed(counts: &Counts) -> Vec<(&str, u64, u64, u64)> {
    let text = |text| std::str::from_utf8(text).unwrap();
    counts.iter().map(|c| (text(c.text), c.count, c.bytes, c.first)).collect()
}

#[test]
fn counts_are_summed_over_parts_and_in_order() {
    let texts = [("a 1", 50), ("a 22", 60), ("b", 10), ("a 1", 5), ("b", 9), ("b", 80)];
    let counts = |alike, rank| counts(alike, rank, 1 << 20, &texts);
    let one = ("a 1", 2, 6, 5);
    let (two, b) = (("a 22", 1, 4, 60), ("b", 3, 3, 9));
    assert_eq!(listed(&counts(Alike::Equal, Rank::First)), [one, b, two]);
    assert_eq!(listed(&counts(Alike::Equal, Rank::Count)), [b, one, two]);
    assert_eq!(listed(&counts(Alike::Equal, Rank::Bytes)), [one, two, b]);
    let templates = counts(Alike::Template, Rank::Bytes);
    assert_eq!(listed(&templates), [("a #", 3, 10, 5), b]);
    assert_eq!((templates.strings(), templates.unlisted()), (6, Unlisted::default()));
}

/// Rare texts in great number, and every tenth one of a few that are not: 1,000 of `often 0`, 999 of `often 1` and so on.
fn many() -> Vec<String> {
    let mut left: Vec<u64> = (0..10).map(|often| 1000 - often).collect();
    let mut texts = Vec::new();
    for number in 0..90_000 {
        texts.push(format!("rare {number}"));
        if number % 9 == 0 {
            let often = (number / 9 % 10) as usize;
            if left[often] > 0 {
                left[often] -= 1;
                texts.push(format!("often {often}"));
            }
        }
    }
    texts
}

#[test]
fn what_is_kept_is_bounded_what_there_is_most_of_is_kept_and_nothing_is_lost() {
    let names = many();
    let texts: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(0..).collect();
    let bytes: u64 = names.iter().map(|name| name.len() as u64).sum();
    for rank in [Rank::Bytes, Rank::Count, Rank::First] {
        let counts = counts(Alike::Equal, rank, 300_000, &texts);
        let unlisted = counts.unlisted();
        let listed: Vec<Counted<'_>> = counts.iter().collect();
        assert!((1000..10_000).contains(&listed.len()), "{rank:?}: {}", listed.len());
        assert!(unlisted.strings > 0);
        assert_eq!(counts.strings(), names.len() as u64, "{rank:?}");
        assert_eq!(
            listed.iter().map(|counted| counted.bytes).sum::<u64>() + unlisted.bytes,
            bytes,
            "{rank:?}"
        );
        if rank == Rank::First {
            continue;
        }
        assert!(unlisted.at_most > 0 && unlisted.at_most < 500, "{rank:?}: {unlisted:?}");
        for counted in &listed {
            assert!(counted.missed <= unlisted.at_most, "{rank:?}: {counted:?}");
        }
        for often in 0..10 {
            let text = format!("often {often}");
            let found = listed.iter().find(|counted| counted.text == text.as_bytes()).unwrap();
            let (known, true_weight) = match rank {
                Rank::Count => (found.count, 1000 - often),
                _ => (found.bytes, 7 * (1000 - often)),
            };
            assert!(
                known <= true_weight && true_weight <= known + found.missed,
                "{rank:?} {text}: {found:?}"
            );
        }
    }
}

#[test]
fn what_may_be_missed_is_known_of_long_strings_too() {
    let tally = Tally::new(Alike::Equal, Rank::Bytes, 4 << 20);
    let mut text = vec![b'x'; 70_000];
    let mut out = Default::default();
    for number in 0..6000_u64 {
        // Every fourth is one of ten, each of which is there 150 times.
        let name = if number % 4 == 0 { number / 4 % 10 } else { 1000 + number };
        text[..8].copy_from_slice(format!("{name:8}").as_bytes());
        let found = FoundString {
            addr: number,
            encoding: Encoding::Ascii,
            text: &text,
            is_first: true,
            is_last: true,
            is_cut: false,
        };
        tally.string(&mut out, &found);
    }
    tally.end_part(&mut out);
    let counts = tally.into_counts();
    let at_most = counts.unlisted().at_most;
    assert!(at_most >= 70_000 && counts.strings() == 6000);
    let often: Vec<Counted<'_>> = counts.iter().take(10).collect();
    for counted in often {
        assert!(counted.text.starts_with(b"       "), "{:?}", &counted.text[..8]);
        let all = 150 * 70_000;
        assert!(counted.bytes <= all && all <= counted.bytes + counted.missed);
        assert!(counted.missed <= at_most);
    }
}

#[test]
fn texts_that_are_alike_for_long_are_one() {
    let long = "x".repeat(Tally::MAX_TEXT);
    let (one, other) = (format!("{long}1"), format!("{long}2"));
    let counts = counts(Alike::Equal, Rank::First, 1 << 20, &[(&one, 1), (&other, 9000)]);
    assert_eq!(listed(&counts), [(long.as_str(), 2, 2 * 4097, 1)]);
}
