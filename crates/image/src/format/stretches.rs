//! Memory that stands in a file as it is: which addresses stand where, and how far the file goes.
//!
//! Not memory that is compressed piece by piece (`avml`, `kdump`).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::problem::{FormatError, Problems, is_damage, known_size};
use crate::{AddressSpace, Cause, Extent, MemoryMap, Presence, ReadAt, ReadError, Run};

/// Extents, each with what belongs to it, that do not overlap: addresses that two claim are the first one's.
pub(super) struct FirstWins<T> {
    /// The ends of the extents that are claimed, by start. They neither overlap nor touch, so that a file of extents that all overlap
    /// costs no more than another.
    claimed: BTreeMap<u64, u64>,
    parts: Vec<(Extent, T)>,
    /// The extents that are claimed last.
    lost: Vec<(Extent, T)>,
}

impl<T: Copy + PartialEq> FirstWins<T> {
    pub(super) fn new() -> Self {
        Self { claimed: BTreeMap::new(), parts: Vec::new(), lost: Vec::new() }
    }

    /// Claims what is free of `extent`; gives the first part that was not.
    pub(super) fn insert(&mut self, extent: Extent, item: T) -> Option<Extent> {
        let (start, end) = (extent.start(), extent.end());
        let before = self.claimed.range(..=start).next_back().filter(|(_, other)| **other >= start);
        let first = before.map_or(start, |(&first, _)| first);
        let met: Vec<(u64, u64)> =
            self.claimed.range(first..=end).map(|(&start, &end)| (start, end)).collect();
        let (mut overlap, mut free, mut hull) = (None, start, (start, end));
        for (other, other_end) in met {
            self.claimed.remove(&other);
            hull = (hull.0.min(other), hull.1.max(other_end));
            let shared = Extent::half_open(other.max(start), other_end.min(end));
            overlap = overlap.or(shared.ok());
            self.parts.extend(Extent::half_open(free, other.min(end)).map(|part| (part, item)));
            free = free.max(other_end);
        }
        self.parts.extend(Extent::half_open(free, end).map(|part| (part, item)));
        self.claimed.insert(hull.0, hull.1);
        overlap
    }

    /// Claims `extent`, of which the file has but the first `held` bytes: the rest of it only where nobody else has it.
    pub(super) fn insert_held(&mut self, extent: Extent, held: u64, item: T) -> Option<Extent> {
        let (here, gone) = extent.split_at(held);
        self.lost.extend(gone.map(|gone| (gone, item)));
        here.and_then(|here| self.insert(here, item))
    }

    /// The parts, ascending.
    pub(super) fn into_parts(mut self) -> Vec<(Extent, T)> {
        for (extent, item) in std::mem::take(&mut self.lost) {
            self.insert(extent, item);
        }
        self.parts.sort_unstable_by_key(|(extent, _)| *extent);
        self.parts.dedup_by(|(next, item), (extent, before)| {
            let joins = extent.end() == next.start() && item == before;
            if joins {
                *extent = extent.hull(*next);
            }
            joins
        });
        self.parts
    }
}

/// The distance from an address to the offset of its byte in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift(u64);

impl Shift {
    /// That of memory at `addr` which stands at `offset`.
    pub(super) fn new(addr: u64, offset: u64) -> Self {
        Self(offset.wrapping_sub(addr))
    }

    fn offset(self, addr: u64) -> u64 {
        addr.wrapping_add(self.0)
    }
}

/// The memory of an image.
pub(super) struct Stretches {
    map: MemoryMap,
    /// Ascending.
    parts: Vec<(Extent, Shift)>,
    file: Sparse,
    /// The size of the file in bytes, if that is known.
    end: Option<u64>,
}

impl Stretches {
    /// `parts` ascend, do not overlap, and are all of `map`; their places in the file do not pass the last offset. What
    /// lies behind the end of the file is a problem of `field`.
    pub(super) fn new(
        map: MemoryMap,
        parts: Vec<(Extent, Shift)>,
        file: Arc<dyn ReadAt>,
        (format, field): (&'static str, &'static str),
        problems: &mut Problems,
    ) -> Result<Self, FormatError> {
        let end = known_size(&*file, format)?;
        let stretches = Self { map, parts, file: Sparse::new(file), end };
        let beyond = stretches.parts.iter().filter_map(|&(extent, shift)| {
            extent
                .split_at(stretches.present(extent, shift))
                .1
                .map(|rest| (rest.start(), rest.len()))
        });
        let beyond = beyond.reduce(|all, part| (all.0, all.1 + part.1));
        if let (Some((addr, missing)), Some(offset)) = (beyond, end) {
            problems.found(FormatError::Truncated { format, offset, field, missing, addr })?;
        }
        Ok(stretches)
    }

