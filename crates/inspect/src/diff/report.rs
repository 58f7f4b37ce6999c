//! The results of a diff, its events and its options.

use std::collections::BTreeMap;
use std::io;

use memdump_image::{Cause, Region, RegionKind};

use crate::scan::{self, Flow};

/// An event of the diff.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Bytes that are in both and differ, in the order of B's addresses. Sent only if [`Options::changes`] is set.
    Change(Change<'a>),
    /// The number of bytes of memory that were compared since the last such event.
    Progress(u64),
}

/// The receiver of the events.
pub type Sink<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<Flow> + Send);

/// The options of a diff.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// True if changes are told one by one ([`Event::Change`]).
    pub changes: bool,
    /// The options of the scan.
    pub scan: scan::Options,
}

impl Options {
    /// Says if changes are told one by one.
    #[must_use]
    pub fn changes(mut self, changes: bool) -> Self {
        self.changes = changes;
        self
    }

    /// Sets the options of the scan.
    #[must_use]
    pub fn scan(mut self, scan: scan::Options) -> Self {
        self.scan = scan;
        self
    }
}

/// Neighbouring lines of memory that all differ. A line is [`LINE`] bytes at a multiple of that in B, or the part of it
/// that lies in the same page and region.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The address in A.
    pub a: u64,
    /// The address in B.
    pub b: u64,
    /// The bytes in A.
    pub old: &'a [u8],
    /// The bytes in B, as many.
    pub new: &'a [u8],
}

/// The length of a line: if one of its bytes changed, all of them are told.
pub const LINE: u64 = 16;

/// Bytes of pages, by what became of them. A page ends where its region ends, at the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Pages that are the same on both sides, and not zero.
    pub same: u64,
    /// Pages with other content.
    pub changed: u64,
    /// Pages that are absent in A.
    pub added: u64,
    /// Pages that are absent in B.
    pub gone: u64,
    /// Pages that could not be read on one side, or are not in its image.
    pub unread: u64,
    /// The number of bytes that differ within the changed pages.
    pub changed_bytes: u64,
}

impl Pages {
    /// Returns true if they differ.
    pub fn differ(&self) -> bool {
        self.changed + self.added + self.gone > 0
    }

    /// The growth from A to B in bytes; negative if B has less.
    pub fn growth(&self) -> i128 {
        i128::from(self.added) - i128::from(self.gone)
    }

    /// Adds other pages.
    pub fn add(&mut self, other: &Pages) {
        self.same += other.same;
        self.changed += other.changed;
        self.added += other.added;
        self.gone += other.gone;
        self.unread += other.unread;
        self.changed_bytes += other.changed_bytes;
    }
}

/// A region of B and its counterpart in A, or a region of A that is gone.
#[derive(Clone, Debug)]
pub struct Row {
    /// The region in A.
    pub a: Option<Region>,
    /// The region in B.
    pub b: Option<Region>,
    /// The number of addresses that are in B's region only.
    pub mapped: u64,
    /// The number of addresses that are in A's region only.
    pub unmapped: u64,
    /// Its pages.
    pub pages: Pages,
}

impl Row {
    /// The kind of the region, as far as either side knows it.
    pub fn kind(&self) -> RegionKind {
        let kinds = [&self.b, &self.a].into_iter().flatten().map(|region| region.kind);
        let mut known = kinds.filter(|&kind| kind != RegionKind::Unknown);
        known.next().unwrap_or(RegionKind::Unknown)
    }

    /// Returns true if it differs.
    pub fn differs(&self) -> bool {
        self.mapped + self.unmapped > 0 || self.pages.differ()
    }

    /// Returns true if it is at another address.
    pub fn is_moved(&self) -> bool {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => a.extent.intersection(b.extent).is_none(),
            _ => false,
        }
    }
}

/// The result of a diff.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The regions in the order of B's addresses, then those that are gone in the order of A's.
    pub rows: Vec<Row>,
    /// The number of bytes of A that could not be read, by cause.
    pub holes_a: BTreeMap<Cause, u64>,
    /// The number of bytes of B that could not be read, by cause.
    pub holes_b: BTreeMap<Cause, u64>,
}

impl Report {
    /// Returns true if anything differs.
    pub fn differs(&self) -> bool {
        self.rows.iter().any(Row::differs)
    }

    /// The sum of all pages.
    pub fn pages(&self) -> Pages {
        let mut all = Pages::default();
        self.rows.iter().for_each(|row| all.add(&row.pages));
        all
    }
}
