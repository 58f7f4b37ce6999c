//! Intervals of addresses, and sorted sets of them.
//!
//! Not about what lies at an address (see [`Region`](crate::Region)). There are two conventions in
//! the field for the end of a range, and mixing them up loses the last byte of every range; here
//! the convention is the name of the constructor, and never a comment.

use std::fmt;

/// A non-empty interval of addresses.
///
/// The last address of the 64-bit space, `u64::MAX`, cannot be part of one, so that
/// [`Extent::end`] always exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    start: u64,
    end: u64,
}

/// The reason that two numbers do not make an [`Extent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtentError {
    /// There is no address in it.
    #[error("the range {start:#x}-{end:#x} is empty or its end lies before its start")]
    Empty {
        /// First address, as given.
        start: u64,
        /// End, as given.
        end: u64,
    },
    /// It runs past the last address.
    #[error("the range that starts at {start:#x} runs past the end of the 64-bit address space")]
    Overflow {
        /// First address, as given.
        start: u64,
    },
}

impl Extent {
    /// The addresses `start..end`: `end` is the first address beyond (ELF, `/proc/PID/maps`).
    pub fn half_open(start: u64, end: u64) -> Result<Self, ExtentError> {
        if start < end { Ok(Self { start, end }) } else { Err(ExtentError::Empty { start, end }) }
    }

    /// The addresses `first..=last` (`/proc/iomem`, LiME).
    pub fn inclusive(first: u64, last: u64) -> Result<Self, ExtentError> {
        let end = last.checked_add(1).ok_or(ExtentError::Overflow { start: first })?;
        Self::half_open(first, end)
    }

    /// `len` bytes from `start` on.
    pub fn with_len(start: u64, len: u64) -> Result<Self, ExtentError> {
        let end = start.checked_add(len).ok_or(ExtentError::Overflow { start })?;
        Self::half_open(start, end)
    }

    /// The first address.
    pub fn start(self) -> u64 {
        self.start
    }

    /// The first address after it.
    pub fn end(self) -> u64 {
        self.end
    }

    /// The last address that belongs to it.
    pub fn last(self) -> u64 {
        self.end - 1
    }

