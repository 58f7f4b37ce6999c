//! The texts of one shard and their counts. When there are too many, most are dropped.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::counted::{Counted, Rank, Unlisted};

/// The rules that all shards share.
pub(super) struct Rules {
    pub(super) rank: Rank,
    /// Bytes that a shard may keep.
    pub(super) max_kept: usize,
    pub(super) hasher: RandomState,
}

impl Rules {
    pub(super) fn hash(&self, text: &[u8]) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The weight that strings add to their text, as its rank counts.
    fn weight(&self, count: u64, bytes: u64) -> u64 {
        match self.rank {
            Rank::Bytes => bytes,
            Rank::Count | Rank::First => count,
        }
    }
}

/// Strings that are not counted yet, all of one shard.
#[derive(Default)]
pub(super) struct Batch {
    due: Vec<Due>,
    /// Their texts, one after another.
    texts: Vec<u8>,
    /// The start of the last text.
    last: usize,
}

/// A string, or several that follow one another and have one text.
struct Due {
    hash: u64,
    /// The end of its text.
    end: usize,
    count: u64,
    bytes: u64,
    first: u64,
}

impl Batch {
    /// As many strings are counted at once,
    const MAX_DUE: usize = 256;
    /// or a few more bytes than this.
    const MAX_TEXTS: usize = 8 << 10;

    pub(super) fn add(&mut self, hash: u64, text: &[u8], bytes: u64, addr: u64) {
        // What there is most of often follows itself.
        if let Some(due) = self.due.last_mut()
            && due.hash == hash
            && self.texts[self.last..] == *text
        {
            due.count += 1;
            due.bytes += bytes;
            due.first = due.first.min(addr);
            return;
        }
        self.last = self.texts.len();
        self.texts.extend_from_slice(text);
        self.due.push(Due { hash, end: self.texts.len(), count: 1, bytes, first: addr });
    }

    pub(super) fn is_full(&self) -> bool {
        self.has(1)
    }

    /// Returns true if it must not wait any longer.
    pub(super) fn is_overfull(&self) -> bool {
        self.has(4)
    }

    fn has(&self, times: usize) -> bool {
        self.due.len() >= times * Self::MAX_DUE || self.texts.len() >= times * Self::MAX_TEXTS
    }
}

/// Texts and their counts.
#[derive(Default)]
pub(super) struct Shard {
    table: HashTable<Slot>,
    entries: Vec<Entry>,
    texts: Vec<u8>,
    /// Once some had to go: for a text that is not kept, the cell of its hash has its weight and that of others. Saturates;
    /// as many as a power of two.
    filter: Vec<u16>,
    unlisted: Unlisted,
}

/// The place of an entry.
struct Slot {
    /// Some bits of its hash.
    tag: u32,
    index: u32,
}

impl Slot {
    /// The hash that the table goes by.
    fn hash(&self) -> u64 {
        // The tag is the lower half, and a table takes the highest bits too.
        u64::from(self.tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    first: u64,
    count: u64,
    bytes: u64,
    missed: u64,
    /// The offset of its text. Ascending, until the entries are sorted.
    at: u32,
    len: u32,
}

impl Entry {
    fn text(self, texts: &[u8]) -> &[u8] {
        &texts[self.at as usize..][..self.len as usize]
    }

    fn counted(self, texts: &[u8]) -> Counted<'_> {
        let Self { first, count, bytes, missed, .. } = self;
        Counted { text: self.text(texts), count, bytes, first, missed }
    }
}

impl Shard {
    /// About what an entry costs beside its text: its places in a table that is half full, and in the filter.
    const ENTRY_COST: usize =
        size_of::<Entry>() + 2 * (size_of::<Slot>() + 1) + Self::CELLS * size_of::<u16>();
    /// Of the filter for each entry: the more, the fewer texts share one.
    const CELLS: usize = 8;

    /// Counts the strings of `batch`, and empties it.
    pub(super) fn count(&mut self, rules: &Rules, batch: &mut Batch) {
        self.fetch(batch);
        let mut start = 0;
        for due in &batch.due {
            self.add(rules, due, &batch.texts[start..due.end]);
            start = due.end;
        }
        batch.due.clear();
        batch.texts.clear();
    }

    /// Looks at what will be needed. Most of the time that counting takes is waiting for memory, and where no look hangs
    /// on the one before the waits overlap.
    fn fetch(&mut self, batch: &Batch) {
        let mut seen = 0;
        for &Due { hash, .. } in &batch.due {
            let tag = hash as u32;
            if let Some(slot) = self.table.find(Slot { tag, index: 0 }.hash(), |s| s.tag == tag) {
                seen ^= self.entries[slot.index as usize].count;
            } else if !self.filter.is_empty() {
                seen ^= u64::from(*self.cell(hash));
            }
        }
        black_box(seen);
    }