    /// The number of bytes of a part that are in the file.
    fn present(&self, extent: Extent, shift: Shift) -> u64 {
        held(self.end, shift.offset(extent.start()), extent.len())
    }
}

/// A file that may have holes, which read as zeros.
pub(super) struct Sparse {
    file: Arc<dyn ReadAt>,
    /// The range of the file that was last found to be no hole. Finding its end may take as long as it is.
    data: Mutex<Range<u64>>,
}

impl Sparse {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Self {
        Self { file, data: Mutex::new(0..0) }
    }

    pub(super) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    /// As [`ReadAt::data`] of the file, which is asked once for each stretch.
    fn data(&self, range: Range<u64>) -> Option<Range<u64>> {
        let mut known = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&range.start) {
            *known = self.file.data(range.clone())?;
        }
        Some(known.start.max(range.start)..known.end)
    }

    /// Adds what is known of memory that is in the file: holes of a sparse file are zeros. Says whether that is all
    /// of it; with as few looks at the file as are left it may be the front.
    pub(super) fn push_data(
        &self,
        runs: &mut Vec<Run>,
        extent: Extent,
        shift: Shift,
        looks: &mut usize,
    ) -> bool {
        let mut rest = Some(extent);
        while let Some(here) = rest {
            let Some(left) = looks.checked_sub(1) else { return false };
            *looks = left;
            let offset = shift.offset(here.start());
            let data = match offset.checked_add(here.len()) {
                Some(end) => self.data(offset..end),
                None => Some(offset..u64::MAX),
            };
            // As far into the extent, rounded to whole granules that hold data.
            let (from, to) = match data {
                Some(data) => {
                    let from = here.start() + data.start.saturating_sub(offset).min(here.len());
                    let to = here.start() + data.end.saturating_sub(offset).min(here.len());
                    let to = to.checked_next_multiple_of(GRANULE).unwrap_or(here.end());
                    ((from - from % GRANULE).max(here.start()), to.min(here.end()))
                }
                None => (here.end(), here.end()),
            };
            let parts = [(here.start(), from, Presence::Zero), (from, to, Presence::Memory)];
            for (start, end, presence) in parts {
                if let Ok(part) = Extent::half_open(start, end) {
                    push_run(runs, part, presence);
                }
            }
            rest = Extent::half_open(to.max(from), here.end()).ok();
        }
        true
    }
}

/// Data and holes are told apart in steps of so many bytes of addresses, a power of two: no page is cut, and no read is small.
const GRANULE: u64 = 64 << 10;
/// As many looks are taken for holes in one survey, each two calls of the system: what lies further on is for the next.
pub(super) const MAX_LOOKS: usize = 1024;

/// The number of the `len` bytes at `offset` that stand before the end of a file; all of them if the end is not known.
pub(super) fn held(end: Option<u64>, offset: u64, len: u64) -> u64 {
    end.map_or(len, |end| end.saturating_sub(offset).min(len))
}

impl AddressSpace for Stretches {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.parts.partition_point(|(extent, _)| extent.start() <= addr);
        let part = self.parts[..after].last().filter(|(extent, _)| extent.contains(addr));
        let Some((extent, shift)) = part else {
            return Err(not_in_image(addr));
        };
        let len = buf.len().min(usize::try_from(extent.end() - addr).unwrap_or(usize::MAX));
        read_file(self.file.file(), addr, shift.offset(addr), &mut buf[..len])
    }

    fn survey_is_final(&self) -> bool {
        true
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let first = self.parts.partition_point(|(part, _)| part.end() <= extent.start());
        let mut runs = Vec::new();
        let mut looks = MAX_LOOKS;
        for &(part, shift) in &self.parts[first..] {
            if part.start() >= extent.end() {
                break;
            }
            let (here, gone) = part.split_at(self.present(part, shift));
            if let Some(here) = here.and_then(|here| here.intersection(extent))
                && !self.file.push_data(&mut runs, here, shift, &mut looks)
            {
                break;
            }
            if let Some(gone) = gone.and_then(|gone| gone.intersection(extent)) {
                push_run(&mut runs, gone, Presence::Nothing(Cause::Truncated));
            }
        }
        match runs.is_empty() {
            true => Err(not_in_image(extent.start())),
            false => Ok(runs),
        }
    }
}

/// Adds a run behind the last, or to it.
pub(super) fn push_run(runs: &mut Vec<Run>, extent: Extent, presence: Presence) {
    match runs.last_mut() {
        Some(last) if last.presence == presence && last.extent.end() == extent.start() => {
            last.extent = last.extent.hull(extent);
        }
        _ => runs.push(Run { extent, presence }),
    }
}

