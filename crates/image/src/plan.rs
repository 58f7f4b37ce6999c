//! The plan of a copy, made before the first read.

use crate::holes::gaps;
use crate::{
    AddressSpace, Extent, ExtentSet, Facts, HoleEncoding, HoleList, MemoryMap, Space, known_holes,
};

/// The memory to copy, its order, and the facts that the image should keep.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The regions that the image speaks of. They lie within the source's map.
    pub map: MemoryMap,
    /// The parts of them that are not taken. They are listed, and have no content in the image.
    pub left_out: ExtentSet,
    /// True if much of the rest will turn out to be holes, page by page, because the use of a page is asked for just before it
    /// is read.
    pub is_thinned: bool,
    /// Parts that are copied before all others.
    pub first: ExtentSet,
    /// The page size of the machine that the memory is of, in bytes: a power of two.
    pub page_size: u64,
    /// The facts that the image keeps beside bytes.
    pub facts: Facts,
    /// Holes that were taken out because the source knows of them.
    known_holes: HoleList,
    is_fitted: bool,
}

impl Plan {
    /// A plan to take all of `map`.
    pub fn whole(map: MemoryMap, page_size: u64, facts: Facts) -> Self {
        Self {
            map,
            left_out: ExtentSet::default(),
            is_thinned: false,
            first: ExtentSet::default(),
            page_size,
            facts,
            known_holes: HoleList::default(),
            is_fitted: false,
        }
    }

    /// The same plan without the holes that `space` knows of, where an image says so by [gaps](HoleEncoding::Gaps) and what
    /// the space says is [final](AddressSpace::survey_is_final). No memory is read.
    ///
    /// [`copy()`](crate::copy()) does this itself. Call it to know the plan's size before the copy; the second time it does
    /// nothing. Holes of a process are [left out](Self::left_out), as its mappings stay in the image; those of a machine, and what is
    /// left out of it, leave the map.
    #[must_use]
    pub fn fitted(mut self, space: &dyn AddressSpace, encoding: HoleEncoding) -> Self {
        if self.fits(space, encoding) {
            return self;
        }
        self.is_fitted = true;
        let taken = self.map.subtract(&self.left_out);
        if let Space::Process(_) = self.map.space() {
            let (absent, holes) = known_holes(space, &taken);
            self.left_out = self.left_out.union(&absent);
            self.known_holes = holes;
        } else {
            let gaps = gaps(space, &taken);
            self.map = taken.subtract(&gaps.iter().map(|gap| gap.extent).collect());
            gaps.into_iter().for_each(|gap| self.known_holes.add(gap));
        }
        self
    }

    /// Returns true if [`fitted`](Self::fitted) would change nothing.
    pub(crate) fn fits(&self, space: &dyn AddressSpace, encoding: HoleEncoding) -> bool {
        self.is_fitted || encoding != HoleEncoding::Gaps || !space.survey_is_final()
    }

    /// The holes that [`fitted`](Self::fitted) took out. The summary of the copy lists them, too.
    pub fn known_holes(&self) -> &HoleList {
        &self.known_holes
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
