//! One side of a diff.

use memdump_image::{MemoryMap, View};

/// Memory that is compared.
pub(super) struct Side<'a> {
    pub(super) view: &'a View<'a>,
    /// The regions of the view.
    pub(super) map: MemoryMap,
}

impl<'a> Side<'a> {
    pub(super) fn new(view: &'a View<'a>) -> Self {
        Self { view, map: view.map() }
    }
}
