//! `memdump strings`: the strings of a target, one by one or counted.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use memdump_inspect::scan::{Flow, ScanError, Summary};
use memdump_inspect::text::Encoding;
use memdump_inspect::text::strings::{Collect, Event, FoundString, Options, find};
use memdump_inspect::text::tally::{Alike, Counted, Counts, Rank, Tally, Unlisted};
use serde_json::json;

use super::look::{self, Moving};
use super::print;
use super::shown::{Place, Places, address, escape, json_string};
use super::target::{self, Target};
use crate::args::{EncodingArg, RadixArg, StringsArgs};
use crate::exit::{Exit, ListingClosed};
use crate::log;
use crate::signals::StopFlag;
use crate::style::Palette;
use memdump_acquire::Human;

/// The memory for counted texts, in bytes. It is small for templates: those that fill memory are wanted, and there are many
/// small ones.
const MAX_TEMPLATES: usize = 32 << 20;
const MAX_UNIQUE: usize = 80 << 20;

pub(crate) fn run(args: &StringsArgs) -> anyhow::Result<Exit> {
    log::init(args.target.of.verbose);
    look::run(|| {
        let stop = look::watch()?;
        let target = target::open(&args.target.target, &args.target.of, &args.target.file)?;
        look::introduce(&target, args.show.quiet);
        match args.unique || args.templates {
            true => counted(args, &target, &stop),
            false => listed(args, &target, &stop),
        }
    })
}

fn options(args: &StringsArgs) -> Options {
    Options::default()
        .encodings(args.encoding.iter().map(|&arg| arg.into()))
        .min_len(args.min_len as usize)
        .scan(look::options(args.threads))
}

fn listed(args: &StringsArgs, target: &Target, stop: &StopFlag) -> anyhow::Result<Exit> {
    let is_terminal = io::stdout().is_terminal();
    let shown = Shown {
        places: Places { map: target.map(), palette: Palette::of(args.show.color) },
        radix: args.radix.or(is_terminal.then_some(RadixArg::Hexadecimal)),
        regions: args.regions || is_terminal && args.radix.is_none(),
        is_terminal,
        json: args.show.json,
        found: AtomicU64::new(0),
    };
    let mut moving = Moving::new(target, &args.show, stop);
    let mut stdout = io::stdout();
    let options = options(args).in_parts(!args.show.json).collect(&shown);
    let result = find(&target.view(), &options, &mut |event| match event {
        Event::Strings(lines) => stdout.write_all(&lines.text).map(|()| Flow::Continue),
        Event::Progress(bytes) => moving.advance(bytes),
    });
    moving.clear();
    let flushed = stdout.flush().map_err(ScanError::Deliver);
    let summary = moving.done(result.and_then(|seen| flushed.map(|()| seen)), target)?;
    let found = shown.found.into_inner();
    if args.show.json {
        print(&look::summary_line(target, &summary, found))?;
    }
    Ok(look::conclude(target, &summary, found, args.show.quiet))
}

/// Makes lines of strings.
struct Shown<'a> {
    places: Places<'a>,
    radix: Option<RadixArg>,
    regions: bool,
    is_terminal: bool,
    json: bool,
    found: AtomicU64,
}

/// Lines of output.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    place: Place,
    found: u64,
}

impl Collect for Shown<'_> {
    type Out = Lines;

    fn string(&self, lines: &mut Lines, string: &FoundString<'_>) {
        let out = &mut lines.text;
        lines.found += u64::from(string.is_first);
        if self.json {
            let FoundString { addr, encoding, .. } = string;
            let place = self.places.json(&mut lines.place, *addr);
            let name = encoding.name();
            // Writing to a vector cannot fail.
            let _ = write!(out, "{{\"address\":{addr},\"encoding\":\"{name}\",{place},\"string\":");
            json_string(out, string.text);
            out.extend_from_slice(if string.is_cut { b",\"cut\":true}\n" } else { b"}\n" });
            return;
        }
        if string.is_first {
            if let Some(radix) = self.radix {
                out.extend_from_slice(self.places.palette.faint().as_bytes());
                address(out, string.addr, radix);
                out.extend_from_slice(self.places.palette.reset().as_bytes());
            }
            if self.regions {
                let place = self.places.column(&mut lines.place, string.addr);
                out.extend_from_slice(place.as_bytes());
                out.push(b' ');
            }
        }
        match (self.is_terminal, string.encoding) {
            // Those of UTF-8 were found to be printable.
            (false, _) | (true, Encoding::Utf8) => out.extend_from_slice(string.text),
            (true, _) => escape(out, string.text),
        }
        if string.is_cut {
            out.extend_from_slice("…".as_bytes());
        }
        if string.is_last {
            out.push(b'\n');
        }
    }

    fn end_part(&self, lines: &mut Lines) {
        self.found.fetch_add(lines.found, Ordering::Relaxed);
    }
}

