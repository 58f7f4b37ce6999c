//! `memdump hexdump`: memory as bytes and text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, bail};
use memdump_image::{Cause, Extent, Hole, MemoryMap, Region, View};
use memdump_inspect::hexdump::{Event, Form, Layout, Marks, Options, hexdump};
use memdump_inspect::scan::{Flow, ScanError};
use serde_json::json;

use super::look;
use super::target::{self, Target, TargetKind};
use crate::args::{HexdumpArgs, ProgressStyle};
use crate::exit::{Exit, ListingClosed};
use crate::log;
use crate::pager::Listing;
use crate::progress::Progress;
use crate::signals::StopFlag;
use crate::style::{self, Palette};
use memdump_acquire::Human;

pub(crate) fn run(args: &HexdumpArgs) -> anyhow::Result<Exit> {
    log::init(args.target.of.verbose);
    let stop = look::watch()?;
    let target = target::open(&args.target.target, &args.target.of, &args.target.file)?;
    if !args.show.quiet {
        target.notes.iter().for_each(|note| eprintln!("memdump: {note}"));
    }
    let view = chosen(args, &target)?;
    let listing = Listing::open().context(ListingClosed)?;
    let palette = Palette::of(args.show.color);
    let reader = match () {
        () if args.show.json => Reader::Json,
        () if listing.is_terminal() || palette.is_on() => Reader::Person(palette),
        () => Reader::Program,
    };
    let options = options(args, &target, reader);
    let total = match args.ranges.is_empty() {
        true => view.total(),
        false => args.ranges.iter().map(|range| range.len()).sum(),
    };
    // The moving line would run into what is shown.
    let style = if listing.is_terminal() { ProgressStyle::Never } else { args.show.progress };
    let mut shown = Shown {
        listing,
        reader,
        stop: &stop,
        target: &target,
        holes: BTreeMap::new(),
        nothing: 0,
        progress: Progress::new(style, args.show.quiet, total),
    };
    let ranges = (!args.ranges.is_empty()).then_some(&args.ranges[..]);
    let result =
        hexdump(&view, ranges, &options, &mut |event| shown.event(event).map(|()| Flow::Continue));
    shown.progress.clear();
    let exit = shown.conclude(args);
    let listing = shown.listing;
    let name = target.name.clone();
    // A process that stands still for it need not wait for whoever reads the listing.
    drop(target);
    match result {
        Err(_) if stop.is_set() => bail!("stopped by a signal"),
        Ok(_) => listing.finish().context(ListingClosed)?,
        Err(ScanError::Deliver(error)) => {
            let is_quit = error.kind() == io::ErrorKind::BrokenPipe && listing.was_pager();
            return if is_quit { Ok(Exit::Complete) } else { Err(error).context(ListingClosed) };
        }
        Err(error) => {
            listing.finish().context(ListingClosed)?;
            return Err(error).with_context(|| format!("cannot show all of {name}"));
        }
    }
    Ok(exit)
}

/// The part of the target that is shown.
fn chosen<'a>(args: &HexdumpArgs, target: &'a Target) -> anyhow::Result<View<'a>> {
    let view = target.view();
    if args.ranges.is_empty() {
        return Ok(view);
    }
    // Whoever names an address wants to see what is there; but devices are not memory.
    let view = View::new(target.space(), view.page_size())
        .without(&target.omitted.iter().map(|hole| hole.extent).collect());
    let is_there = |range: &Extent| view.extents().within(*range).next().is_some();
    if !args.ranges.iter().any(is_there) {
        let range = args.ranges[0];
        let omitted = target.omitted.iter().find(|hole| hole.extent.intersection(range).is_some());
        if let Some(hole) = omitted {
            bail!("nothing can be shown at {range} of {}: {}", target.name, hole.cause);
        }
        bail!(
            "there is no memory at {range} of {}{}; `memdump {}` lists what there is",
            target.name,
            nearest(target.map(), range),
            match target.kind {
                TargetKind::Process(pid) => format!("map {pid}"),
                TargetKind::Machine => "map".into(),
                TargetKind::Image | TargetKind::Plain => "info IMAGE".into(),
            }
        );
    }
    Ok(view)
}

/// The regions around a range without memory, for people.
fn nearest(map: &MemoryMap, range: Extent) -> String {
    let after = map.regions().partition_point(|region| region.extent.end() <= range.start());
    let told = |region: &Region, side: &str| {
        let Region { extent, .. } = region;
        format!("; the nearest {side} is {} ({})", extent, target::region_name(region))
    };
    let before = after.checked_sub(1).and_then(|index| map.regions().get(index));
    let below = before.map_or(String::new(), |region| told(region, "below"));
    below + &map.regions().get(after).map_or(String::new(), |region| told(region, "above"))
}

