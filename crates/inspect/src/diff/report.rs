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

/// Lines of memory all of which differ. A line is [`LINE`] bytes, at a multiple of that in B, or what of it lies in the same
/// page and region.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Where it stands in A.
    pub a: u64,
    /// Where it stands in B.
    pub b: u64,
    /// The bytes in A.
    pub old: &'a [u8],
    /// The bytes in B, as many.
    pub new: &'a [u8],
}

/// Bytes that are told together where one of them changed.
pub const LINE: u64 = 16;

/// Bytes of pages, by what became of them. A page is cut where its region ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// They hold the same on both sides, and not only zeros.
    pub same: u64,
    /// They hold something else.
    pub changed: u64,
    /// There was nothing in A.
    pub added: u64,
    /// There is nothing in B.
    pub gone: u64,
    /// One of the two could not be read, or is not in its image.
    pub unread: u64,
    /// How many bytes differ within the changed pages.
    pub changed_bytes: u64,
}

impl Pages {
    /// Whether they differ.
    pub fn differ(&self) -> bool {
        self.changed + self.added + self.gone > 0
    }

    /// Bytes that B has more than A, less than 0 where it has fewer.
    pub fn growth(&self) -> i128 {
        i128::from(self.added) - i128::from(self.gone)
    }

    /// Adds what is known of other pages.
    pub fn add(&mut self, other: &Pages) {
        self.same += other.same;
        self.changed += other.changed;
        self.added += other.added;
        self.gone += other.gone;
        self.unread += other.unread;
        self.changed_bytes += other.changed_bytes;
    }
}

/// A region of B and what it was in A; or one of A that is gone.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it was.
    pub a: Option<Region>,
    /// What it is.
    pub b: Option<Region>,
    /// Bytes of addresses that are in B's region alone.
    pub mapped: u64,
    /// Bytes of addresses that were in A's alone.
    pub unmapped: u64,
    /// What became of its pages.
    pub pages: Pages,
}

impl Row {
    /// What the region is for, as far as either side knows.
    pub fn kind(&self) -> RegionKind {
        let kinds = [&self.b, &self.a].into_iter().flatten().map(|region| region.kind);
        let mut known = kinds.filter(|&kind| kind != RegionKind::Unknown);
        known.next().unwrap_or(RegionKind::Unknown)
    }

    /// Whether it is not what it was.
    pub fn differs(&self) -> bool {
        self.mapped + self.unmapped > 0 || self.pages.differ()
    }

    /// Whether it stands at another address.
    pub fn is_moved(&self) -> bool {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => a.extent.intersection(b.extent).is_none(),
            _ => false,
        }
    }
}

/// What changed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By B's addresses, then what is gone by A's.
    pub rows: Vec<Row>,
    /// Bytes of A that could not be read, by cause.
    pub holes_a: BTreeMap<Cause, u64>,
    /// Bytes of B that could not be read, by cause.
    pub holes_b: BTreeMap<Cause, u64>,
}

impl Report {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        self.rows.iter().any(Row::differs)
    }

    /// All pages.
    pub fn pages(&self) -> Pages {
        let mut all = Pages::default();
        self.rows.iter().for_each(|row| all.add(&row.pages));
        all
    }
}
