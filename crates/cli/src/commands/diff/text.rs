//! The diff for people: where memory grew, then a table of kinds, then the regions that differ.

use std::io::{self, Write};

use memdump_image::{Extent, RegionKind};
use memdump_inspect::diff::{Change, Pages, Report, Row};

use super::super::target::region_name;
use super::shower::{Shower, Sides};
use crate::pager::Listing;
use crate::style::Palette;
use memdump_acquire::Human;

/// The number of kinds that the first line names.
const NAMED_KINDS: usize = 3;
/// Bytes in a line of changes.
const LINE: usize = 16;

pub(super) struct Text {
    palette: Palette,
    /// The region of B that the last change lay in.
    region: Option<Extent>,
}

/// The state of a region.
pub(super) fn state(row: &Row) -> &'static str {
    match (&row.a, &row.b) {
        (None, _) => "new",
        (_, None) => "gone",
        _ if row.mapped > row.unmapped => "grown",
        _ if row.mapped < row.unmapped => "shrunk",
        _ if row.is_moved() => "moved",
        _ => "changed",
    }
}

/// The regions of each kind together, in the order in which they come first.
pub(super) fn kinds(report: &Report) -> Vec<(RegionKind, Pages)> {
    let mut kinds: Vec<(RegionKind, Pages)> = Vec::new();
    for row in &report.rows {
        match kinds.iter_mut().find(|(kind, _)| *kind == row.kind()) {
            Some((_, pages)) => pages.add(&row.pages),
            None => kinds.push((row.kind(), row.pages)),
        }
    }
    kinds
}

impl Text {
    pub(super) fn new(palette: Palette) -> Self {
        Self { palette, region: None }
    }

    /// One line about the growth.
    fn headline(&self, report: &Report) -> String {
        let pages = report.pages();
        let growth = pages.growth();
        let first = match growth {
            0 if !report.differs() => {
                return match pages.unread {
                    0 => format!("A and B are the same: {} compared", Human(pages.same)),
                    unread => format!(
                        "A and B are the same as far as they can be read: {} compared, {} unread",
                        Human(pages.same),
                        Human(unread)
                    ),
                };
            }
            0 => "B has as much as A".to_owned(),
            more if more > 0 => format!("B has {} more", Human(more as u64)),
            less => format!("B has {} less", Human(less.unsigned_abs() as u64)),
        };
        let mut kinds = kinds(report);
        kinds.sort_by_key(|(_, pages)| std::cmp::Reverse(pages.growth().unsigned_abs()));
        let grown: Vec<String> = kinds
            .iter()
            .filter(|(_, pages)| pages.growth() != 0)
            .take(NAMED_KINDS)
            .map(|(kind, pages)| format!("{kind} {}", signed(pages.growth())))
            .collect();
        let mut line = first;
        if !grown.is_empty() {
            line += &format!(": {}", grown.join(", "));
        }
        if pages.changed > 0 {
            let bytes = pages.changed_bytes;
            let s = if bytes == 1 { "" } else { "s" };
            line += &format!("; {bytes} byte{s} changed in {} of pages", Human(pages.changed));
        }
        line
    }

    fn table(&self, report: &Report, out: &mut Listing) -> io::Result<()> {
        let (bold, reset) = (self.palette.bold(), self.palette.reset());
        let has_unread = report.pages().unread > 0;
        let mut heads = vec!["A", "B", "GROWTH", "ADDED", "GONE", "CHANGED", "SAME"];
        heads.extend(has_unread.then_some("UNREAD"));
        let columns = |cells: Vec<String>| -> String {
            cells.iter().map(|cell| format!(" {cell:>11}")).collect()
        };
        let heads = columns(heads.into_iter().map(str::to_owned).collect());
        writeln!(out, "{bold}{:<12}{heads}{reset}", "KIND")?;
        let total = ("total", bold, report.pages());
        let kinds = kinds(report).into_iter();
        let rows = kinds.map(|(kind, pages)| (kind.name(), self.palette.kind(kind), pages));
        for (name, color, pages) in rows.chain([total]) {
            let Pages { same, changed, added, gone, unread, .. } = pages;
            let mut cells = vec![
                size(same + changed + gone),
                size(same + changed + added),
                signed(pages.growth()),
                size(added),
                size(gone),
                size(changed),
                size(same),
            ];
            cells.extend(has_unread.then(|| size(unread)));
            writeln!(out, "{}{}", self.paint(color, &format!("{name:<12}")), columns(cells))?;
        }
        Ok(())
    }

    /// The text in a colour, which may be none.
    fn paint(&self, color: &str, text: &str) -> String {
        if color.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("{color}{text}{}", self.palette.reset())
    }

