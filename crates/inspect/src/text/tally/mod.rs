//! Counts how often each text occurs, on many threads, within bounded memory.
//!
//! Not about what the texts are: whole strings, or their [templates](crate::template). Texts are spread over shards by
//! their hashes (see `shard`), and a thread hands on many of a shard at once: so locks are rare, and what a shard holds
//! stays in the cache of the CPU while they are counted.

mod shard;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use foldhash::fast::RandomState;

use crate::strings::{Collect, Found};
use crate::template::{find_digit, template};
use shard::{Batch, Rules, Shard};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// Strings that are equal.
    Equal,
    /// Strings whose templates are equal.
    Template,
}

/// What comes first, and is kept where not all can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Texts whose strings have the most bytes.
    Bytes,
    /// Texts of the most strings.
    Count,
    /// Texts that stand at the lowest addresses; kept is what was met first, which is about that.
    First,
}

/// A text, and how often it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Its characters; of a long one the first [`Tally::MAX_TEXT`] bytes.
    pub text: &'a [u8],
    /// How many strings.
    pub count: u64,
    /// Bytes of characters in them all.
    pub bytes: u64,
    /// Where the first of them lies.
    pub first: u64,
    /// How many bytes, or strings with [`Rank::Count`], there may be beside these, as some were met when there was no
    /// room for the text.
    pub missed: u64,
}

/// Strings that are in no [`Counted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// How many.
    pub strings: u64,
    /// Bytes of their characters.
    pub bytes: u64,
    /// A text that is not listed has no more bytes, or strings with [`Rank::Count`], and one that is listed has been missed no
    /// more of. Nothing is known of that with [`Rank::First`].
    pub at_most: u64,
}

/// Counts strings as they are found. What is kept is bounded. When that is reached, three quarters of it have to go, and what
/// comes first stays: the counts are right but for what [`Unlisted`] says.
///
/// That is lossy counting (Manku and Motwani, 2002), with buckets that end when memory does, and a filter before it (Homem
/// and Carvalho's Filtered Space-Saving, 2010), which keeps out most texts that are there but once.
pub struct Tally {
    alike: Alike,
    rules: Rules,
    shards: Vec<Mutex<Shard>>,
    /// What threads have that look at no part now.
    idle: Mutex<Vec<Local>>,
}

impl Tally {
    /// Texts that are longer count as alike where this many bytes are.
    pub const MAX_TEXT: usize = 4096;
    /// A power of two. What one of them holds fits into a CPU's cache.
    const SHARDS: usize = 64;

    /// Counts nothing yet; keeps about `max_kept` bytes, 64 GiB at most, and 1 MiB for each thread, 4 at most.
    pub fn new(alike: Alike, rank: Rank, max_kept: usize) -> Self {
        let rules = Rules {
            rank,
            max_kept: (max_kept / Self::SHARDS).min(1 << 30),
            hasher: RandomState::default(),
        };
        let shards = (0..Self::SHARDS).map(|_| Mutex::default()).collect();
        Self { alike, rules, shards, idle: Mutex::default() }
    }

    /// What was counted.
    pub fn into_counts(self) -> Counts {
        let mut idle = std::mem::take(&mut *self.idle());
        for local in &mut idle {
            local
                .batches
                .iter_mut()
                .enumerate()
                .for_each(|(shard, batch)| self.count(shard, batch));
        }
        drop(idle);
        let Self { rules, shards, .. } = self;
        let shards = shards.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        Counts::sorted(shards.collect(), rules.rank)
    }