fn counted(args: &StringsArgs, target: &Target, stop: &StopFlag) -> anyhow::Result<Exit> {
    let (alike, rank) = match (args.templates, args.count) {
        (true, _) => (Alike::Template, Rank::Bytes),
        (false, true) => (Alike::Equal, Rank::Count),
        (false, false) => (Alike::Equal, Rank::First),
    };
    let tally = Tally::new(alike, rank, max_kept(args));
    let mut moving = Moving::new(target, &args.show, stop);
    let options = options(args).collect(&tally);
    let result = find(&target.view(), &options, &mut |event| match event {
        Event::Strings(_) => Ok(Flow::Continue),
        Event::Progress(bytes) => moving.advance(bytes),
    });
    moving.clear();
    let summary = moving.done(result, target)?;
    let table = Table { args, target, is_terminal: io::stdout().is_terminal() };
    table.print(&tally.into_counts(), &summary)
}

fn max_kept(args: &StringsArgs) -> usize {
    if args.templates { MAX_TEMPLATES } else { MAX_UNIQUE }
}

/// Counted strings, for people and for programs.
struct Table<'a> {
    args: &'a StringsArgs,
    target: &'a Target,
    is_terminal: bool,
}

impl Table<'_> {
    fn print(&self, counts: &Counts, summary: &Summary) -> anyhow::Result<Exit> {
        let Self { args, target, .. } = self;
        let places = Places { map: target.map(), palette: Palette::of(args.show.color) };
        let found = counts.strings();
        let mut place = Place::default();
        let mut out = Vec::new();
        let mut stdout = io::stdout().lock();
        let mut flush = |out: &mut Vec<u8>| {
            let written = stdout.write_all(out).and_then(|()| stdout.flush());
            out.clear();
            written.context(ListingClosed)
        };
        if args.templates && !args.show.json && found > 0 {
            let (bold, reset) = (places.palette.bold(), places.palette.reset());
            // Writing to a vector cannot fail.
            let _ = writeln!(out, "{bold}{:>10}  {:>12}  TEMPLATE{reset}", "COUNT", "BYTES");
        }
        for counted in counts.iter().take(args.top.unwrap_or(usize::MAX)) {
            self.line(&mut out, counted, &places, &mut place);
            if out.len() >= 1 << 16 {
                flush(&mut out)?;
            }
        }
        if args.show.json {
            let Unlisted { strings, bytes, at_most } = counts.unlisted();
            let mut summary = look::summary(target, summary, found);
            summary["unlisted"] = json!({"strings": strings, "bytes": bytes, "at_most": at_most});
            // Writing to a vector cannot fail.
            let _ = writeln!(out, "{}", json!({ "summary": summary }));
        }
        flush(&mut out)?;
        self.tell_unlisted(counts);
        Ok(look::conclude(target, summary, found, args.show.quiet))
    }

    /// Says what is not in the table as it would have taken too much memory.
    fn tell_unlisted(&self, counts: &Counts) {
        let Unlisted { strings, bytes, at_most } = counts.unlisted();
        if strings == 0 {
            return;
        }
        let why = match (self.args.templates, self.args.count) {
            (true, _) => format!(
                "are not listed: groups of at most {0} each; no group above is short of more than {0}",
                Human(at_most)
            ),
            (false, true) => format!(
                "are not listed: none of them was there more than {at_most} times; no count above is short of \
                 more than {at_most}"
            ),
            (false, false) => "were not told apart".into(),
        };
        eprintln!(
            "memdump: {strings} more strings ({}) {why}, as {} of different ones are kept: look at less (--heap, \
             --range …) or at longer ones (-n)",
            Human(bytes),
            Human(max_kept(self.args) as u64),
        );
    }

    fn line(
        &self,
        out: &mut Vec<u8>,
        counted: Counted<'_>,
        places: &Places<'_>,
        place: &mut Place,
    ) {
        let Counted { text, count, bytes, first, .. } = counted;
        let is_cut = text.len() == Tally::MAX_TEXT;
        if self.args.show.json {
            let what = if self.args.templates { "template" } else { "string" };
            let place = places.json(place, first);
            // Writing to a vector cannot fail.
            let _ = write!(out, "{{\"{what}\":");
            json_string(out, text);
            let cut = if is_cut { ",\"cut\":true" } else { "" };
            let _ = writeln!(
                out,
                ",\"count\":{count},\"bytes\":{bytes},\"first\":{first},{place}{cut}}}"
            );
            return;
        }
        let _ = match (self.args.templates, self.args.count) {
            (true, _) => write!(out, "{count:>10}  {:>12}  ", Human(bytes).to_string()),
            (false, true) => write!(out, "{count:>10}  "),
            (false, false) => Ok(()),
        };
        match (self.is_terminal, std::str::from_utf8(text)) {
            (false, _) => out.extend_from_slice(text),
            (true, Ok(text)) if self.args.encoding == [EncodingArg::Utf8] => {
                out.extend_from_slice(text.as_bytes());
            }
            (true, _) => escape(out, text),
        }
        out.extend_from_slice(if is_cut { "…\n".as_bytes() } else { b"\n" });
    }
}
