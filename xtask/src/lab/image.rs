//! Readers of images, for the comparison alone: which address stands where in a file. Small, strict, and written from the formats'
//! descriptions without the crates under test; they refuse what a lenient reader would take.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Range;

/// The layout of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Regions one after another; the map that was written beside it says which.
    Raw,
    /// Position is address.
    Padded,
    /// LiME version 1.
    Lime,
    /// An ELF core file.
    Elf,
}

impl Format {
    /// The name that `--format` takes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Padded => "padded",
            Format::Lime => "lime",
            Format::Elf => "elf",
        }
    }
}

/// Which of its two addresses a segment of an ELF image is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Physical,
    /// The same of the kernel's own dump, where a segment with the kernel's text lies within one of RAM.
    PhysicalBesideText,
    Virtual,
}

/// Addresses that stand together in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    range: Range,
    offset: u64,
}

impl Span {
    fn holds(&self, other: &Span) -> bool {
        self.range.start <= other.range.start && other.range.end <= self.range.end
    }
}

/// An image.
pub(crate) struct Image {
    file: File,
    /// Ascending and disjoint.
    spans: Vec<Span>,
    /// The offset of the image's end in its file.
    length: u64,
}

impl Image {
    /// Opens the image at `path`. `map` is the text of the map that was written beside it, which raw images need. What follows the
    /// image is an error unless there is a `rest` in the file, as on a disk.
    pub(crate) fn open(path: &Path, format: Format, by: By, map: &str, rest: bool) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let size = file.metadata()?.len();
        let read = match format {
            Format::Raw => raw(map),
            Format::Padded => Ok(vec![Span { range: 0..size, offset: 0 }]),
            Format::Lime => lime(&file, size, rest),
            Format::Elf => elf(&file, by),
        };
        let spans = read.with_context(|| format!("read the {} image", format.name()))?;
        for pair in spans.windows(2) {
            ensure!(
                pair[0].range.end <= pair[1].range.start,
                "{:#x?} and {:#x?} are out of order or overlap",
                pair[0].range,
                pair[1].range
            );
        }
        let end = |span: &Span| span.offset + (span.range.end - span.range.start);
        let length = spans.iter().map(end).max().unwrap_or(0);
        ensure!(length <= size, "the image ends at {size:#x}, its layout at {length:#x}");
        ensure!(rest || length == size, "{} bytes follow the image", size - length);
        Ok(Self { file, spans, length })
    }

    /// Bytes of the image.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The ranges that the image says it holds.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.spans.iter().map(|span| &span.range)
    }

    /// Reads at `address`; false where the image does not hold all of it.
    pub(crate) fn read(&self, address: u64, buffer: &mut [u8]) -> Result<bool> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address + done as u64;
            let after = self.spans.partition_point(|span| span.range.end <= at);
            let Some(span) = self.spans.get(after).filter(|span| span.range.contains(&at)) else {
                return Ok(false);
            };
            let count = (span.range.end - at).min((buffer.len() - done) as u64) as usize;
            self.file
                .read_exact_at(&mut buffer[done..done + count], span.offset + at - span.range.start)
                .with_context(|| format!("read the image of {at:#x}"))?;
            done += count;
        }
        Ok(true)
    }
}

/// memdump(8)'s map: `0xSTART 0xEND` a line, lower case, END the first address beyond.
fn raw(map: &str) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut offset = 0;
    for line in map.lines() {
        let (start, end) = line.split_once(' ').with_context(|| format!("map line `{line}`"))?;
        let range = hex(start)?..hex(end)?;
        ensure!(range.start < range.end, "map line `{line}` is empty or reversed");
        let length = range.end - range.start;
        spans.push(Span { range, offset });
        offset += length;
    }
    Ok(spans)
}

fn hex(word: &str) -> Result<u64> {
    let digits = word.strip_prefix("0x").with_context(|| format!("`{word}` has no 0x"))?;
    ensure!(!digits.contains(|c: char| c.is_ascii_uppercase()), "`{word}` is not in lower case");
    u64::from_str_radix(digits, 16).with_context(|| format!("`{word}` is no number"))
}

/// LiME version 1: 32 bytes (magic, version, first address, last address, eight zeros), then the data, repeated.
fn lime(file: &File, size: u64, rest: bool) -> Result<Vec<Span>> {
    const MAGIC_VERSION_1: u64 = 0x1_4c69_4d45;
    let mut spans = Vec::new();
    let mut at = 0;
    while at < size {
        let header: [u64; 4] = words(file, at)?;
        if rest && header == [0; 4] {
            break;
        }
        let [magic, first, last, reserved] = header;
        ensure!(magic == MAGIC_VERSION_1, "no record of version 1 at {at:#x}");
        ensure!(first <= last, "the record at {at:#x} is reversed");
        ensure!(reserved == 0, "reserved bytes of the record at {at:#x} are not zero");
        let range = first..last.checked_add(1).context("a record ends at the last address")?;
        let length = range.end - range.start;
        spans.push(Span { range, offset: at + 32 });
        at += 32 + length;
    }
    Ok(spans)
}

