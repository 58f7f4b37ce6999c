//! Cuts a plan into blocks to read.

use std::slice;

use crate::{Extent, Plan, Region};

/// Blocks in ascending order. None is longer than `block_len` or reaches over the end of a region;
/// inside a region they begin at multiples of `block_len`, which keeps reads aligned.
pub(super) struct Blocks<'a> {
    regions: slice::Iter<'a, Region>,
    rest: Option<Extent>,
    block_len: u64,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(plan: &'a Plan, block_len: u64) -> Self {
        Self { regions: plan.map.regions().iter(), rest: None, block_len }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let rest = match self.rest {
            Some(rest) => rest,
            None => self.regions.next()?.extent,
        };
        let (block, rest) = rest.split_at(self.block_len - rest.start() % self.block_len);
        self.rest = rest;
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, MemoryMap, RegionKind, Space};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_cover_the_plan_once(
            ranges in prop::collection::vec((1u64..5000, 1u64..5000), 0..6),
            block_len in 1u64..3000,
        ) {
            let mut at = 0;
            let regions: Vec<Region> = ranges.iter().map(|&(gap, len)| {
                let extent = Extent::with_len(at + gap, len).unwrap();
                at = extent.end();
                Region::new(extent, RegionKind::Ram)
            }).collect();
            let map = MemoryMap::new(Space::Physical, regions).unwrap();
            let plan = Plan { map, page_size: 4096, facts: Facts::default() };
            let blocks: Vec<Extent> = Blocks::new(&plan, block_len).collect();
            prop_assert!(blocks.iter().all(|block| block.len() <= block_len));
            prop_assert!(blocks.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
            prop_assert_eq!(blocks.into_iter().collect::<crate::ExtentSet>(), plan.map.extents());
        }
    }
}
