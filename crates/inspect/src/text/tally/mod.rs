//! Counts how often each text occurs, on many threads, within bounded memory.
//!
//! The texts are whole strings, or their [templates](crate::text::template()). They are spread over shards by their
//! hashes. A thread hands over many texts of a shard at once, so locks are rare, and the shard stays in the CPU's cache
//! while they are counted.

mod counted;
mod counts;
mod shard;

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use foldhash::fast::RandomState;

use crate::text::strings::{Collect, FoundString};
use crate::text::template::{find_digit, template};
pub use counted::{Counted, Rank, Unlisted};
pub use counts::Counts;
use shard::{Batch, Rules, Shard};

/// The strings that count as one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// Strings that are equal.
    Equal,
    /// Strings whose templates are equal.
    Template,
}

/// Counts strings as they are found, in bounded memory. When the bound is reached, three quarters of the texts are
/// dropped, the last in the order of their [`Rank`]. The counts are exact except for what [`Unlisted`] says.
///
/// The method is lossy counting (Manku and Motwani, 2002), with buckets that end when memory does, behind a filter
/// (Homem and Carvalho's Filtered Space-Saving, 2010) that keeps out most texts that occur only once.
pub struct Tally {
    alike: Alike,
    rules: Rules,
    shards: Vec<Mutex<Shard>>,
    /// The uncounted strings of threads that search no part now.
    idle: Mutex<Vec<Local>>,
}

impl Tally {
    /// The longest text, in bytes. Longer texts are equal if their first bytes are.
    pub const MAX_TEXT: usize = 4096;
    /// A power of two. What one of them holds fits into a CPU's cache.
    const SHARDS: usize = 64;

    /// An empty tally that keeps about `max_kept` bytes, at most 64 GiB, and about 1 MiB (at most 4) for each thread.
    pub fn new(alike: Alike, rank: Rank, max_kept: usize) -> Self {
        let rules = Rules {
            rank,
            max_kept: (max_kept / Self::SHARDS).min(1 << 30),
            hasher: RandomState::default(),
        };
        let shards = (0..Self::SHARDS).map(|_| Mutex::default()).collect();
        Self { alike, rules, shards, idle: Mutex::default() }
    }

    /// The counts.
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

/// The strings that one thread has found and not handed over.
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

    fn string(&self, out: &mut Self::Out, string: &FoundString<'_>) {
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
        // The place in a shard follows from the lower half.
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

#[cfg(test)]
mod tests;
