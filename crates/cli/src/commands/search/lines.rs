//! The lines of output: one for each match, for people or for programs.

use std::io::{self, IsTerminal, Write};

use memdump_image::MemoryMap;
use memdump_inspect::text::is_printable_char;

use super::super::shown::{Place, Places, address, json_string};
use super::super::target::region_name;
use crate::args::{RadixArg, SearchArgs};
use crate::style::Palette;

/// Output is written in pieces of this many bytes, where it is not for a terminal.
const PIECE_LEN: usize = 1 << 16;
/// Bytes of a match that are shown.
const SHOWN: usize = 64;
/// Bytes of a match that are shown in hexadecimal for people.
const SHOWN_HEX: usize = 16;

/// Something that was found.
pub(super) struct Hit<'a> {
    pub(super) addr: u64,
    /// The rule that it fits, where it is one of YARA's.
    pub(super) rule: Option<&'a str>,
    /// The name of the pattern; none if a rule holds without one.
    pub(super) pattern: Option<&'a str>,
    /// True if its bytes are a little-endian pointer.
    pub(super) is_pointer: bool,
    pub(super) before: &'a [u8],
    pub(super) bytes: &'a [u8],
    pub(super) after: &'a [u8],
}

/// Makes a line of each match.
pub(super) struct Lines<'a> {
    args: &'a SearchArgs,
    places: Places<'a>,
    /// True if lines for people name the pattern.
    is_named: bool,
    place: Place,
    out: Vec<u8>,
    stdout: io::Stdout,
    is_terminal: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(args: &'a SearchArgs, map: &'a MemoryMap, is_named: bool) -> Self {
        Self {
            args,
            places: Places { map, palette: Palette::of(args.show.color) },
            is_named,
            place: Place::default(),
            out: Vec::new(),
            stdout: io::stdout(),
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(super) fn add(&mut self, found: &Hit<'_>) -> io::Result<()> {
        match self.args.show.json {
            true => self.json(found),
            false => self.text(found),
        }
        // Where matches are rare, each is shown when it is found.
        match self.is_terminal || self.out.len() >= PIECE_LEN {
            true => self.flush(),
            false => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stdout.write_all(&self.out)?;
        self.out.clear();
        self.stdout.flush()
    }

    fn json(&mut self, found: &Hit<'_>) {
        let place = self.places.json(&mut self.place, found.addr);
        let out = &mut self.out;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{{\"address\":{}", found.addr);
        if let Some(rule) = found.rule {
            out.extend_from_slice(b",\"rule\":");
            json_string(out, rule.as_bytes());
        }
        out.extend_from_slice(b",\"pattern\":");
        match found.pattern {
            Some(pattern) => json_string(out, pattern.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        let _ = write!(out, ",{place},\"length\":{},\"bytes\":\"", found.bytes.len());
        hex(out, &found.bytes[..found.bytes.len().min(SHOWN)], "");
        out.extend_from_slice(b"\",\"before\":\"");
        hex(out, found.before, "");
        out.extend_from_slice(b"\",\"after\":\"");
        hex(out, found.after, "");
        out.push(b'"');
        if found.is_pointer {
            let _ = write!(out, ",\"value\":{}", value(found.bytes));
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, found: &Hit<'_>) {
        let palette = self.places.palette;
        let (faint, bold, reset) = (palette.faint(), palette.bold(), palette.reset());
        let out = &mut self.out;
        out.extend_from_slice(faint.as_bytes());
        address(out, found.addr, RadixArg::Hexadecimal);
        out.extend_from_slice(reset.as_bytes());
        out.extend_from_slice(self.places.column(&mut self.place, found.addr).as_bytes());
        // Writing to a vector cannot fail.
        if self.is_named {
            let _ = write!(out, " {:<16}", name(found.rule, found.pattern));
        }
        if found.is_pointer {
            let value = value(found.bytes);
            let _ = writeln!(out, " -> {bold}{value:x}{reset} {}", pointee(self.places.map, value));
            return;
        }
        if !found.bytes.is_empty() && !is_text(found.bytes) {
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

/// The name of a pattern, for people: `rule:$a` if it is a rule's.
pub(super) fn name(rule: Option<&str>, pattern: Option<&str>) -> String {
    let name = match (rule, pattern) {
        (Some(rule), Some(pattern)) => format!("{rule}:{pattern}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => String::new(),
    };
    printable(name.as_bytes())
}

/// Returns true if the bytes are readable as text, also of two or four bytes for each character.
fn is_text(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| text.chars().all(|c| is_printable_char(c) || c == '\0'))
        && bytes.iter().any(|&byte| byte != 0)
}

/// The target of a pointer.
fn pointee(map: &MemoryMap, value: u64) -> String {
    match map.find(value) {
        Some(region) => {
            let offset = value - region.extent.start();
            format!("{}+{offset:#x}", region_name(region))
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
