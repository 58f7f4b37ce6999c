//! The form of the output, whichever it is, and what it is about.

use std::io;

use memdump_image::MemoryMap;
use memdump_inspect::diff::{Change, Report};

use crate::pager::Listing;

/// The names of two targets, for people, and the regions of B that are compared.
pub(super) struct Sides {
    pub(super) name_a: String,
    pub(super) name_b: String,
    pub(super) map_b: MemoryMap,
}

/// The form of the output.
pub(super) trait Shower: Send {
    /// Lines that differ.
    fn change(&mut self, sides: &Sides, change: Change<'_>, out: &mut Listing) -> io::Result<()>;

    /// All the rest.
    fn report(&mut self, sides: &Sides, report: &Report, out: &mut Listing) -> io::Result<()>;
}