/// The error of a read outside an image's regions.
pub(super) fn not_in_image(addr: u64) -> ReadError {
    ReadError::Fault { addr, cause: Cause::NotOffered }
}

/// Reads memory at `addr` that stands at `offset` of an image file.
pub(super) fn read_file(
    file: &dyn ReadAt,
    addr: u64,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, ReadError> {
    let hole = |cause| Err(ReadError::Fault { addr, cause });
    match file.read_at(offset, buf) {
        Ok(0) => hole(Cause::Truncated),
        Ok(n) => Ok(n),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => hole(Cause::Truncated),
        Err(error) if is_damage(&error) => hole(Cause::Damaged),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file of nothing, with data here and there.
    struct Holed(Vec<std::ops::Range<u64>>);

    impl ReadAt for Holed {
        fn size(&self) -> io::Result<u64> {
            Ok(1 << 40)
        }

        fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn data(&self, range: std::ops::Range<u64>) -> Option<std::ops::Range<u64>> {
            let data = self.0.iter().filter(|data| data.end > range.start).min_by_key(|d| d.start);
            data.map(|data| data.start.max(range.start)..data.end.min(range.end))
                .filter(|data| data.start < range.end)
        }
    }

    proptest! {
        #[test]
        fn holes_of_the_file_are_zeros_and_data_never_is(
            data in prop::collection::vec((0u64..40 << 16, 1u64..3 << 16), 0..8),
            start in 0u64..4 << 16,
            offset in 0u64..4 << 16,
        ) {
            // From address to place in the file, in two parts that touch.
            let extent = Extent::with_len(start, 40 << 16).unwrap();
            let (first, second) = extent.split_at(7 << 16);
            let (first, second) = (first.unwrap(), second.unwrap());
            let shifts = [Shift::new(start, offset), Shift::new(second.start(), offset + (30 << 16))];
            let data: Vec<_> = data.iter().map(|&(at, len)| at..at + len).collect();
            let file = Arc::new(Holed(data.clone()));
            let map = MemoryMap::new(crate::Space::Physical, vec![
                crate::Region::new(extent, crate::RegionKind::Unknown),
            ]).unwrap();
            let parts = vec![(first, shifts[0]), (second, shifts[1])];
            let mut problems = Problems::new(crate::problem::OpenMode::Strict);
            let space = Stretches::new(map, parts, file, ("test", "test"), &mut problems).unwrap();
            let runs = space.survey(extent).unwrap();
            prop_assert_eq!(runs[0].extent.start(), extent.start());
            prop_assert_eq!(runs[runs.len() - 1].extent.end(), extent.end());
            let mut pairs = runs.array_windows();
            let are_joined =
                pairs.all(|[a, b]| a.extent.end() == b.extent.start() && a.presence != b.presence);
            prop_assert!(are_joined);
            for run in runs.iter().filter(|run| run.presence == Presence::Zero) {
                for (part, shift) in [(first, shifts[0]), (second, shifts[1])] {
                    let Some(zeros) = run.extent.intersection(part) else { continue };
                    let from = shift.offset(zeros.start());
                    let to = from + zeros.len();
                    prop_assert!(data.iter().all(|data| data.end <= from || to <= data.start));
                }
            }
            // No page is cut, but where a part ends.
            for run in &runs[1..] {
                let at = run.extent.start();
                prop_assert!(at % GRANULE == 0 || at == second.start());
            }
        }

        #[test]
        fn every_address_is_the_first_one_s_that_claims_it(
            claims in prop::collection::vec((0u64..200, 1u64..60), 0..20),
        ) {
            let mut first_wins = FirstWins::new();
            let mut owners = [None; 300];
            for (index, &(start, len)) in claims.iter().enumerate() {
                let extent = Extent::with_len(start, len).unwrap();
                let taken = (start..start + len).find(|&addr| owners[addr as usize].is_some());
                let overlap = first_wins.insert(extent, index);
                prop_assert_eq!(overlap.map(Extent::start), taken);
                for addr in start..start + len {
                    owners[addr as usize].get_or_insert(index);
                }
            }
            let parts = first_wins.into_parts();
            prop_assert!(parts.array_windows().all(|[a, b]| a.0.end() <= b.0.start()));
            let mut found = [None; 300];
            for (extent, index) in parts {
                found[extent.start() as usize..extent.end() as usize].fill(Some(index));
            }
            prop_assert_eq!(found, owners);
        }
    }
}