    fn region(&self, row: &Row, out: &mut Listing) -> io::Result<()> {
        let Some(region) = row.b.as_ref().or(row.a.as_ref()) else { return Ok(()) };
        let state = state(row);
        let mark = match state {
            "new" | "grown" => self.palette.added(),
            "gone" | "shrunk" => self.palette.gone(),
            _ => "",
        };
        let extent = region.extent;
        let mut what = Vec::new();
        if state == "grown" || state == "shrunk" {
            what.push(format!(
                "{} of addresses",
                signed(i128::from(row.mapped) - i128::from(row.unmapped))
            ));
        }
        if let (true, Some(a)) = (row.is_moved(), &row.a) {
            what.push(format!("was at {:#x}", a.extent.start()));
        }
        let Pages { changed, added, gone, unread, changed_bytes, .. } = row.pages;
        let mut part = |bytes: u64, word: &str| {
            if bytes > 0 {
                what.push(format!("{} {word}", Human(bytes)));
            }
        };
        part(added, "added");
        part(gone, "gone");
        part(changed, "changed");
        part(unread, "unread");
        if changed_bytes > 0 {
            what.push(format!(
                "{changed_bytes} {}",
                if changed_bytes == 1 { "byte differs" } else { "bytes differ" }
            ));
        }
        if what.is_empty() {
            what.push("nothing in it".into());
        }
        let permissions = region.mapping.as_ref().map(|mapping| mapping.permissions.to_string());
        let kind = row.kind();
        let name = match region.label.as_str() {
            "" => String::new(),
            _ => format!("  {}", region_name(region)),
        };
        writeln!(
            out,
            "{}{:016x}-{:016x} {:>4} {}{:>11}  {}{}",
            self.paint(mark, &format!("{state:<8}")),
            extent.start(),
            extent.end(),
            permissions.unwrap_or_default(),
            self.paint(self.palette.kind(kind), &format!("{:<12}", kind.name())),
            Human(extent.len()).to_string(),
            what.join(", "),
            self.paint(self.palette.faint(), &name),
        )
    }

    /// A line of bytes, those that differ marked.
    fn bytes(
        &self,
        (sign, color): (char, &str),
        addr: u64,
        bytes: &[u8],
        other: &[u8],
        out: &mut Listing,
    ) -> io::Result<()> {
        let reset = self.palette.reset();
        let mut line = format!("{color}{sign}{reset} {addr:016x}  ");
        for index in 0..LINE {
            if index == LINE / 2 {
                line.push(' ');
            }
            match bytes.get(index) {
                Some(byte) if bytes.get(index) != other.get(index) => {
                    line += &format!("{color}{byte:02x}{reset} ");
                }
                Some(byte) => line += &format!("{byte:02x} "),
                None => line += "   ",
            }
        }
        let shown = |byte: &u8| if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' };
        line += &format!(" |{}|\n", bytes.iter().map(shown).collect::<String>());
        out.write_all(line.as_bytes())
    }
}

impl Shower for Text {
    fn change(&mut self, sides: &Sides, change: Change<'_>, out: &mut Listing) -> io::Result<()> {
        let Change { a, b, old, new } = change;
        if self.region.is_none_or(|region| !region.contains(b))
            && let Some(region) = sides.map_b.find(b)
        {
            self.region = Some(region.extent);
            let (color, reset) = (self.palette.kind(region.kind), self.palette.reset());
            let size = Human(region.extent.len());
            let name = match region_name(region) {
                name if name.starts_with(region.kind.name()) => name,
                name => format!("{} {name}", region.kind),
            };
            writeln!(out, "{}{color}-- {name} {size} --{reset}", self.palette.bold())?;
        }
        // The first may be short, where what stands before it lies in another page or region.
        let first = LINE - (b % LINE as u64) as usize;
        let mut at = 0;
        while at < new.len() {
            let len = (if at == 0 { first } else { LINE }).min(new.len() - at);
            let (before, after) = (&old[at..at + len], &new[at..at + len]);
            self.bytes(('-', self.palette.gone()), a + at as u64, before, after, out)?;
            self.bytes(('+', self.palette.added()), b + at as u64, after, before, out)?;
            at += len;
        }
        Ok(())
    }

    fn report(&mut self, sides: &Sides, report: &Report, out: &mut Listing) -> io::Result<()> {
        let (bold, reset) = (self.palette.bold(), self.palette.reset());
        writeln!(out, "{bold}{}{reset}", self.headline(report))?;
        writeln!(out, "A is {}\nB is {}\n", sides.name_a, sides.name_b)?;
        self.table(report, out)?;
        let mut is_first = true;
        for row in report.rows.iter().filter(|row| row.differs()) {
            if std::mem::take(&mut is_first) {
                writeln!(out)?;
            }
            self.region(row, out)?;
        }
        Ok(())
    }
}

/// A column of zeros would be hard to read.
fn size(bytes: u64) -> String {
    if bytes == 0 { "-".into() } else { Human(bytes).to_string() }
}

fn signed(bytes: i128) -> String {
    let size = Human(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX));
    match bytes {
        0 => "-".into(),
        more if more > 0 => format!("+{size}"),
        _ => format!("-{size}"),
    }
}
