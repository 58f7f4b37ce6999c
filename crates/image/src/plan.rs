//! What will be taken, decided before the first read.

use crate::{Extent, ExtentSet, Facts, MemoryMap};

/// What to copy, in which order, and what the image should say of where it is from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The regions that the image speaks of. They lie within the source's map.
    pub map: MemoryMap,
    /// Parts of them that are not taken: they are listed, and have no content in the image.
    pub left_out: ExtentSet,
    /// Whether much of what is left will turn out to be holes, page by page: what it is used for is asked just before it is read.
    pub is_thinned: bool,
    /// Parts that are copied before all others.
    pub first: ExtentSet,
    /// The page size of the machine that the memory is of, in bytes: a power of two.
    pub page_size: u64,
    /// What the image carries beside bytes.
    pub facts: Facts,
}

impl Plan {
    /// A plan to take all of `map`.
    pub fn whole(map: MemoryMap, page_size: u64, facts: Facts) -> Self {
        let (left_out, first) = (ExtentSet::default(), ExtentSet::default());
        Self { map, left_out, is_thinned: false, first, page_size, facts }
    }

    /// The extents to take, in the order of the copy; none reaches over the end of a region.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.pass(true).chain(self.pass(false))
    }

    /// Bytes to take, zeros that are known as such included.
    pub fn total(&self) -> u64 {
        self.extents().map(Extent::len).sum()
    }

    fn pass(&self, first: bool) -> impl Iterator<Item = Extent> + '_ {
        let taken = self.map.extents().difference(&self.left_out);
        let pass = match first {
            true => taken.intersection(&self.first),
            false => taken.difference(&self.first),
        };
        let regions = self.map.regions().iter();
        regions.flat_map(move |region| pass.within(region.extent).collect::<Vec<_>>())
    }
}