    fn count(&self, shard: usize, batch: &mut Batch) {
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        shard.count(&self.rules, batch);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Local>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread has found and not handed on.
pub struct Local {
    /// For each shard.
    batches: Vec<Batch>,
    /// The text that is being made.
    text: Vec<u8>,
}

impl Default for Local {
    fn default() -> Self {
        let batches = (0..Tally::SHARDS).map(|_| Batch::default()).collect();
        Self { batches, text: Vec::new() }
    }
}

impl Collect for Tally {
    type Out = Option<Box<Local>>;

    fn string(&self, out: &mut Self::Out, string: &Found<'_>) {
        let local = out.get_or_insert_with(|| Box::new(self.idle().pop().unwrap_or_default()));
        let Local { batches, text: made } = &mut **local;
        let text = match self.alike {
            Alike::Equal => string.text,
            Alike::Template if find_digit(string.text).is_none() => string.text,
            Alike::Template => {
                made.clear();
                template(&string.text[..string.text.len().min(2 * Self::MAX_TEXT)], made);
                made
            }
        };
        let text = &text[..text.len().min(Self::MAX_TEXT)];
        let hash = self.rules.hash(text);
        // What is in a shard goes by the lower half.
        let shard = (hash >> 40) as usize % Self::SHARDS;
        let batch = &mut batches[shard];
        batch.add(hash, text, string.text.len() as u64, string.addr);
        if batch.is_full() {
            match self.shards[shard].try_lock() {
                Ok(mut shard) => shard.count(&self.rules, batch),
                // Whoever has it may not be running: better to go on than to wait.
                Err(TryLockError::WouldBlock) if !batch.is_overfull() => {}
                Err(_) => self.count(shard, batch),
            }
        }
    }

    fn end_part(&self, out: &mut Self::Out) {
        if let Some(local) = out.take() {
            self.idle().push(*local);
        }
    }
}

/// Texts and their counts, in order.
pub struct Counts {
    shards: Vec<Shard>,
    rank: Rank,
    unlisted: Unlisted,
}

impl Counts {
    fn sorted(mut shards: Vec<Shard>, rank: Rank) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let part = shards.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            for shards in shards.chunks_mut(part) {
                scope.spawn(move || {
                    shards.iter_mut().for_each(|shard| shard.sort_by(|a, b| compare(rank, a, b)));
                });
            }
        });
        let mut unlisted = Unlisted::default();
        for shard in &shards {
            let Unlisted { strings, bytes, at_most } = shard.unlisted();
            unlisted.strings += strings;
            unlisted.bytes += bytes;
            unlisted.at_most = unlisted.at_most.max(at_most);
        }
        Self { shards, rank, unlisted }
    }

    /// The texts in the order of their [`Rank`], those that are equal in it by address.
    pub fn iter(&self) -> impl Iterator<Item = Counted<'_>> {
        let heads = self.shards.iter().filter_map(|shard| {
            let mut rest = shard.iter();
            rest.next().map(|first| Reverse(Head { first, rank: self.rank, rest }))
        });
        let mut heads: BinaryHeap<_> = heads.collect();
        std::iter::from_fn(move || {
            let mut head = heads.peek_mut()?;
            match head.0.rest.next() {
                Some(first) => Some(std::mem::replace(&mut head.0.first, first)),
                None => Some(PeekMut::pop(head).0.first),
            }
        })
    }

    /// How many strings there were, listed or not.
    pub fn strings(&self) -> u64 {
        let listed = self.shards.iter().flat_map(Shard::iter).map(|counted| counted.count);
        listed.sum::<u64>() + self.unlisted.strings
    }

    /// What is not among the texts.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }
}

/// What is left of a shard.
struct Head<'a> {
    first: Counted<'a>,
    rank: Rank,
    rest: shard::Iter<'a>,
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.rank, &self.first, &other.first)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

fn compare(rank: Rank, a: &Counted<'_>, b: &Counted<'_>) -> Ordering {
    let by_rank = match rank {
        Rank::Bytes => b.bytes.cmp(&a.bytes),
        Rank::Count => b.count.cmp(&a.count),
        Rank::First => Ordering::Equal,
    };
    by_rank.then_with(|| (a.first, a.text).cmp(&(b.first, b.text)))
}

#[cfg(test)]
mod tests;
