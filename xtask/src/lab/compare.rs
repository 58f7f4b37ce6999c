//! The comparison: an image against the truth before, at moments during, and after. A page that is equal in all of them must be equal in
//! the image; one that changed proves nothing. A page with the pattern never changes, so none may be wrong or missing.
//!
//! The moments during matter: a counter that the running command raises, or the kernel's note of what runs now, is the same before and
//! after, and rightly something else in the image.

use std::fmt;

use anyhow::{Context, Result};
use lab_guest::pattern::{self, PAGE};

use super::Range;
use super::image::Image;
use super::paging::Leaf;
use super::truth::{BLOCK, Fingerprint, Memory};

/// The most bad pages that are named.
const EXAMPLES: usize = 8;

/// Numbers of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The image has what the truth after has.
    pub(crate) ok: u64,
    /// Equal in all truths, something else in the image.
    pub(crate) wrong: u64,
    /// Not equal in all truths, and the image has something else than the last.
    pub(crate) changed: u64,
    /// Not in the image (or zeros), and the guest could not have read them.
    pub(crate) hole: u64,
    /// Not in the image, for no reason.
    pub(crate) missing: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.ok += other.ok;
        self.wrong += other.wrong;
        self.changed += other.changed;
        self.hole += other.hole;
        self.missing += other.missing;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, wrong, changed, hole, missing } = self;
        write!(f, "{ok} ok, {wrong} wrong, {changed} changed, {hole} unreadable, {missing} missing")
    }
}

/// The pages of one range, counted by their verdict.
#[derive(Clone, Debug)]
pub(crate) struct RangeVerdict {
    pub(crate) name: String,
    pub(crate) counts: Counts,
}

/// The result of the comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) ranges: Vec<RangeVerdict>,
    /// Pages that hold the pattern and are equal in the image.
    pub(crate) patterned: u64,
    /// Pages that hold the pattern and are wrong or missing in the image.
    pub(crate) patterned_bad: u64,
    /// Pages of the image that nothing was mapped to, before or after.
    pub(crate) extra: u64,
    /// The first pages that are wrong or missing, each with what is there and what should be.
    pub(crate) examples: Vec<String>,
}

impl Verdict {
    /// All ranges together.
    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for range in &self.ranges {
            total.add(&range.counts);
        }
        total
    }

    /// Keeps a bad page in mind: where the image first differs, and how.
    fn example(&mut self, address: u64, truth: &[u8], taken: Option<&[u8]>) {
        if self.examples.len() == EXAMPLES {
            return;
        }
        let Some(taken) = taken else {
            self.examples.push(format!("{address:#x} is missing"));
            return;
        };
        let differ = || truth.iter().zip(taken).enumerate().filter(|(_, (a, b))| a != b);
        let first = differ().next().map_or(0, |(at, _)| at);
        let shown = |bytes: &[u8]| -> String {
            bytes[first..].iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        };
        self.examples.push(format!(
            "{address:#x} differs in {} bytes, at {first:#x} it is {} and not {}",
            differ().count(),
            shown(taken),
            shown(truth)
        ));
    }
}

/// The machine's memory, as far as it is known.
pub(crate) struct Knowledge<'a> {
    /// The hashes of each page before, and at moments during.
    pub(crate) earlier: &'a [Fingerprint],
    /// The memory now.
    pub(crate) now: &'a Memory,
    /// RAM that was there before and is there now, ascending.
    pub(crate) ram: &'a [Range],
    /// Pages that the guest could not read, before or now.
    pub(crate) unreadable: &'a [Range],
    /// The seed of the pattern.
    pub(crate) seed: u64,
}

/// Compares an image of physical memory that was to have only the first `limit` bytes of RAM.
pub(crate) fn physical(known: &Knowledge, image: &Image, limit: u64) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut left = limit;
    let mut truth = vec![0; BLOCK as usize];
    let mut taken = vec![0; BLOCK as usize];
    for range in known.ram {
        let end = range.end.min(range.start.saturating_add(left));
        left -= end - range.start;
        let mut counts = Counts::default();
        let mut at = range.start;
        while at < end {
            let length = (end - at).min(BLOCK) as usize;
            known.now.read(at, &mut truth[..length])?;
            let whole = image.read(at, &mut taken[..length])?;
            for (offset, page) in truth[..length].chunks(PAGE).enumerate() {
                let address = at + (offset * PAGE) as u64;
                let part = &mut taken[offset * PAGE..offset * PAGE + page.len()];
                let there = whole || image.read(address, part)?;
                known.judge(
                    address,
                    address,
                    page,
                    there.then_some(part),
                    &mut counts,
                    &mut verdict,
                );
            }
            at += length as u64;
        }
        if end > range.start {
            let name = format!("{:#x}-{:#x}", range.start, end - 1);
            verdict.ranges.push(RangeVerdict { name, counts });
        }
    }
    Ok(verdict)
}

