//! The events of a hexdump, and its options.

use std::io;

use memdump_image::{Extent, Hole, Region};

use super::line::Layout;
use crate::scan::{self, Flow};

/// An event of the hexdump, in the order of addresses.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Complete lines, each with its line feed. The last line of each stretch of memory is the address where it ends.
    Lines(&'a [u8]),
    /// The beginning of a region, or of the part of it that is wanted.
    Region(&'a Region),
    /// Memory that could not be read. Holes that touch and have the same cause are one.
    Hole(Hole),
    /// A part of the wanted range that lies in no region.
    Nothing(Extent),
    /// The number of bytes that were shown since the last such event.
    Progress(u64),
}

/// The receiver of the events.
pub type Sink<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<Flow> + Send);

/// The options of a hexdump.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The layout of lines.
    pub layout: Layout,
    /// True if one line and a `*` stand for lines that are alike.
    pub squeeze: bool,
    /// True if each region is an [`Event::Region`], and a line ends where a region does. Otherwise regions that touch are
    /// one stretch of memory.
    pub by_region: bool,
    /// The options of the scan.
    pub scan: scan::Options,
}

impl Default for Options {
    /// The lines of `hexdump -C`.
    fn default() -> Self {
        let scan = scan::Options::default();
        Self { layout: Layout::canonical(8), squeeze: true, by_region: false, scan }
    }
}

impl Options {
    /// Sets the layout of lines.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Says if one line and a `*` stand for lines that are alike.
    #[must_use]
    pub fn squeeze(mut self, squeeze: bool) -> Self {
        self.squeeze = squeeze;
        self
    }

    /// Says if regions are told apart.
    #[must_use]
    pub fn by_region(mut self, by_region: bool) -> Self {
        self.by_region = by_region;
        self
    }

    /// Sets the options of the scan.
    #[must_use]
    pub fn scan(mut self, scan: scan::Options) -> Self {
        self.scan = scan;
        self
    }
}