/// ELF64, as elf(5) has it; more than 65,534 headers by the rule of section header 0.
fn elf(file: &File, by: By) -> Result<Vec<Span>> {
    const PT_LOAD: u32 = 1;
    const PT_NOTE: u32 = 4;
    const PN_XNUM: u16 = 0xffff;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).context("read the header")?;
    ensure!(header[..7] == *b"\x7fELF\x02\x01\x01", "not a little-endian ELF64 file");
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    ensure!(half(16) == 4, "e_type is {}, a core is 4", half(16));
    ensure!(half(54) == 56, "e_phentsize is {}", half(54));
    let [table, sections]: [u64; 2] = words(file, 32)?;
    let count = match half(56) {
        PN_XNUM => {
            ensure!(half(60) == 1, "e_shnum is {} where e_phnum overflows", half(60));
            let [info]: [u64; 1] = words(file, sections + 40)?;
            // sh_link is the lower half, sh_info the upper.
            info >> 32
        }
        count => u64::from(count),
    };
    let mut spans = Vec::new();
    for index in 0..count {
        let [kind, offset, virtual_address, physical_address, in_file, in_memory, align] =
            words(file, table + 56 * index)?;
        match kind as u32 {
            PT_NOTE => ensure!(index == 0, "PT_NOTE is header {index}, not the first"),
            PT_LOAD => {
                ensure!(in_file == in_memory, "p_filesz and p_memsz differ in header {index}");
                ensure!(align == 0, "p_align is {align} in header {index}");
                let start = match by {
                    By::Physical | By::PhysicalBesideText => physical_address,
                    By::Virtual => virtual_address,
                };
                let end = start.checked_add(in_file).context("a segment wraps around")?;
                spans.push(Span { range: start..end, offset });
            }
            other => bail!("header {index} is of type {other}"),
        }
    }
    if by == By::PhysicalBesideText {
        let all = spans.clone();
        spans.retain(|span| !all.iter().any(|other| other != span && other.holds(span)));
        ensure!(all.len() == spans.len() + 1, "not one segment of text lies within RAM");
    }
    spans.sort_by_key(|span| span.range.start);
    Ok(spans)
}

fn words<const N: usize>(file: &File, at: u64) -> Result<[u64; N]> {
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at + 8 * index as u64)
            .with_context(|| format!("read a header at {at:#x}"))?;
        *word = u64::from_le_bytes(bytes);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn open(bytes: &[u8], format: Format, map: &str, rest: bool) -> Result<Image> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Image::open(file.path(), format, By::Physical, map, rest)
    }

    fn lime_record(first: u64, last: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"EMiL\x01\0\0\0".to_vec();
        for word in [first, last, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(data);
        bytes
    }

    #[test]
    fn raw_images_are_read_by_their_map() {
        let image = open(b"abcdef", Format::Raw, "0x10 0x12\n0x20 0x24\n", false).unwrap();
        let mut two = [0; 2];
        assert!(image.read(0x22, &mut two).unwrap());
        assert_eq!(&two, b"ef");
        assert!(!image.read(0x11, &mut two).unwrap(), "half of it is a hole");
        assert!(open(b"abcde", Format::Raw, "0x10 0x12\n0x20 0x24\n", false).is_err(), "too short");
        assert!(
            open(b"abcdefg", Format::Raw, "0x10 0x12\n0x20 0x24\n", false).is_err(),
            "too long"
        );
        assert!(open(b"ab", Format::Raw, "0x1A 0x1C\n", false).is_err(), "upper case");
        assert!(open(b"abcd", Format::Raw, "0x10 0x12\n0x11 0x13\n", false).is_err(), "overlap");
    }

    #[test]
    fn lime_ends_are_inclusive() {
        let mut bytes = lime_record(0x10, 0x11, b"ab");
        bytes.extend(lime_record(0x20, 0x23, b"cdef"));
        let image = open(&bytes, Format::Lime, "", false).unwrap();
        assert_eq!(image.ranges().cloned().collect::<Vec<_>>(), [0x10..0x12, 0x20..0x24]);
        let mut four = [0; 4];
        assert!(image.read(0x20, &mut four).unwrap());
        assert_eq!(&four, b"cdef");
        // One that states its ends as exclusive runs beyond its data.
        assert!(open(&lime_record(0x10, 0x12, b"ab"), Format::Lime, "", false).is_err());
        bytes.extend([0; 100]);
        assert!(open(&bytes, Format::Lime, "", false).is_err(), "trailing bytes in a file");
        assert!(open(&bytes, Format::Lime, "", true).is_ok(), "trailing zeros on a disk");
    }

    #[test]
    fn elf_segments_are_found_by_either_address() {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64 + 2 * 56, 0);
        bytes[16] = 4;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        bytes[64] = 4;
        for (at, word) in [(0, 1_u64), (8, 176), (16, 0x7000), (24, 0x1000), (32, 4), (40, 4)] {
            bytes[120 + at..128 + at].copy_from_slice(&word.to_le_bytes());
        }
        bytes.extend(b"data");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        for (by, address) in [(By::Physical, 0x1000), (By::Virtual, 0x7000)] {
            let image = Image::open(file.path(), Format::Elf, by, "", false).unwrap();
            let mut four = [0; 4];
            assert!(image.read(address, &mut four).unwrap());
            assert_eq!(&four, b"data");
        }
    }
}
