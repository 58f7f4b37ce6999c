//! `memdump diff`: what changed between two looks at memory.

mod json;
mod shower;
mod sides;
mod text;

use std::io;
use std::mem::discriminant;

use anyhow::{Context, bail};
use memdump_image::{ExtentSet, MemoryMap, Space, View};
use memdump_inspect::diff::{Event, Options, Report, diff};
use memdump_inspect::scan::{Flow, ScanError};

use self::shower::{Shower, Sides};
use self::sides::Side;
use super::look;
use super::target::{self, Target, TargetKind};
use crate::args::{DiffArgs, ProgressStyle};
use crate::exit::{self, Exit, ListingClosed, UsageError};
use crate::log;
use crate::pager::Listing;
use crate::progress::Progress;
use crate::style::Palette;
use memdump_acquire::Human;

pub(crate) fn run(args: &DiffArgs) -> anyhow::Result<Exit> {
    // As diff(1): what went wrong is told from what differs.
    Ok(compare(args).unwrap_or_else(|error| {
        exit::report(&error);
        Exit::Usage
    }))
}

fn compare(args: &DiffArgs) -> anyhow::Result<Exit> {
    log::init(args.of.verbose);
    let [side_a, side_b] = sides::sides(args)?;
    let stop = look::watch()?;
    let (a, b) = (open(args, &side_a)?, open(args, &side_b)?);
    refuse_unlike(&a, &b)?;
    sides::check_kinds(&args.of.kind, &a, &b)?;
    let (view_a, view_b) = (compared(args, &a, &b), compared(args, &b, &a));
    let sides = Sides { name_a: a.name.clone(), name_b: b.name.clone(), map_b: view_b.map() };
    let mut listing = Listing::open().context(ListingClosed)?;
    let mut shower: Box<dyn Shower> = match args.show.json {
        true => Box::new(json::Lines),
        false => Box::new(text::Text::new(Palette::of(args.show.color))),
    };
    // The moving line would run into what is shown.
    let is_mixed = args.bytes && listing.is_terminal();
    let style = if is_mixed { ProgressStyle::Never } else { args.show.progress };
    let total = view_b.total().saturating_add(view_a.total());
    let mut progress = Progress::new(style, args.show.quiet, total);
    let options = Options::default().changes(args.bytes);
    let result = diff(&view_a, &view_b, &options, &mut |event| {
        stop.check()?;
        match event {
            Event::Change(change) => shower.change(&sides, change, &mut listing)?,
            Event::Progress(bytes) => progress.advance(bytes),
        }
        Ok(Flow::Continue)
    });
    progress.clear();
    // A process that stands still for it need not wait for whoever reads the listing.
    drop((a, b));
    if result.is_err() && stop.is_set() {
        bail!("stopped by a signal");
    }
    let shown = match &result {
        Ok(report) => shower.report(&sides, report, &mut listing),
        Err(ScanError::Deliver(error)) => Err(error.kind().into()),
        Err(_) => Ok(()),
    };
    if let Err(error) = shown {
        let is_quit = error.kind() == io::ErrorKind::BrokenPipe && listing.was_pager();
        return if is_quit { Ok(Exit::Complete) } else { Err(error).context(ListingClosed) };
    }
    listing.finish().context(ListingClosed)?;
    let report = result
        .with_context(|| format!("cannot compare all of {} and {}", sides.name_a, sides.name_b))?;
    Ok(conclude(args, &sides, &report))
}

fn open(args: &DiffArgs, side: &Side) -> anyhow::Result<Target> {
    let target = target::open_as(&side.name, &side.options)?;
    if !args.show.quiet {
        target.notes.iter().for_each(|note| eprintln!("memdump: {note}"));
    }
    Ok(target)
}

/// Refuses targets whose addresses mean different things.
fn refuse_unlike(a: &Target, b: &Target) -> Result<(), UsageError> {
    let (space_a, space_b) = (a.map().space(), b.map().space());
    let is_empty = |target: &Target| target.map().regions().is_empty();
    if discriminant(&space_a) != discriminant(&space_b) && !is_empty(a) && !is_empty(b) {
        let message = format!(
            "{} is {} and {} is {}: their addresses mean different things; compare two of a sort",
            a.name,
            sort(space_a),
            b.name,
            sort(space_b)
        );
        return Err(UsageError(message));
    }
    Ok(())
}

/// The part of a target that is compared. Of a process that is not all that it has mapped: it is what a dump of it would
/// have, and what the other side has of it.
fn compared<'a>(args: &DiffArgs, target: &'a Target, other: &Target) -> View<'a> {
    let of_kinds = |map: &MemoryMap| sides::of_kinds(&args.of.kind, map);
    let mut view = target.view().within(&of_kinds(target.map()));
    if matches!(target.kind, TargetKind::Process(_)) && target.map().space() == other.map().space()
    {
        let of_other = other.view().within(&of_kinds(other.map()));
        let extents = view.extents().union(of_other.extents());
        view = View::new(target.space(), view.page_size()).within(&extents);
    }
    // Devices are not memory.
    let omitted: ExtentSet = target.omitted.iter().map(|hole| hole.extent).collect();
    view.without(&omitted)
}

fn sort(space: Space) -> &'static str {
    match space {
        Space::Physical => "a machine's physical memory or a plain file",
        Space::Kernel => "a kernel's memory",
        Space::Process(_) => "the memory of a process",
    }
}

/// Says what could not be read, and how it ended.
fn conclude(args: &DiffArgs, sides: &Sides, report: &Report) -> Exit {
    let mut is_incomplete = false;
    for (name, holes) in [(&sides.name_a, &report.holes_a), (&sides.name_b, &report.holes_b)] {
        for (cause, bytes) in holes {
            is_incomplete |= !cause.is_inherent();
            if !args.show.quiet {
                eprintln!("memdump: {}: {} not compared: {cause}", name, Human(*bytes));
            }
        }
    }
    match (is_incomplete, report.differs()) {
        (true, _) => Exit::Incomplete,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Complete,
    }
}
