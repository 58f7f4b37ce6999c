//! Addresses, regions and bytes of memory in listings. Bytes that cannot be printed never
//! reach a terminal.

use std::fmt::Write as _;
use std::io::Write;

use memdump_image::{Extent, MemoryMap, Region};

use super::target::region_name;
use crate::args::RadixArg;
use crate::style::Palette;

/// The widest name of a region in a column.
const NAME_WIDTH: usize = 22;

/// The region around the last address that was asked for, as it is shown.
#[derive(Default)]
pub(super) struct Place {
    extent: Option<Extent>,
    /// For a column.
    column: String,
    /// `"region":"…","kind":"…"`.
    json: String,
}

/// The way places are shown.
pub(super) struct Places<'a> {
    pub(super) map: &'a MemoryMap,
    pub(super) palette: Palette,
}

impl Places<'_> {
    /// The region around `addr`, in a column; `place` remembers the last one.
    pub(super) fn column<'p>(&self, place: &'p mut Place, addr: u64) -> &'p str {
        self.find(place, addr);
        &place.column
    }

    /// The region around `addr`, as members of an object of JSON.
    pub(super) fn json<'p>(&self, place: &'p mut Place, addr: u64) -> &'p str {
        self.find(place, addr);
        &place.json
    }

    fn find(&self, place: &mut Place, addr: u64) {
        if place.extent.is_some_and(|extent| extent.contains(addr)) {
            return;
        }
        let region = self.map.find(addr);
        place.extent = region.map(|region| region.extent);
        place.column.clear();
        let (color, name, kind) = match region {
            Some(region) => {
                (self.palette.kind(region.kind), short_name(region), region.kind.name())
            }
            None => ("", String::new(), ""),
        };
        let reset = if color.is_empty() { "" } else { self.palette.reset() };
        // Writing to a string cannot fail.
        let _ = write!(place.column, "{color}{name:<NAME_WIDTH$}{reset}");
        let full = region.map(|region| region.label.as_str()).unwrap_or_default();
        place.json = format!("\"region\":{},\"kind\":\"{kind}\"", serde_json::json!(full));
    }
}

/// The name of a region that fits a column: of a path its end.
fn short_name(region: &Region) -> String {
    let name = region_name(region);
    let last = match region.label.starts_with('/') {
        true => name.rsplit('/').next().unwrap_or(&name),
        false => &name,
    };
    let count = last.chars().count();
    match count > NAME_WIDTH {
        true => format!("…{}", last.chars().skip(count - NAME_WIDTH + 1).collect::<String>()),
        false => last.to_owned(),
    }
}

/// An address as `strings -t` writes it.
pub(super) fn address(out: &mut Vec<u8>, addr: u64, radix: RadixArg) {
    if radix == RadixArg::Hexadecimal {
        // The usual one, and far quicker than formatting.
        let digits = (64 - addr.leading_zeros()).div_ceil(4).max(1) as usize;
        out.extend_from_slice(&b"       "[digits.min(7)..]);
        let hex = b"0123456789abcdef";
        let nibbles = (0..digits).rev().map(|digit| hex[(addr >> (4 * digit) & 15) as usize]);
        out.extend(nibbles);
        out.push(b' ');
        return;
    }
    // Writing to a vector cannot fail.
    let _ = match radix {
        RadixArg::Octal => write!(out, "{addr:7o} "),
        _ => write!(out, "{addr:7} "),
    };
}

/// Text of which every byte that is not ASCII was not found to be UTF-8, for a terminal.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b' '..=b'~' | b'\t' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

/// Bytes as a string of JSON: UTF-8 where they are, each byte a character of Latin-1 where they are not.
pub(super) fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    let latin: String;
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => {
            latin = text.iter().copied().map(char::from).collect();
            &latin
        }
    };
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}
