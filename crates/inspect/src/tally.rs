//! Counts how often each text occurs, on many threads, within bounded memory.
//!
//! Not about what the texts are: whole strings, or their [templates](crate::template).

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    hashers: [RandomState; 2],
    /// What threads have counted that look at no part now.
    idle: Mutex<Vec<Local>>,
    all: Mutex<All>,
    max_kept: usize,
}

/// What was counted by all.
#[derive(Default)]
struct All {
    counts: Counts,
    /// Strings that there was no room for, and the bytes of their characters.
    others: (u64, u64),
}

impl Tally {
    /// Texts that are longer count as alike where this many bytes are.
    pub const MAX_TEXT: usize = 4096;
    /// What a thread may keep by itself, in bytes.
    const MAX_LOCAL: usize = 16 << 20;

    /// Counts nothing yet; keeps about `max_kept` bytes, 2 GiB at most, and a few MiB for each thread.
    pub fn new(alike: Alike, max_kept: usize) -> Self {
        Self {
            alike,
            hashers: [RandomState::default(), RandomState::default()],
            idle: Mutex::default(),
            all: Mutex::default(),
            max_kept: max_kept.min(2 << 30),
        }
    }

    /// What was counted, in no order; and how many strings were counted together as there was no more room, and the bytes
    /// of their characters.
    pub fn into_counted(self) -> (Vec<Counted>, (u64, u64)) {
        let Self { idle, all, max_kept, .. } = self;
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        for local in idle.into_inner().unwrap_or_else(PoisonError::into_inner) {
            all.take(local.counts, max_kept);
        }
        let All { counts: Counts { table, texts }, others } = all;
        let counted = table.into_iter().map(|entry| Counted {
            text: Counts::text(&texts, &entry).to_vec(),
            count: entry.count,
            bytes: entry.bytes,
            first: entry.first,
        });
        (counted.collect(), others)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Local>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Adds what a thread has counted.
    fn take(&mut self, counts: Counts, max_kept: usize) {
        let Counts { table, texts } = counts;
        let mut entries: Vec<Entry> = table.into_iter().collect();
        // Which are kept where not all can be should not hang on chance.
        entries.sort_unstable_by_key(|entry| entry.first);
        for entry in entries {
            let text = Counts::text(&texts, &entry);
            if let Some(known) = self.counts.find([entry.hash, entry.check]) {
                known.count += entry.count;
                known.bytes += entry.bytes;
                known.first = known.first.min(entry.first);
            } else if self.counts.weight() + text.len() < max_kept {
                self.counts.insert(text, entry);
            } else {
                self.others.0 += entry.count;
                self.others.1 += entry.bytes;
            }
        }
    }
}

/// What one thread has counted.
#[derive(Default)]
pub struct Local {
    counts: Counts,
    due: Vec<Due>,
    /// The texts of what is due, one after another.
    texts: Vec<u8>,
}

/// A string that is not counted yet. Most of the time that counting takes is waiting for memory, and
/// where one follows the other at once the waits overlap.
struct Due {
    hashes: [u64; 2],
    /// Where its text ends.
    end: usize,
    bytes: u64,
    addr: u64,
}

impl Local {
    /// As many strings are counted at once.
    const MAX_DUE: usize = 256;

