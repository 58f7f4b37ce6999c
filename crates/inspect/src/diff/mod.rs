//! The diff: the changes between two views of memory, page by page, summed by region.
//!
//! Zero and unpopulated pages count as absent. So a page is the same, changed, added (it was absent), gone (it is absent
//! now), or unread. Mapped addresses are counted separately. Pages of a mapped file that are not in a process's memory
//! do not count as its memory, unless the other side has something else there.
//!
//! All CPUs read both sides. The memory in use is bounded, whatever there is to compare.

mod compare;
mod matching;
mod report;
mod side;

use memdump_image::{Backing, Extent, ExtentSet, MemoryMap, Presence, ReadError, Region, View};

pub use report::{Change, Event, LINE, Options, Pages, Report, Row, Sink};

use crate::scan::{Flow, ScanError, scan};
use compare::{Gone, Pairs};
use matching::{Matching, Segment};
use side::Side;

/// Compares A, the older side, with B.
///
/// If the sink stops the diff, the report has what was compared until then.
///
/// # Errors
/// When a source fails as a whole, or `sink` does.
pub fn diff(
    a: &View<'_>,
    b: &View<'_>,
    options: &Options,
    sink: Sink<'_>,
) -> Result<Report, ScanError> {
    let (a, b) = (Side::new(a), Side::new(b));
    let page_size = a.view.page_size().min(b.view.page_size());
    // No page is to be cut by a read.
    let page_len = usize::try_from(page_size).unwrap_or(usize::MAX);
    let block_len = options.scan.block_len.max(1).next_multiple_of(page_len);
    let options = options.scan(options.scan.block_len(block_len));
    let matching = Matching::of(&a.map, &b.map);
    let (mut rows, places) = rows(&a.map, &b.map, &matching);
    let (in_a, in_b) = matching.both();
    let (files_a, files_b) = (in_files(&a)?, in_files(&b)?);
    // What both have in the same file only is the same, and need not be read; in different files it counts as absent.
    let mut known = files_b.difference(&in_b);
    for segment in &matching.segments {
        let same = in_same_file(segment, (&a.map, &files_a), (&b.map, &files_b));
        rows[segment.regions.1].pages.same += same.total();
        known = known.union(&same);
    }

    let mut report = Report::default();
    let pairs = Pairs::new(&a, &b.map, &matching, page_size, options);
    let view = b.view.clone().without(&known);
    let flow = compare_b(&view, &pairs, &mut rows, &mut report, sink)?;
    if !flow.is_stop() {
        let gone = a.view.clone().without(&in_a.union(&files_a));
        let look = Gone { map: &a.map, page_size };
        let summary = scan(&gone, &options.scan, &look, &mut |part, found| {
            for (index, pages) in &found {
                rows[places[*index]].pages.add(pages);
            }
            sink(Event::Progress(part.extent.len()))
        })?;
        for (cause, bytes) in summary.holes.by_cause() {
            *report.holes_a.entry(cause).or_default() += bytes;
        }
    }
    report.rows = rows;
    Ok(report)
}

/// Compares the memory of B, which is that of `view`, with A.
fn compare_b(
    view: &View<'_>,
    pairs: &Pairs<'_>,
    rows: &mut [Row],
    report: &mut Report,
    sink: Sink<'_>,
) -> Result<Flow, ScanError> {
    let mut flow = Flow::Continue;
    let mut failed = None;
    let result = scan(view, &pairs.options.scan, pairs, &mut |part, mut found| {
        if found.is_left {
            (found, flow) = pairs.each_in_zeros(part.extent, sink)?;
        }
        if !flow.is_stop() {
            flow = found.changes.tell(sink)?;
        }
        for (row, pages) in &found.pages {
            rows[*row].pages.add(pages);
        }
        for (cause, bytes) in &found.holes {
            *report.holes_a.entry(*cause).or_default() += bytes;
        }
        if let Some(error) = found.error {
            failed = Some(error);
            flow = Flow::Stop;
        }
        if !flow.is_stop() {
            flow = sink(Event::Progress(part.extent.len()))?;
        }
        Ok(flow)
    });
    if let Some(error) = failed {
        return Err(error);
    }
    report.holes_b.extend(result?.holes.by_cause());
    Ok(flow)
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

/// The extents that a side has in mapped files only.
fn in_files(side: &Side<'_>) -> Result<ExtentSet, ScanError> {
    let mut found = Vec::new();
    for region in side.map.regions() {
        let mut rest = Some(region.extent).filter(|_| backing(region).is_some());
        while let Some(here) = rest {
            let runs = match side.view.space().survey(here) {
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

/// The parts of a segment that both sides have in the same file only, by B's addresses.
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