const MARKS: Marks = Marks::new(style::of_kind, style::FAINT, "", style::BINARY, style::RESET);

/// The reader of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A program that expects what hexdump(1) prints.
    Program,
    /// A program that expects JSON.
    Json,
    /// Somebody at a terminal: it is said what lies where, and what is missing.
    Person(Palette),
}

fn options(args: &HexdumpArgs, target: &Target, reader: Reader) -> Options {
    let is_plain = target.kind == TargetKind::Plain;
    let form = match reader {
        Reader::Json => Form::Json,
        Reader::Person(palette) if palette.is_on() => Form::Marked(Box::new(MARKS)),
        Reader::Person(_) | Reader::Program => Form::Canonical,
    };
    let layout = Layout::canonical(if is_plain { 8 } else { 16 });
    Options::default()
        .layout(layout.width(args.width.into()).group(args.group.into()).form(form))
        .squeeze(!args.no_squeezing)
        .by_region(!is_plain && reader != Reader::Program)
}

/// The output so far.
struct Shown<'a> {
    listing: Listing,
    reader: Reader,
    stop: &'a StopFlag,
    target: &'a Target,
    /// Bytes that could not be read, by cause.
    holes: BTreeMap<Cause, u64>,
    /// Bytes that were asked for and lie in no region.
    nothing: u64,
    progress: Progress,
}

impl Shown<'_> {
    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        self.stop.check()?;
        match event {
            Event::Lines(lines) => self.listing.write_all(lines),
            Event::Region(region) => self.region(region),
            Event::Hole(hole) => self.hole(hole),
            Event::Nothing(extent) => {
                let omitted = &self.target.omitted;
                let hole = omitted.iter().find(|hole| hole.extent.intersection(extent).is_some());
                match hole {
                    Some(hole) => self.hole(Hole { extent, cause: hole.cause }),
                    None => self.nothing(extent),
                }
            }
            Event::Progress(bytes) => {
                self.progress.advance(bytes);
                Ok(())
            }
        }
    }

    fn region(&mut self, region: &Region) -> io::Result<()> {
        let permissions = region.mapping.as_ref().map(|mapping| mapping.permissions.to_string());
        let Region { extent, kind, label, .. } = region;
        match self.reader {
            Reader::Program => Ok(()),
            Reader::Json => self.json(json!({ "region": {
                "start": extent.start(),
                "end": extent.end(),
                "kind": kind.name(),
                "label": label,
                "permissions": permissions,
            }})),
            Reader::Person(palette) => {
                let mut words = vec![kind.name().to_owned()];
                words.extend(permissions);
                words.extend((!label.is_empty()).then(|| target::region_name(region)));
                let (size, words) = (Human(extent.len()), words.join(" "));
                let (color, reset) = (palette.kind(*kind), palette.reset());
                writeln!(self.listing, "{}{color}-- {words} {size} --{reset}", palette.bold())
            }
        }
    }

    fn hole(&mut self, hole: Hole) -> io::Result<()> {
        let Hole { extent, cause } = hole;
        *self.holes.entry(cause).or_default() += extent.len();
        self.missing(extent, cause.name(), &cause.to_string())
    }

    fn nothing(&mut self, extent: Extent) -> io::Result<()> {
        self.nothing += extent.len();
        self.missing(extent, "nothing", "there is no memory")
    }

    fn missing(&mut self, extent: Extent, name: &str, why: &str) -> io::Result<()> {
        match self.reader {
            Reader::Program => Ok(()),
            Reader::Json => self.json(json!({ "hole": {
                "start": extent.start(),
                "end": extent.end(),
                "cause": name,
            }})),
            Reader::Person(palette) => writeln!(
                self.listing,
                "{}-- {} missing at {:#x}: {why} --{}",
                palette.gone(),
                Human(extent.len()),
                extent.start(),
                palette.reset(),
            ),
        }
    }

    fn json(&mut self, object: serde_json::Value) -> io::Result<()> {
        writeln!(self.listing, "{object}")
    }

    /// Says what is missing where the lines do not, and how it ended.
    fn conclude(&self, args: &HexdumpArgs) -> Exit {
        let is_told = args.show.quiet || matches!(self.reader, Reader::Person(_));
        for (cause, bytes) in self.holes.iter().filter(|_| !is_told) {
            eprintln!("memdump: {} not shown: {cause}", Human(*bytes));
        }
        if self.nothing > 0 && !is_told {
            eprintln!("memdump: {} not shown: there is no memory", Human(self.nothing));
        }
        let is_missing = self.nothing > 0 || self.holes.keys().any(|cause| !cause.is_inherent());
        if is_missing { Exit::Incomplete } else { Exit::Complete }
    }
}