    fn add(&mut self, rules: &Rules, due: &Due, text: &[u8]) {
        let &Due { hash, count, bytes, first, .. } = due;
        let Self { table, entries, texts, .. } = self;
        let tag = hash as u32;
        let is_it =
            |slot: &Slot| slot.tag == tag && entries[slot.index as usize].text(texts) == text;
        let place = Slot { tag, index: 0 }.hash();
        if let Some(slot) = table.find(place, is_it) {
            let entry = &mut entries[slot.index as usize];
            entry.count += count;
            entry.bytes += bytes;
            entry.first = entry.first.min(first);
            return;
        }
        let missed = match self.admit(hash, rules.weight(count, bytes)) {
            Some(missed) if self.make_room(rules, text.len()) => missed,
            _ => {
                self.unlisted.strings += count;
                self.unlisted.bytes += bytes;
                return;
            }
        };
        let Self { table, entries, texts, .. } = self;
        let index = entries.len() as u32;
        let (at, len) = (texts.len() as u32, text.len() as u32);
        reserve(texts, text.len());
        texts.extend_from_slice(text);
        reserve(entries, 1);
        entries.push(Entry { first, count, bytes, missed, at, len });
        table.insert_unique(place, Slot { tag, index }, Slot::hash);
    }

    /// Decides if a text that is not kept may be kept now. Returns how much of it may have been met before.
    fn admit(&mut self, hash: u64, weight: u64) -> Option<u64> {
        if self.filter.is_empty() {
            return Some(0);
        }
        let at_most = self.unlisted.at_most;
        let cell = self.cell(hash);
        let before = u64::from(*cell);
        *cell = cell.saturating_add(saturated(weight));
        // A cell that is full no longer says how much.
        let missed = if before == u64::from(u16::MAX) { at_most } else { before.min(at_most) };
        (missed + weight > at_most).then_some(missed)
    }

    fn cell(&mut self, hash: u64) -> &mut u16 {
        // Not the bits that choose the shard.
        let index = (hash >> 16) as usize & (self.filter.len() - 1);
        &mut self.filter[index]
    }

    /// Makes room for one more text. Returns true if there is room.
    fn make_room(&mut self, rules: &Rules, len: usize) -> bool {
        let cost = self.texts.len() + len + (self.entries.len() + 1) * Self::ENTRY_COST;
        if cost <= rules.max_kept {
            return true;
        }
        if rules.rank != Rank::First && !self.entries.is_empty() {
            self.shrink(rules);
        }
        rules.rank != Rank::First
    }

    /// Keeps the quarter that has the most weight.
    fn shrink(&mut self, rules: &Rules) {
        if self.filter.is_empty() {
            self.filter = vec![0; Self::CELLS * self.entries.len().next_power_of_two()];
        }
        let weight = |entry: &Entry| rules.weight(entry.count, entry.bytes) + entry.missed;
        let mut weights: Vec<u64> = self.entries.iter().map(weight).collect();
        let last = weights.len() / 4 * 3;
        let at_most = self.unlisted.at_most.max(*weights.select_nth_unstable(last).1);
        self.unlisted.at_most = at_most;
        self.table.clear();
        let (mut kept, mut end) = (0, 0);
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            let hash = rules.hash(entry.text(&self.texts));
            if weight(&entry) > at_most {
                // Texts stand in the order of the entries.
                let from = entry.at as usize;
                self.texts.copy_within(from..from + entry.len as usize, end);
                self.entries[kept] = Entry { at: end as u32, ..entry };
                let slot = Slot { tag: hash as u32, index: kept as u32 };
                self.table.insert_unique(slot.hash(), slot, Slot::hash);
                end += entry.len as usize;
                kept += 1;
            } else {
                self.unlisted.strings += entry.count;
                self.unlisted.bytes += entry.bytes;
                let cell = self.cell(hash);
                *cell = (*cell).max(saturated(weight(&entry)));
            }
        }
        self.entries.truncate(kept);
        self.texts.truncate(end);
    }

    /// Puts the texts in order. No more are counted then.
    pub(super) fn sort_by(&mut self, compare: impl Fn(&Counted<'_>, &Counted<'_>) -> Ordering) {
        self.table = HashTable::new();
        self.filter = Vec::new();
        let texts = &self.texts;
        self.entries.sort_unstable_by(|a, b| compare(&a.counted(texts), &b.counted(texts)));
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { entries: self.entries.iter(), texts: &self.texts }
    }

    pub(super) fn unlisted(&self) -> Unlisted {
        self.unlisted
    }
}

fn saturated(weight: u64) -> u16 {
    u16::try_from(weight).unwrap_or(u16::MAX)
}

/// Makes room for `more`, by a quarter at a time: to double would take twice as much of what is bounded.
fn reserve<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 4).max(64));
    }
}

pub(super) struct Iter<'a> {
    entries: std::slice::Iter<'a, Entry>,
    texts: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Counted<'a>;

    fn next(&mut self) -> Option<Counted<'a>> {
        self.entries.next().map(|entry| entry.counted(self.texts))
    }
}
