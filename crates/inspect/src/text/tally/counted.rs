//! A text and its count, and the order of texts.

use std::cmp::Ordering;

/// The order of texts. It also says which are kept if not all can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Texts whose strings have the most bytes.
    Bytes,
    /// Texts of the most strings.
    Count,
    /// Texts at the lowest addresses. The texts that are met first are kept, which is nearly the same.
    First,
}

/// A text and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The characters; the first [`Tally::MAX_TEXT`](super::Tally::MAX_TEXT) bytes of a long text.
    pub text: &'a [u8],
    /// The number of strings.
    pub count: u64,
    /// The total length of the strings, in bytes of text.
    pub bytes: u64,
    /// The lowest address of such a string.
    pub first: u64,
    /// An upper bound on what was not counted, in bytes, or in strings with [`Rank::Count`]: some may have been met when
    /// there was no room for the text.
    pub missed: u64,
}

/// The strings that are in no [`Counted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// The number of strings.
    pub strings: u64,
    /// Their length, in bytes of text.
    pub bytes: u64,
    /// An upper bound on the bytes (with [`Rank::Count`], the strings) of any one text that is not listed, and on
    /// [`Counted::missed`]. It means nothing with [`Rank::First`].
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
