//! A text and its count, and the order of texts.

use std::cmp::Ordering;

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
    /// Its characters; of a long one the first [`Tally::MAX_TEXT`](super::Tally::MAX_TEXT) bytes.
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

pub(super) fn compare(rank: Rank, a: &Counted<'_>, b: &Counted<'_>) -> Ordering {
    let by_rank = match rank {
        Rank::Bytes => b.bytes.cmp(&a.bytes),
        Rank::Count => b.count.cmp(&a.count),
        Rank::First => Ordering::Equal,
    };
    by_rank.then_with(|| (a.first, a.text).cmp(&(b.first, b.text)))
}
