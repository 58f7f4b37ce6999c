//! The part of an address space that somebody looks at.

use crate::{AddressSpace, Extent, ExtentSet, MemoryMap};

/// The part of an [`AddressSpace`] that is looked at: a space, the addresses in it that matter, and its page size.
///
/// Everything that looks into memory without copying it takes one, so that a live process, a machine and an image of
/// either are looked into in the same way.
#[derive(Clone)]
pub struct View<'a> {
    space: &'a dyn AddressSpace,
    extents: ExtentSet,
    page_size: u64,
}

impl<'a> View<'a> {
    /// A view of all that `space` maps. `page_size` is that of the machine that the memory is of, in bytes: a power of two.
    pub fn new(space: &'a dyn AddressSpace, page_size: u64) -> Self {
        Self { space, extents: space.map().extents(), page_size }
    }

    /// The same view, without what lies outside `extents`.
    #[must_use]
    pub fn within(mut self, extents: &ExtentSet) -> Self {
        self.extents = self.extents.intersection(extents);
        self
    }

    /// The same view, without `extents`.
    #[must_use]
    pub fn without(mut self, extents: &ExtentSet) -> Self {
        self.extents = self.extents.difference(extents);
        self
    }

    /// The space that is looked into.
    pub fn space(&self) -> &'a dyn AddressSpace {
        self.space
    }

    /// The addresses that are looked at. All of them lie in regions of the space.
    pub fn extents(&self) -> &ExtentSet {
        &self.extents
    }

    /// The regions that are looked at, each cut to the part that is.
    pub fn map(&self) -> MemoryMap {
        self.space.map().clip(&self.extents)
    }

    /// The extents that are looked at, in ascending order, each cut where a region ends.
    pub fn pieces(&self) -> impl Iterator<Item = Extent> + '_ {
        self.space.map().regions().iter().flat_map(|region| self.extents.within(region.extent))
    }

    /// The page size, in bytes: a power of two.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// The number of addresses that are looked at, in bytes.
    pub fn total(&self) -> u64 {
        self.extents.total()
    }
}
