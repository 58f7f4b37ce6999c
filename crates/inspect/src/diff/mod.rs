//! The diff: what changed between two looks at memory, page by page, by the regions that the pages lie in.
//!
//! A page counts where it holds something: zeros, and what was never touched, are nothing. So a page is the same,
//! changed, added (there was nothing), gone (there is nothing now), or could not be read. What is mapped counts apart from
//! that. Pages of a file that a process has mapped and has not in its memory are none of its memory, unless the other
//! side has something else there.
//!
//! Not about where the memory comes from, nor about how it is shown. Both sides are read by all CPUs; memory in use is
//! bounded, whatever there is to compare.

mod compare;
mod matching;

use std::collections::BTreeMap;
use std::io;

use memdump_image::{
    AddressSpace, Backing, Cause, Extent, ExtentSet, Facts, MemoryMap, Plan, Presence, ReadError,
    Region, RegionKind,
};

use crate::scan::{self, ScanError, scan};
use compare::{Gone, Pairs};
use matching::{Matching, Segment};

/// Memory to be compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Where it is read.
    pub space: &'a dyn AddressSpace,
    /// What of it is compared.
    pub map: &'a MemoryMap,
}

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Changes are told one by one ([`Event::Change`]).
    pub changes: bool,
    /// The page size in bytes, a power of two: that of the machine that the memory is of.
    pub page_size: u64,
    /// How it is read.
    pub scan: scan::Options,
}

/// What is told on the way.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Bytes that are in both and differ, in the order of B's addresses.
    Change(Change<'a>),
    /// So many bytes more have been dealt with.
    Progress(u64),
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

/// Where changes go. An error ends the diff.
pub type Listener<'a> = &'a mut (dyn FnMut(Event<'_>) -> io::Result<()> + Send);

/// Compares A, the older side, with B.
///
/// # Errors
/// When a source fails as a whole, or `listener` does.
pub fn diff(
    a: Side<'_>,
    b: Side<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<Report, ScanError> {
    // No page is to be cut by a read.
    let page_len = usize::try_from(options.page_size).unwrap_or(usize::MAX);
    let block_len = options.scan.block_len.max(1).next_multiple_of(page_len);
    let options = &Options { scan: scan::Options { block_len, ..options.scan }, ..*options };
    let matching = Matching::of(a.map, b.map);
    let (mut rows, places) = rows(a.map, b.map, &matching);
    let (in_a, in_b) = matching.both();
    let (files_a, files_b) = (in_files(a)?, in_files(b)?);
    // What both have in the same file only is the same without a look at it, and else it is nothing.
    let mut known = files_b.difference(&in_b);
    for segment in &matching.segments {
        let same = in_same_file(segment, (a.map, &files_a), (b.map, &files_b));
        rows[segment.regions.1].pages.same += same.total();
        known = known.union(&same);
    }

    let mut report = Report::default();
    let mut failed = None;
    let pairs = Pairs::new(a, b.map, &matching, options);
    let mut plan = Plan::whole(b.map.clone(), options.page_size, Facts::default());
    plan.left_out = known;
    let (summary, result) = scan(b.space, &plan, &options.scan, &pairs, &mut |part, mut found| {
        if found.is_left {
            found = pairs.each_in_zeros(part.extent, listener)?;
        }
        found.changes.tell(listener)?;
        for (row, pages) in &found.pages {
            rows[*row].pages.add(pages);
        }
        for (cause, bytes) in &found.holes {
            *report.holes_a.entry(*cause).or_default() += bytes;
        }
        if let Some(error) = found.error {
            failed = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        listener(Event::Progress(part.extent.len()))
    });
    if let Some(error) = failed {
        return Err(error);
    }
    result?;
    report.holes_b.extend(summary.holes.by_cause());

    let gone = a.map.subtract(&in_a.union(&files_a));
    let plan = Plan::whole(gone, options.page_size, Facts::default());
    let look = Gone { map: a.map, page_size: options.page_size };
    let (summary, result) = scan(a.space, &plan, &options.scan, &look, &mut |part, found| {
        for (index, pages) in &found {
            rows[places[*index]].pages.add(pages);
        }
        listener(Event::Progress(part.extent.len()))
    });
    result?;
    for (cause, bytes) in summary.holes.by_cause() {
        *report.holes_a.entry(cause).or_default() += bytes;
    }
    report.rows = rows;
    Ok(report)
}

/// A row for each region of B, then for each of A that is gone; and the row of each region of A.
fn rows(a: &MemoryMap, b: &MemoryMap, matching: &Matching) -> (Vec<Row>, Vec<usize>) {
    let mut places = vec![None; a.regions().len()];
    let mut left: Vec<u64> = a.regions().iter().map(|region| region.extent.len()).collect();
    let new = |region: &Region| Row {
        a: None,
        b: Some(region.clone()),
        mapped: region.extent.len(),
        unmapped: 0,
        pages: Pages::default(),
    };
    let mut rows: Vec<Row> = b.regions().iter().map(new).collect();
    for segment in &matching.segments {
        let (i, j) = segment.regions;
        rows[j].a.get_or_insert_with(|| a.regions()[i].clone());
        rows[j].mapped -= segment.b.len();
        left[i] -= segment.b.len();
        places[i].get_or_insert(j);
    }
    let places = places.into_iter().enumerate().map(|(index, place)| {
        let place = place.unwrap_or_else(|| {
            let gone = Some(a.regions()[index].clone());
            rows.push(Row { a: gone, b: None, mapped: 0, unmapped: 0, pages: Pages::default() });
            rows.len() - 1
        });
        rows[place].unmapped += left[index];
        place
    });
    let places = places.collect();
    (rows, places)
}

/// What a side has in mapped files only.
fn in_files(side: Side<'_>) -> Result<ExtentSet, ScanError> {
    let mut found = Vec::new();
    for region in side.map.regions() {
        let mut rest = Some(region.extent).filter(|_| backing(region).is_some());
        while let Some(here) = rest {
            let runs = match side.space.survey(here) {
                Ok(runs) => runs,
                Err(ReadError::Fault { .. }) => break,
                Err(ReadError::Io(source)) => {
                    return Err(ScanError::Read { addr: here.start(), source });
                }
            };
            let Some(last) = runs.last() else { break };
            rest = Extent::half_open(last.extent.end(), here.end()).ok();
            let in_file = runs.iter().filter(|run| run.presence == Presence::InFile);
            found.extend(in_file.map(|run| run.extent));
        }
    }
    Ok(found.into_iter().collect())
}

fn backing(region: &Region) -> Option<&Backing> {
    region.mapping.as_ref()?.backing.as_ref()
}

/// What of a segment both sides have in the same file only, by B's addresses.
fn in_same_file(
    segment: &Segment,
    (map_a, files_a): (&MemoryMap, &ExtentSet),
    (map_b, files_b): (&MemoryMap, &ExtentSet),
) -> ExtentSet {
    let (i, j) = segment.regions;
    let same = match (backing(&map_a.regions()[i]), backing(&map_b.regions()[j])) {
        (Some(a), Some(b)) => a.inode == b.inode && a.device == b.device && a.path == b.path,
        _ => false,
    };
    let Some(extent) = segment.in_a().filter(|_| same) else { return ExtentSet::default() };
    let to_b = |part: Extent| {
        Extent::with_len(segment.b.start() + (part.start() - segment.a), part.len()).ok()
    };
    let moved: ExtentSet = files_a.within(extent).filter_map(to_b).collect();
    moved.intersection(files_b)
}