    fn count_due(&mut self) {
        let mut start = 0;
        for Due { hashes, end, bytes, addr } in self.due.drain(..) {
            self.counts.add(hashes, &self.texts[start..end], bytes, addr);
            start = end;
        }
        self.texts.clear();
    }
}

/// Texts and their counts.
#[derive(Default)]
struct Counts {
    table: HashTable<Entry>,
    texts: Vec<u8>,
}

struct Entry {
    hash: u64,
    /// A second hash. Two texts of which both are equal are taken for one: to look at the texts would be another
    /// wait for memory for each string, and with seeds of chance it does not happen.
    check: u64,
    /// Where its text stands.
    at: u32,
    len: u32,
    count: u64,
    bytes: u64,
    first: u64,
}

impl Counts {
    fn text<'a>(texts: &'a [u8], entry: &Entry) -> &'a [u8] {
        &texts[entry.at as usize..][..entry.len as usize]
    }

    fn find(&mut self, [hash, check]: [u64; 2]) -> Option<&mut Entry> {
        self.table.find_mut(hash, |entry| entry.hash == hash && entry.check == check)
    }

    fn insert(&mut self, text: &[u8], entry: Entry) {
        let at = self.texts.len() as u32;
        self.texts.extend_from_slice(text);
        let entry = Entry { at, len: text.len() as u32, ..entry };
        self.table.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    /// Counts a string.
    fn add(&mut self, hashes: [u64; 2], text: &[u8], bytes: u64, addr: u64) {
        match self.find(hashes) {
            Some(entry) => {
                entry.count += 1;
                entry.bytes += bytes;
                entry.first = entry.first.min(addr);
            }
            None => {
                let [hash, check] = hashes;
                let entry = Entry { hash, check, at: 0, len: 0, count: 1, bytes, first: addr };
                self.insert(text, entry);
            }
        }
    }

    /// About how many bytes it takes: tables and vectors that grow are there twice for a moment.
    fn weight(&self) -> usize {
        self.texts.len() + 2 * size_of::<Entry>() * self.table.len()
    }
}

/// Threads count by themselves, as far as that is not too much, and are put together in the end.
impl Collect for Tally {
    type Out = Option<Box<Local>>;

    fn string(&self, out: &mut Self::Out, string: &Found<'_>) {
        let local = out.get_or_insert_with(|| Box::new(self.idle().pop().unwrap_or_default()));
        let Local { due, texts, .. } = &mut **local;
        let start = texts.len();
        match self.alike {
            Alike::Equal => {
                texts.extend_from_slice(&string.text[..string.text.len().min(Self::MAX_TEXT)]);
            }
            Alike::Template => {
                template(&string.text[..string.text.len().min(2 * Self::MAX_TEXT)], texts);
                texts.truncate(start + Self::MAX_TEXT);
            }
        }
        let hashes = self.hashers.each_ref().map(|hasher| hasher.hash_one(&texts[start..]));
        let (end, bytes, addr) = (texts.len(), string.text.len() as u64, string.addr);
        due.push(Due { hashes, end, bytes, addr });
        if due.len() >= Local::MAX_DUE {
            local.count_due();
        }
    }

    fn end_part(&self, out: &mut Self::Out) {
        let Some(mut local) = out.take() else { return };
        local.count_due();
        if local.counts.weight() > Self::MAX_LOCAL.min(self.max_kept) {
            let counts = std::mem::take(&mut local.counts);
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.take(counts, self.max_kept);
        }
        self.idle().push(*local);
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
        let mut equal = tally(Alike::Equal, 1 << 20, &texts).into_counted().0;
        equal.sort_by_key(|counted| counted.first);
        let counted =
            |text: &str, count, bytes, first| Counted { text: text.into(), count, bytes, first };
        assert_eq!(
            equal,
            [counted("a 1", 3, 9, 5), counted("b", 1, 1, 10), counted("a 22", 1, 4, 60)]
        );
        let mut templates = tally(Alike::Template, 1 << 20, &texts).into_counted().0;
        templates.sort_by_key(|counted| counted.first);
        assert_eq!(templates, [counted("a #", 4, 13, 5), counted("b", 1, 1, 10)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_is_lost() {
        let names: Vec<String> = (0..10_000).map(|number| format!("name {number}")).collect();
        let texts: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(0..).collect();
        let tally = tally(Alike::Equal, 100_000, &texts);
        let (counted, (others, other_bytes)) = tally.into_counted();
        assert!(others > 0 && counted.len() > 100 && counted.len() < 2000, "{}", counted.len());
        assert_eq!(counted.iter().map(|counted| counted.count).sum::<u64>() + others, 10_000);
        let bytes = counted.iter().map(|counted| counted.bytes).sum::<u64>() + other_bytes;
        assert_eq!(bytes, names.iter().map(|name| name.len() as u64).sum::<u64>());
    }
}
