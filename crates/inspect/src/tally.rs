//! Counts how often each text occurs, on many threads, within bounded memory.
//!
//! Not about what the texts are: whole strings, or their [templates](crate::template).

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::strings::{Collect, Found};
use crate::template::template;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// Strings that are equal.
    Equal,
    /// Strings whose templates are equal.
    Template,
}

/// A text, and how often it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its characters; of a long one the first [`Tally::MAX_TEXT`] bytes.
    pub text: Vec<u8>,
    /// How many strings.
    pub count: u64,
    /// Bytes of characters in them all.
    pub bytes: u64,
    /// Where the first of them lies.
    pub first: u64,
}

/// Counts strings as they are found. What is kept is bounded: when that is reached, texts that were not
/// met before are counted together.
pub struct Tally {
    alike: Alike,
    hasher: RandomState,
    shards: Vec<Mutex<Counts>>,
    kept: AtomicUsize,
    max_kept: usize,
    others: [AtomicU64; 2],
}

impl Tally {
    /// Texts that are longer count as alike where this many bytes are.
    pub const MAX_TEXT: usize = 4096;
    const SHARDS: usize = 64;

    /// Counts nothing yet; keeps about `max_kept` bytes.
    pub fn new(alike: Alike, max_kept: usize) -> Self {
        let shards = (0..Self::SHARDS).map(|_| Mutex::default()).collect();
        Self {
            alike,
            hasher: RandomState::default(),
            shards,
            kept: AtomicUsize::new(0),
            max_kept,
            others: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// How many strings were counted together as there was no more room, and the bytes of their
    /// characters.
    pub fn others(&self) -> (u64, u64) {
        let [count, bytes] = &self.others;
        (count.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// What was counted, in no order.
    pub fn into_counted(self) -> Vec<Counted> {
        let shards = self.shards.into_iter();
        let counts = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let counted = counts.flat_map(|Counts { table, texts }| {
            table.into_iter().map(move |entry| Counted {
                text: texts[entry.at..entry.at + entry.len].to_vec(),
                count: entry.count,
                bytes: entry.bytes,
                first: entry.first,
            })
        });
        counted.collect()
    }

    fn shard(&self, hash: u64) -> &Mutex<Counts> {
        // The lowest and the highest bits choose a place in the table.
        &self.shards[(hash >> 40) as usize % Self::SHARDS]
    }
}

/// Texts and their counts.
#[derive(Default)]
pub struct Counts {
    table: HashTable<Entry>,
    texts: Vec<u8>,
}

struct Entry {
    hash: u64,
    /// Where its text stands.
    at: usize,
    len: usize,
    count: u64,
    bytes: u64,
    first: u64,
}

impl Counts {
    fn find(&mut self, hash: u64, text: &[u8]) -> Option<&mut Entry> {
        let Self { table, texts } = self;
        table.find_mut(hash, |entry| {
            entry.hash == hash && &texts[entry.at..entry.at + entry.len] == text
        })
    }

    fn insert(&mut self, text: &[u8], entry: Entry) {
        let at = self.texts.len();
        self.texts.extend_from_slice(text);
        let entry = Entry { at, len: text.len(), ..entry };
        self.table.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    /// The last text, which is not in the table yet, is counted and kept, or counted where it already
    /// stands.
    fn add(&mut self, hash: u64, text: &[u8], bytes: u64, addr: u64) {
        match self.find(hash, text) {
            Some(entry) => {
                entry.count += 1;
                entry.bytes += bytes;
            }
            None => {
                self.insert(text, Entry { hash, at: 0, len: 0, count: 1, bytes, first: addr });
            }
        }
    }
}

/// A part's counts are its own until it ends: threads meet once for each text and part.
impl Collect for Tally {
    type Out = (Counts, Vec<u8>);

    fn string(&self, (counts, scratch): &mut Self::Out, string: &Found<'_>) {
        let text = match self.alike {
            Alike::Equal => string.text,
            Alike::Template => {
                scratch.clear();
                template(&string.text[..string.text.len().min(2 * Self::MAX_TEXT)], scratch);
                scratch
            }
        };
        let text = &text[..text.len().min(Self::MAX_TEXT)];
        counts.add(self.hasher.hash_one(text), text, string.text.len() as u64, string.addr);
    }

    fn end_part(&self, (counts, _): &mut Self::Out) {
        let Counts { table, texts } = std::mem::take(counts);
        for entry in table {
            let text = &texts[entry.at..entry.at + entry.len];
            let mut shard = self.shard(entry.hash).lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = shard.find(entry.hash, text) {
                known.count += entry.count;
                known.bytes += entry.bytes;
                known.first = known.first.min(entry.first);
                continue;
            }
            // A table that grows is there twice for a moment, and half empty then.
            let cost = text.len() + 2 * size_of::<Entry>();
            if self.kept.fetch_add(cost, Ordering::Relaxed) + cost > self.max_kept {
                self.kept.fetch_sub(cost, Ordering::Relaxed);
                self.others[0].fetch_add(entry.count, Ordering::Relaxed);
                self.others[1].fetch_add(entry.bytes, Ordering::Relaxed);
                continue;
            }
            shard.insert(text, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strings::Encoding;

    fn tally(alike: Alike, max_kept: usize, texts: &[(&str, u64)]) -> Tally {
        let tally = Tally::new(alike, max_kept);
        for part in texts.chunks(2) {
            let mut out = Default::default();
            for &(text, addr) in part {
                let found = Found {
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
        tally
    }

    #[test]
    fn counts_are_summed_over_parts() {
        let texts = [("a 1", 50), ("a 22", 60), ("b", 10), ("a 1", 5), ("a 1", 70)];
        let mut equal = tally(Alike::Equal, 1 << 20, &texts).into_counted();
        equal.sort_by_key(|counted| counted.first);
        let counted =
            |text: &str, count, bytes, first| Counted { text: text.into(), count, bytes, first };
        assert_eq!(
            equal,
            [counted("a 1", 3, 9, 5), counted("b", 1, 1, 10), counted("a 22", 1, 4, 60)]
        );
        let mut templates = tally(Alike::Template, 1 << 20, &texts).into_counted();
        templates.sort_by_key(|counted| counted.first);
        assert_eq!(templates, [counted("a #", 4, 13, 5), counted("b", 1, 1, 10)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_is_lost() {
        let names: Vec<String> = (0..10_000).map(|number| format!("name {number}")).collect();
        let texts: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(0..).collect();
        let tally = tally(Alike::Equal, 100_000, &texts);
        let (others, other_bytes) = tally.others();
        let counted = tally.into_counted();
        assert!(others > 0 && counted.len() > 100 && counted.len() < 2000, "{}", counted.len());
        assert_eq!(counted.iter().map(|counted| counted.count).sum::<u64>() + others, 10_000);
        let bytes = counted.iter().map(|counted| counted.bytes).sum::<u64>() + other_bytes;
        assert_eq!(bytes, names.iter().map(|name| name.len() as u64).sum::<u64>());
    }
}
