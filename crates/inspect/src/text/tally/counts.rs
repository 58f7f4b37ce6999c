//! The counts when all strings are known: in order, from all shards.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::thread;

use super::counted::{Counted, Rank, Unlisted, compare};
use super::shard::{self, Shard};

/// Texts and their counts, in order.
pub struct Counts {
    shards: Vec<Shard>,
    rank: Rank,
    unlisted: Unlisted,
}

impl Counts {
    pub(super) fn sorted(mut shards: Vec<Shard>, rank: Rank) -> Self {
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

    /// The texts in the order of their [`Rank`]; texts of equal rank are in the order of their addresses.
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

    /// The number of strings, listed or not.
    pub fn strings(&self) -> u64 {
        let listed = self.shards.iter().flat_map(Shard::iter).map(|counted| counted.count);
        listed.sum::<u64>() + self.unlisted.strings
    }

    /// The strings that are not among the texts.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }
}

/// The rest of a shard.
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