    /// The length in bytes, at least 1.
    #[allow(clippy::len_without_is_empty)] // an extent is never empty
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Returns true if `addr` lies in it.
    pub fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Returns true if all of `other` lies in it.
    pub fn covers(self, other: Extent) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The smallest extent that covers both.
    pub fn hull(self, other: Extent) -> Extent {
        Extent { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The addresses in both.
    pub fn intersection(self, other: Extent) -> Option<Extent> {
        Self::half_open(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// The smallest extent around it whose ends are multiples of `align`, a power of two.
    ///
    /// An end that would pass the last address is cut there.
    pub fn align_outward(self, align: u64) -> Extent {
        debug_assert!(align.is_power_of_two());
        let mask = align - 1;
        let end = self.end.checked_add(mask).map_or(!mask, |end| end & !mask).max(self.end);
        Self { start: self.start & !mask, end }
    }

    /// The largest extent inside it whose ends are multiples of `align`, a power of two; none when
    /// no whole unit lies inside.
    pub fn align_inward(self, align: u64) -> Option<Extent> {
        debug_assert!(align.is_power_of_two());
        let mask = align - 1;
        Self::half_open(self.start.checked_add(mask)? & !mask, self.end & !mask).ok()
    }

    /// Its first `len` bytes and the rest. Either is none where it would be empty.
    pub fn split_at(self, len: u64) -> (Option<Extent>, Option<Extent>) {
        let middle = self.start.saturating_add(len).min(self.end);
        (Self::half_open(self.start, middle).ok(), Self::half_open(middle, self.end).ok())
    }
}

/// `0xSTART-0xEND`, the end being the first address beyond.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.end)
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of addresses, kept as sorted extents that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentSet(Vec<Extent>);

impl ExtentSet {
    /// The extents, ascending.
    pub fn as_slice(&self) -> &[Extent] {
        &self.0
    }

    /// The extents, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.0.iter().copied()
    }

    /// Returns true if no address is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of addresses in all extents, in bytes.
    pub fn total(&self) -> u64 {
        // Disjoint extents below `u64::MAX` cannot add up to more than that.
        self.iter().map(Extent::len).sum()
    }

    /// The extent around `addr`.
    pub fn find(&self, addr: u64) -> Option<Extent> {
        let after = self.0.partition_point(|extent| extent.start <= addr);
        self.0[..after].last().copied().filter(|extent| extent.contains(addr))
    }

    /// The parts of the set inside `window`, ascending.
    pub fn within(&self, window: Extent) -> impl Iterator<Item = Extent> + '_ {
        let from = self.0.partition_point(|extent| extent.end <= window.start);
        let near = self.0[from..].iter().take_while(move |extent| extent.start < window.end);
        near.filter_map(move |extent| extent.intersection(window))
    }

    /// Returns true if all of `extent` is in the set.
    pub fn covers(&self, extent: Extent) -> bool {
        self.find(extent.start).is_some_and(|found| found.covers(extent))
    }

    /// The addresses of either.
    pub fn union(&self, other: &ExtentSet) -> ExtentSet {
        self.iter().chain(other.iter()).collect()
    }

    /// The addresses of both.
    pub fn intersection(&self, other: &ExtentSet) -> ExtentSet {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            both.extend(a.intersection(**b));
            if a.end < b.end {
                left.next()
            } else {
                right.next()
            };
        }
        both.into_iter().collect()
    }

    /// The addresses that are here and not in `other`.
    pub fn difference(&self, other: &ExtentSet) -> ExtentSet {
        let mut rest = Vec::new();
        let mut holes = other.0.as_slice();
        for extent in self.iter() {
            let mut from = extent.start;
            // What ends before this extent cannot matter to a later one either.
            holes = &holes[holes.partition_point(|hole| hole.end <= from)..];
            for hole in holes.iter().take_while(|hole| hole.start < extent.end) {
                rest.extend(Extent::half_open(from, hole.start));
                from = from.max(hole.end);
            }
            rest.extend(Extent::half_open(from, extent.end));
        }
        ExtentSet(rest)
    }
}

/// Sorts, and joins what overlaps or touches.
impl FromIterator<Extent> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = Extent>>(extents: I) -> Self {
        let mut sorted: Vec<Extent> = extents.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<Extent> = Vec::with_capacity(sorted.len());
        for extent in sorted {
            match joined.last_mut() {
                Some(last) if extent.start <= last.end => last.end = last.end.max(extent.end),
                _ => joined.push(extent),
            }
        }
        Self(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half_open(start: u64, end: u64) -> Extent {
        Extent::half_open(start, end).unwrap()
    }

    #[test]
    fn inclusive_keeps_the_last_byte() {
        assert_eq!(Extent::inclusive(0x1000, 0x9fbff).unwrap(), half_open(0x1000, 0x9fc00));
        assert_eq!(Extent::inclusive(5, 5).unwrap().len(), 1);
    }

    #[test]
    fn nothing_that_is_no_interval_becomes_one() {
        assert_eq!(Extent::half_open(5, 5), Err(ExtentError::Empty { start: 5, end: 5 }));
        assert!(Extent::half_open(6, 5).is_err());
        assert!(Extent::inclusive(0, u64::MAX).is_err());
        assert_eq!(Extent::with_len(u64::MAX, 2), Err(ExtentError::Overflow { start: u64::MAX }));
        assert!(Extent::with_len(1, 0).is_err());
    }

    #[test]
    fn alignment_goes_both_ways() {
        let odd = half_open(0x9fc01, 0xa1001);
        assert_eq!(odd.align_outward(0x1000), half_open(0x9f000, 0xa2000));
        assert_eq!(odd.align_inward(0x1000), Some(half_open(0xa0000, 0xa1000)));
        assert_eq!(half_open(1, 0x1fff).align_inward(0x1000), None);
        let top = half_open(u64::MAX - 1, u64::MAX);
        assert_eq!(top.align_outward(0x1000).end(), u64::MAX);
    }

    fn some_set() -> impl Strategy<Value = ExtentSet> {
        prop::collection::vec((0u64..200, 1u64..30), 0..12).prop_map(|ranges| {
            ranges.into_iter().map(|(start, len)| half_open(start, start + len)).collect()
        })
    }

    fn members(set: &ExtentSet) -> Vec<bool> {
        (0..256).map(|addr| set.find(addr).is_some()).collect()
    }

    proptest! {
        #[test]
        fn set_algebra_agrees_with_bits(a in some_set(), b in some_set()) {
            let (in_a, in_b) = (members(&a), members(&b));
            let expect = |f: fn(bool, bool) -> bool| -> Vec<bool> {
                in_a.iter().zip(&in_b).map(|(&x, &y)| f(x, y)).collect()
            };
            prop_assert_eq!(members(&a.union(&b)), expect(|x, y| x || y));
            prop_assert_eq!(members(&a.intersection(&b)), expect(|x, y| x && y));
            prop_assert_eq!(members(&a.difference(&b)), expect(|x, y| x && !y));
            prop_assert_eq!(a.total(), in_a.iter().filter(|&&x| x).count() as u64);
            for set in [a.union(&b), a.intersection(&b), a.difference(&b)] {
                prop_assert!(set.as_slice().windows(2).all(|w| w[0].end() < w[1].start()));
            }
        }
    }
}
