//! `memdump search`: where patterns are in a target.

mod patterns;

use std::io::{self, IsTerminal, Write};

use memdump_image::MemoryMap;
use memdump_inspect::scan::ScanError;
use memdump_inspect::search::{Match, Pattern, Search, What};
use memdump_inspect::strings::is_printable_char;

use super::look::{self, Moving};
use super::print;
use super::shown::{Place, Places, address, json_string};
use super::target;
use crate::args::{RadixArg, SearchArgs};
use crate::exit::{Exit, UsageError};
use crate::log;
use crate::style::Palette;

/// Output is written in pieces of this many bytes, where it is not for a terminal.
const PIECE_LEN: usize = 1 << 16;
/// Bytes of a match that are shown.
const SHOWN: usize = 64;
/// Bytes of a match that are shown in hexadecimal for people.
const SHOWN_HEX: usize = 16;

pub(crate) fn run(args: &SearchArgs) -> anyhow::Result<Exit> {
    log::init(args.target.of.verbose);
    look::run(|| {
        // Wrong patterns are told of before anything is opened.
        patterns::fixed(&args.what)?;
        let stop = look::watch()?;
        let target = target::open(&args.target.target, &args.target.of)?;
        let patterns = patterns::all(&args.what, target.map())?;
        let context = if args.count { 0 } else { usize::from(args.context) };
        let search = Search::new(&patterns, context).map_err(|error| {
            UsageError(format!("these patterns cannot be searched for: {error}"))
        })?;
        look::introduce(&target, args.quiet);
        let mut lines = Lines {
            args,
            places: Places { map: target.map(), palette: Palette::of(args.color) },
            patterns: &patterns,
            place: Place::default(),
            out: Vec::new(),
            stdout: io::stdout(),
            is_terminal: io::stdout().is_terminal(),
        };
        let mut counts = vec![0_u64; patterns.len()];
        let mut found = 0;
        let moving = Moving::new(&target, args.quiet, &stop);
        let (summary, result) = search.run(
            target.space(),
            &target.plan,
            &look::options(args.threads),
            &mut |place| {
                counts[place.pattern] += 1;
                found += 1;
                if !args.count {
                    lines.add(place)?;
                }
                Ok(args.max.is_none_or(|max| found < max))
            },
            &|done| moving.advance(done),
        );
        moving.clear();
        let flushed = lines.flush().map_err(ScanError::Deliver);
        moving.done(result.and(flushed), &target)?;
        if args.count {
            print(&counted(args, &patterns, &counts))?;
        }
        if args.json {
            print(&look::summary_line(&target, &summary, found))?;
        }
        Ok(look::conclude(&target, &summary, found, args.quiet))
    })
}

fn counted(args: &SearchArgs, patterns: &[Pattern], counts: &[u64]) -> String {
    let pairs = || counts.iter().zip(patterns);
    match (args.json, patterns) {
        (true, _) => pairs()
            .map(|(count, pattern)| {
                format!("{}\n", serde_json::json!({"pattern": pattern.name, "count": count}))
            })
            .collect(),
        (false, [_]) => format!("{}\n", counts[0]),
        (false, _) => pairs()
            .map(|(count, pattern)| {
                format!("{count:>10}  {}\n", printable(pattern.name.as_bytes()))
            })
            .collect(),
    }
}

/// Makes a line of each match.
struct Lines<'a> {
    args: &'a SearchArgs,
    places: Places<'a>,
    patterns: &'a [Pattern],
    place: Place,
    out: Vec<u8>,
    stdout: io::Stdout,
    is_terminal: bool,
}

impl Lines<'_> {
    fn add(&mut self, found: &Match<'_>) -> io::Result<()> {
        match self.args.json {
            true => self.json(found),
            false => self.text(found),
        }
        // Where matches are rare, each is shown when it is found.
        match self.is_terminal || self.out.len() >= PIECE_LEN {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.write_all(&self.out)?;
        self.out.clear();
        self.stdout.flush()
    }

    fn json(&mut self, found: &Match<'_>) {
        let Pattern { name, what, .. } = &self.patterns[found.pattern];
        let place = self.places.json(&mut self.place, found.addr);
        let out = &mut self.out;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{{\"address\":{},\"pattern\":", found.addr);
        json_string(out, name.as_bytes());
        let _ = write!(out, ",{place},\"length\":{},\"bytes\":\"", found.bytes.len());
        hex(out, &found.bytes[..found.bytes.len().min(SHOWN)], "");
        out.extend_from_slice(b"\",\"before\":\"");
        hex(out, found.before, "");
        out.extend_from_slice(b"\",\"after\":\"");
        hex(out, found.after, "");
        out.push(b'"');
        if let What::PointerTo { .. } = what {
            let _ = write!(out, ",\"value\":{}", value(found.bytes));
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, found: &Match<'_>) {
        let Pattern { name, what, .. } = &self.patterns[found.pattern];
        let palette = self.places.palette;
        let (faint, bold, reset) = (palette.faint(), palette.bold(), palette.reset());
        let out = &mut self.out;
        out.extend_from_slice(faint.as_bytes());
        address(out, found.addr, RadixArg::Hexadecimal);
        out.extend_from_slice(reset.as_bytes());
        out.extend_from_slice(self.places.column(&mut self.place, found.addr).as_bytes());
        // Writing to a vector cannot fail.
        if self.patterns.len() > 1 {
            let _ = write!(out, " {:<16}", printable(name.as_bytes()));
        }
        if let What::PointerTo { .. } = what {
            let value = value(found.bytes);
            let _ = writeln!(out, " -> {bold}{value:x}{reset} {}", pointee(self.places.map, value));
            return;
        }
        if !is_text(found.bytes) {
            out.push(b' ');
            hex(out, &found.bytes[..found.bytes.len().min(SHOWN_HEX)], " ");
        }
        let bytes =
            &found.bytes[..found.bytes.len().min(SHOWN.max(4 * self.args.context as usize))];
        let cut = if bytes.len() < found.bytes.len() { "…" } else { "" };
        let _ = writeln!(
            out,
            " {}{bold}{}{cut}{reset}{}",
            printable(found.before),
            printable(bytes),
            printable(found.after)
        );
    }
}

/// Whether the bytes can be read as text; those of two and four bytes a character too.
fn is_text(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| text.chars().all(|c| is_printable_char(c) || c == '\0'))
        && bytes.iter().any(|&byte| byte != 0)
}

/// Where a pointer leads.
fn pointee(map: &MemoryMap, value: u64) -> String {
    match map.find(value) {
        Some(region) => {
            let offset = value - region.extent.start();
            format!("{}+{offset:#x}", target::region_name(region))
        }
        None => String::new(),
    }
}

/// A pointer, the lowest byte first.
fn value(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn hex(out: &mut Vec<u8>, bytes: &[u8], separator: &str) {
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index == 0 { "" } else { separator };
        // Writing to a vector cannot fail.
        let _ = write!(out, "{separator}{byte:02x}");
    }
}

/// Bytes as text, a dot for each that is none.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let shown = |c: char| if c != '\t' && is_printable_char(c) { c } else { '.' };
        text.extend(chunk.valid().chars().map(shown));
        text.extend(chunk.invalid().iter().map(|_| '.'));
    }
    text
}
