//! The hypervisor's truth: the guest's RAM as QEMU has it, in files, and a fingerprint of it. Not through anything in the guest.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};
use lab_guest::pattern::PAGE;
use xxhash_rust::xxh3::xxh3_64;

use super::guest::Guest;
use super::{Range, pages};

/// The number of bytes that are read in one go.
pub(crate) const BLOCK: u64 = 1 << 20;

/// The guest's physical memory as it is while the guest is stopped.
pub(crate) struct Memory {
    spans: Vec<Span>,
}

/// Physical addresses that stand in a file.
struct Span {
    range: Range,
    file: File,
    offset: u64,
}

impl Memory {
    /// Finds where each physical address stands, as QEMU's own flattened view of its address space says.
    pub(super) fn of(guest: &mut Guest) -> Result<Self> {
        let tree = guest.monitor("info mtree -f")?;
        let folder = guest.memory_folder().to_path_buf();
        let mut spans = Vec::new();
        for (range, backend, offset) in flat_view(&tree)? {
            let path = folder.join(backend);
            // Firmware has memory of its own that no backend of the laboratory holds.
            if let Ok(file) = File::open(&path) {
                spans.push(Span { range, file, offset });
            }
        }
        ensure!(!spans.is_empty(), "QEMU's view of its memory names no backend:\n{tree}");
        Ok(Self { spans })
    }

    /// A memory that stands in one file from its start, for tests.
    #[cfg(test)]
    pub(super) fn in_file(range: Range, file: File) -> Self {
        Self { spans: vec![Span { range, file, offset: 0 }] }
    }

    /// Reads at physical address `address`; false where there is no RAM for all of it.
    pub(crate) fn read(&self, address: u64, buffer: &mut [u8]) -> Result<bool> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address + done as u64;
            let Some(span) = self.spans.iter().find(|span| span.range.contains(&at)) else {
                return Ok(false);
            };
            let count = (span.range.end - at).min((buffer.len() - done) as u64) as usize;
            span.file
                .read_exact_at(&mut buffer[done..done + count], span.offset + at - span.range.start)
                .with_context(|| format!("read the guest's RAM at {at:#x}"))?;
            done += count;
        }
        Ok(true)
    }

    /// The page at `address`, which is a multiple of the page's size.
    pub(crate) fn page(&self, address: u64) -> Result<Option<[u8; PAGE]>> {
        let mut page = [0; PAGE];
        Ok(self.read(address, &mut page)?.then_some(page))
    }
}

/// A hash of each page at one moment: all that is needed to know whether it changed, at 1/512 of the size.
pub(crate) struct Fingerprint {
    parts: Vec<(Range, Vec<u64>)>,
}

impl Fingerprint {
    /// Hashes the pages in `ranges`; those that are not RAM are left out.
    pub(crate) fn of(memory: &Memory, ranges: &[Range]) -> Result<Self> {
        let mut parts = Vec::new();
        let mut buffer = vec![0; BLOCK as usize];
        for range in ranges {
            let mut hashes = Vec::with_capacity((pages(range)) as usize);
            let mut at = range.start;
            while at < range.end {
                let block = &mut buffer[..(range.end - at).min(BLOCK) as usize];
                if !memory.read(at, block)? {
                    bail!("the guest calls {at:#x} RAM, the hypervisor does not");
                }
                hashes.extend(block.chunks_exact(PAGE).map(xxh3_64));
                at += block.len() as u64;
            }
            parts.push((range.clone(), hashes));
        }
        Ok(Self { parts })
    }

    /// Returns true if the page at `address` was `page` then; false if there was none.
    pub(crate) fn matches(&self, address: u64, page: &[u8]) -> bool {
        self.parts.iter().find(|(range, _)| range.contains(&address)).is_some_and(
            |(range, hashes)| {
                hashes[((address - range.start) / PAGE as u64) as usize] == xxh3_64(page)
            },
        )
    }
}

/// The RAM in what `info mtree -f` prints for the address space of the system: range, backend, offset in the backend.
fn flat_view(tree: &str) -> Result<Vec<(Range, String, u64)>> {
    let mut found = Vec::new();
    let view = tree
        .split("FlatView #")
        .find(|view| view.contains(" AS \"memory\", root: system"))
        .context("QEMU lists no address space called memory")?;
    for line in view.lines() {
        // "  0000000000100000-000000003fffffff (prio 0, ram): ram0 @0000000000100000"
        let Some((range, rest)) = line.trim().split_once(" (prio ") else { continue };
        let Some((kind, name)) = rest.split_once("): ") else { continue };
        if !kind.ends_with(", ram") && !kind.ends_with(", rom") {
            continue;
        }
        let (first, last) = range.split_once('-').context("a range in QEMU's view")?;
        let range = u64::from_str_radix(first, 16)?..u64::from_str_radix(last, 16)? + 1;
        let mut words = name.split_whitespace();
        let backend = words.next().context("a name in QEMU's view")?;
        let backend = backend.rsplit('/').next().unwrap_or(backend).to_owned();
        let offset = match words.find_map(|word| word.strip_prefix('@')) {
            Some(offset) => u64::from_str_radix(offset, 16)?,
            None => 0,
        };
        found.push((range, backend, offset));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flat_view_of_the_system_is_understood() {
        let tree = "FlatView #0\n AS \"I/O\", root: io\n Root memory region: io\n  \
            0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\n\nFlatView #1\n \
            AS \"memory\", root: system\n AS \"cpu-memory-0\", root: system\n Root memory region: system\n  \
            0000000000000000-000000000009ffff (prio 0, ram): ram0\n  \
            00000000000a0000-00000000000affff (prio 1, ram): vga.vram\n  \
            00000000000c0000-00000000000fffff (prio 0, rom): ram0 @00000000000c0000\n  \
            00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic\n  \
            0000000100000000-000000013fffffff (prio 0, ram): /objects/ram0 @0000000080000000\n";
        assert_eq!(
            flat_view(tree).unwrap(),
            [
                (0..0xa0000, "ram0".into(), 0),
                (0xa0000..0xb0000, "vga.vram".into(), 0),
                (0xc0000..0x10_0000, "ram0".into(), 0xc0000),
                (0x1_0000_0000..0x1_4000_0000, "ram0".into(), 0x8000_0000),
            ]
        );
    }
}
