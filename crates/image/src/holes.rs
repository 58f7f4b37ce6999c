//! Holes: lists of them, what an image makes of them, and those that a source knows of without reading.
//!
//! Not about memory that turns out to be unreadable: that is found while copying.

use std::collections::BTreeMap;

use crate::{AddressSpace, Cause, Extent, ExtentSet, Hole, MemoryMap, Presence};

/// The way in which an image shows memory that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoleEncoding {
    /// Nothing. The memory that follows moves up, and only the map tells where a hole was.
    LeftOut,
    /// Zeros. Only the summary tells them from memory that was zero.
    Filled,
    /// Zeros for memory that fails while it is copied, and gaps for holes that are known before. The image does not mention a
    /// gap, or says that it has no content.
    Gaps,
    /// A mark in the image itself.
    Kept,
}

/// A list of holes: the bytes by cause, and each hole as long as there are not too many.
#[derive(Clone, Debug, Default)]
pub struct HoleList {
    bytes: BTreeMap<Cause, u64>,
    listed: Vec<Hole>,
    unlisted: u64,
}

impl HoleList {
    /// The most holes that are kept one by one. The bytes of further ones are still counted.
    pub const MAX_LISTED: usize = 1 << 16;

    /// Adds a hole; one that continues the last lengthens it.
    pub fn add(&mut self, hole: Hole) {
        *self.bytes.entry(hole.cause).or_default() += hole.extent.len();
        if let Some(last) = self.listed.last_mut()
            && last.cause == hole.cause
            && let (true, Ok(both)) = (
                last.extent.end() == hole.extent.start(),
                Extent::half_open(last.extent.start(), hole.extent.end()),
            )
        {
            last.extent = both;
        } else if self.listed.len() < Self::MAX_LISTED {
            self.listed.push(hole);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds what another copy could not take.
    pub fn extend(&mut self, others: &HoleList) {
        for &hole in &others.listed {
            self.add(hole);
        }
        for (cause, bytes) in others.by_cause() {
            let listed = others.listed.iter().filter(|hole| hole.cause == cause);
            let rest = bytes - listed.map(|hole| hole.extent.len()).sum::<u64>();
            *self.bytes.entry(cause).or_default() += rest;
        }
        self.unlisted += others.unlisted;
    }

    /// Bytes by cause.
    pub fn by_cause(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        self.bytes.iter().map(|(&cause, &bytes)| (cause, bytes))
    }

    /// The holes, in the order of the copy; at most [`HoleList::MAX_LISTED`].
    pub fn listed(&self) -> &[Hole] {
        &self.listed
    }

    /// The number of holes that are not in the list.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Bytes in all holes.
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }
}

/// The most gaps that are made of holes: the longest ones. Readers look through an ELF image's segments one by one, and many
/// programs count segments in 16 bits.
const MAX_GAPS: usize = 60_000;

/// The parts of `map` that `space` has no content for, as addresses and with their causes. No memory is read.
///
/// When a [survey](AddressSpace::survey) fails, the rest of the region counts as present.
pub fn known_holes(space: &dyn AddressSpace, map: &MemoryMap) -> (ExtentSet, HoleList) {
    let mut absent = Vec::new();
    let mut holes = HoleList::default();
    each_hole(space, map, |hole| {
        absent.push(hole.extent);
        holes.add(hole);
    });
    (absent.into_iter().collect(), holes)
}

/// The known holes of `map` that are worth a gap: all of them, or of very many the longest.
pub(crate) fn gaps(space: &dyn AddressSpace, map: &MemoryMap) -> Vec<Hole> {
    let mut gaps: Vec<Hole> = Vec::new();
    let mut shortest = 1;
    let mut thin_out = |gaps: &mut Vec<Hole>| loop {
        gaps.retain(|gap| gap.extent.len() >= shortest);
        if gaps.len() <= MAX_GAPS {
            break;
        }
        shortest *= 2;
    };
    each_hole(space, map, |hole| match gaps.last_mut() {
        Some(last) if last.extent.end() == hole.extent.start() && last.cause == hole.cause => {
            last.extent = last.extent.hull(hole.extent);
        }
        _ => {
            if gaps.len() > 2 * MAX_GAPS {
                thin_out(&mut gaps);
            }
            gaps.push(hole);
        }
    });
    thin_out(&mut gaps);
    gaps
}

fn each_hole(space: &dyn AddressSpace, map: &MemoryMap, mut found: impl FnMut(Hole)) {
    for region in map.regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let Ok(runs) = space.survey(here) else { break };
            for run in &runs {
                if let Presence::Nothing(cause) = run.presence {
                    found(Hole { extent: run.extent, cause });
                }
            }
            let end = runs.last().map_or(here.end(), |run| run.extent.end());
            rest = Extent::half_open(end, here.end()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_joined_counted_and_bounded() {
        let mut totals = HoleList::default();
        let hole = |start, cause| Hole { extent: Extent::with_len(start, 4096).unwrap(), cause };
        totals.add(hole(0, Cause::Unmapped));
        totals.add(hole(4096, Cause::Unmapped));
        totals.add(hole(8192, Cause::Device));
        assert_eq!(totals.listed().len(), 2);
        assert_eq!(totals.listed()[0].extent.len(), 8192);
        for i in 0..HoleList::MAX_LISTED as u64 {
            totals.add(hole((2 * i + 4) * 4096, Cause::Unmapped));
        }
        assert_eq!(totals.listed().len(), HoleList::MAX_LISTED);
        assert_eq!(totals.unlisted(), 2);
        assert_eq!(totals.total(), (HoleList::MAX_LISTED as u64 + 3) * 4096);
    }
}