/// Compares an image of the kernel's virtual memory with what the kernel's tables mapped: `before` and `now`, for each range.
pub(crate) fn kernel(
    known: &Knowledge,
    image: &Image,
    before: &[(&'static str, Vec<Leaf>)],
    now: &[(&'static str, Vec<Leaf>)],
) -> Result<Verdict> {
    let page_size = PAGE as u64;
    let mut verdict = Verdict::default();
    let mut taken = [0; PAGE];
    for ((name, old), (_, new)) in before.iter().zip(now) {
        let mut counts = Counts::default();
        for leaf in new {
            for offset in (0..leaf.range.end - leaf.range.start).step_by(PAGE) {
                let address = leaf.range.start + offset;
                let physical = leaf.physical + offset;
                if !known.ram.iter().any(|range| range.contains(&physical)) {
                    // A device, or firmware's memory: not wanted.
                    continue;
                }
                if translate(old, address) != Some(physical) {
                    counts.changed += 1;
                    continue;
                }
                let page =
                    known.now.page(physical)?.context("RAM is in the hypervisor's memory")?;
                let there = image.read(address, &mut taken)?;
                let taken = there.then_some(&mut taken[..]);
                known.judge(address, physical, &page, taken, &mut counts, &mut verdict);
            }
        }
        verdict.ranges.push(RangeVerdict { name: (*name).to_owned(), counts });
    }
    for range in image.ranges() {
        for address in (range.start..range.end).step_by(PAGE) {
            let mapped = |spaces: &[(&str, Vec<Leaf>)]| {
                spaces.iter().any(|(_, leaves)| {
                    translate(leaves, address).is_some_and(|physical| {
                        known
                            .ram
                            .iter()
                            .any(|ram| ram.start < physical + page_size && physical < ram.end)
                    })
                })
            };
            if !mapped(before) && !mapped(now) {
                verdict.extra += 1;
            }
        }
    }
    Ok(verdict)
}

fn translate(leaves: &[Leaf], address: u64) -> Option<u64> {
    let leaf = leaves.get(leaves.partition_point(|leaf| leaf.range.end <= address))?;
    leaf.range.contains(&address).then(|| leaf.physical + (address - leaf.range.start))
}

impl Knowledge<'_> {
    /// Judges one page (or the part of one that was wanted), which stands at `address` in the image and at `physical` in RAM.
    fn judge(
        &self,
        address: u64,
        physical: u64,
        truth: &[u8],
        taken: Option<&mut [u8]>,
        counts: &mut Counts,
        verdict: &mut Verdict,
    ) {
        let patterned =
            truth.first_chunk().is_some_and(|page| pattern::holds(page, physical, self.seed));
        let equal = taken.as_deref().is_some_and(|taken| taken == truth);
        if patterned && equal {
            verdict.patterned += 1;
        } else if patterned {
            verdict.patterned_bad += 1;
        }
        // A part of a page has no hash to compare with, so it counts as one that may have changed unless it is equal.
        let stable = truth.len() == PAGE
            && self.earlier.iter().all(|earlier| earlier.matches(physical, truth));
        let unreadable = self.unreadable.iter().any(|range| range.contains(&physical));
        let zeros = taken.as_deref().is_some_and(|taken| taken.iter().all(|byte| *byte == 0));
        if equal {
            counts.ok += 1;
        } else if unreadable && (taken.is_none() || zeros) {
            counts.hole += 1;
        } else if taken.is_none() {
            counts.missing += 1;
            verdict.example(address, truth, None);
        } else if stable {
            counts.wrong += 1;
            verdict.example(address, truth, taken.as_deref());
        } else {
            counts.changed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::lab::image::{By, Format};

    const SEED: u64 = 3;
    const START: u64 = 0x10_0000;
    const PAGES: u64 = 4;

    /// RAM of four pages, the first two with the pattern.
    fn ram() -> Vec<u8> {
        let mut bytes = vec![0x11; PAGES as usize * PAGE];
        for (index, page) in bytes.as_chunks_mut().0.iter_mut().take(2).enumerate() {
            pattern::fill(page, START + (index * PAGE) as u64, SEED);
        }
        bytes
    }

    fn file(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Compares a raw image, whose map is `map`, with RAM that was `before` and is `now`.
    fn judged(before: &[u8], now: &[u8], image: &[u8], map: &str, unreadable: &[Range]) -> Verdict {
        let range = START..START + PAGES * PAGE as u64;
        let memory = |bytes| Memory::in_file(range.clone(), file(bytes).into_file());
        let ranges = [range.clone()];
        let earlier = [Fingerprint::of(&memory(before), &ranges).unwrap()];
        let now = memory(now);
        let known =
            Knowledge { earlier: &earlier, now: &now, ram: &ranges, unreadable, seed: SEED };
        let image = file(image);
        let image = Image::open(image.path(), Format::Raw, By::Physical, map, false).unwrap();
        physical(&known, &image, u64::MAX).unwrap()
    }

    const WHOLE: &str = "0x100000 0x104000\n";

    #[test]
    fn a_right_image_is_right() {
        let verdict = judged(&ram(), &ram(), &ram(), WHOLE, &[]);
        assert_eq!(verdict.total(), Counts { ok: 4, ..Counts::default() });
        assert_eq!((verdict.patterned, verdict.patterned_bad), (2, 0));
    }

    #[test]
    fn one_bit_is_seen() {
        for page in [0, 3] {
            let mut image = ram();
            image[page * PAGE + 77] ^= 4;
            let verdict = judged(&ram(), &ram(), &image, WHOLE, &[]);
            assert_eq!(verdict.total(), Counts { ok: 3, wrong: 1, ..Counts::default() });
            assert_eq!(verdict.patterned_bad, u64::from(page == 0));
        }
    }

    #[test]
    fn a_shifted_image_is_wrong_in_every_patterned_page() {
        let mut image = ram();
        image.rotate_right(PAGE);
        assert_eq!(judged(&ram(), &ram(), &image, WHOLE, &[]).patterned_bad, 2);
    }

    #[test]
    fn a_page_that_is_not_there_is_missing_unless_it_could_not_be_read() {
        let image = &ram()[PAGE..];
        let map = "0x101000 0x104000\n";
        let verdict = judged(&ram(), &ram(), image, map, &[]);
        assert_eq!(verdict.total(), Counts { ok: 3, missing: 1, ..Counts::default() });
        assert_eq!(verdict.patterned_bad, 1);
        let unreadable = START..START + PAGE as u64;
        let verdict = judged(&ram(), &ram(), image, map, &[unreadable]);
        assert_eq!(verdict.total(), Counts { ok: 3, hole: 1, ..Counts::default() });
    }

    #[test]
    fn a_page_that_changed_proves_nothing_but_has_to_be_there() {
        let mut now = ram();
        now[3 * PAGE] = 0x22;
        let verdict = judged(&ram(), &now, &ram(), WHOLE, &[]);
        assert_eq!(verdict.total(), Counts { ok: 3, changed: 1, ..Counts::default() });
        let verdict = judged(&ram(), &now, &ram()[..3 * PAGE], "0x100000 0x103000\n", &[]);
        assert_eq!(verdict.total(), Counts { ok: 3, missing: 1, ..Counts::default() });
    }

    #[test]
    fn kernel_images_are_judged_by_what_was_mapped() {
        const AT: u64 = 0xffff_ffff_8000_0000;
        let page = PAGE as u64;
        let range = START..START + PAGES * page;
        let memory = Memory::in_file(range.clone(), file(&ram()).into_file());
        let earlier = [Fingerprint::of(&memory, std::slice::from_ref(&range)).unwrap()];
        let known = Knowledge {
            earlier: &earlier,
            now: &memory,
            ram: std::slice::from_ref(&range),
            unreadable: &[],
            seed: SEED,
        };
        // The third page of RAM, then the second; and a device.
        let leaf = |at, physical, count: u64| Leaf { range: at..at + count * page, physical };
        let leaves = vec![
            leaf(AT, START + 2 * page, 1),
            leaf(AT + page, START + page, 1),
            leaf(AT + 8 * page, 0xfee0_0000, 1),
        ];
        let spaces = [("modules", leaves)];
        let judge = |bytes: &[u8], map: &str| {
            let file = file(bytes);
            let image = Image::open(file.path(), Format::Raw, By::Virtual, map, false).unwrap();
            kernel(&known, &image, &spaces, &spaces).unwrap()
        };
        let ram = ram();
        let right = [&ram[2 * PAGE..3 * PAGE], &ram[PAGE..2 * PAGE]].concat();
        let verdict = judge(&right, "0xffffffff80000000 0xffffffff80002000\n");
        assert_eq!(verdict.total(), Counts { ok: 2, ..Counts::default() });
        assert_eq!(verdict.extra, 0);
        let verdict = judge(&right[..PAGE], "0xffffffff80000000 0xffffffff80001000\n");
        assert_eq!(verdict.total(), Counts { ok: 1, missing: 1, ..Counts::default() });
        let beyond = [&right[..], &right[..PAGE]].concat();
        let verdict = judge(&beyond, "0xffffffff80000000 0xffffffff80003000\n");
        assert_eq!(verdict.extra, 1);
    }
}
