//! A file that has pages: its descriptors, and how far it goes. A whole image is one such file, a split one several.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::fields::{DESCRIPTOR_LEN, NAME};
use super::header::{Header, STEP_LEN, within};
use crate::problem::{FormatError, is_damage, read_up_to};
use crate::{Cause, ReadAt};

/// Descriptors at the end of the table that are looked at first for the end of the pages.
const LAST_DESCRIPTORS: u64 = 1024;
/// The most that are looked at, where all pages at the end are zeros: 4 GiB of the smallest pages.
const MOST_DESCRIPTORS: u64 = 1 << 20;
/// Bytes of descriptors that are read together to count the pages that are missing.
const COUNT_LEN: u64 = DESCRIPTOR_LEN << 14;

pub(super) struct Part {
    /// In order.
    pub(super) file: Arc<dyn ReadAt>,
    /// The page frames that it has descriptors of.
    pub(super) pages: Range<u64>,
    /// Those that are read from it: less than all where another file has some of them too.
    pub(super) owned: Range<u64>,
    bitmap: u64,
    before: Vec<u64>,
    count: u64,
    table: u64,
    /// The size of the file in bytes, if that is known.
    end: Option<u64>,
    /// The cause for pages that the file itself says it lacks.
    lost: Cause,
    /// The cause for pages that should stand behind the end of the file.
    beyond: Cause,
}

/// The content of a page, as its descriptor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The file has nothing of it.
    Lost(Cause),
    /// It is packed: at an offset in the file, in so many bytes, in the way that the flags say.
    Packed { offset: u64, size: u32, flags: u32 },
}

impl Part {
    /// `is_whole` is whether a file that was flattened had its end.
    pub(super) fn new(
        file: Arc<dyn ReadAt>,
        header: &mut Header,
        is_whole: bool,
    ) -> io::Result<Self> {
        let end = file.known_size()?;
        let mut part = Self {
            file,
            pages: header.pages.clone(),
            owned: header.pages.clone(),
            bitmap: header.bitmap,
            before: std::mem::take(&mut header.before),
            count: header.count,
            table: header.table,
            end,
            // What a flattened file ends before looks like what it never had.
            lost: if is_whole { Cause::NotInImage } else { Cause::Truncated },
            beyond: Cause::Truncated,
        };
        if is_whole && end.is_some() && !part.is_cut()? {
            // The file is as long as it should be: a descriptor that points beyond is wrong itself.
            part.beyond = Cause::Damaged;
        }
        Ok(part)
    }

    /// Finds out if the file ends before its descriptors do, or before the last pages: they stand in order.
    fn is_cut(&self) -> io::Result<bool> {
        let Some(end) = self.end else { return Ok(false) };
        if self.table + self.count * DESCRIPTOR_LEN > end {
            return Ok(true);
        }
        let mut looked_at = LAST_DESCRIPTORS;
        loop {
            // Pages of zeros share one, wherever the first of them stands: what counts is where a page appears first.
            let mut seen = HashSet::new();
            let mut places: Vec<(u64, Slot)> = Vec::new();
            let first = self.count.saturating_sub(looked_at);
            let is_last = first == 0 || looked_at >= MOST_DESCRIPTORS;
            self.descriptors(first, |_, slot| match slot {
                Slot::Packed { offset, .. } if seen.insert(offset) => places.push((offset, slot)),
                _ => {}
            })?;
            match places[..] {
                [.., (before, slot), (last, _)] if last < before && slot.is_behind(end) => {
                    return Ok(true);
                }
                [.., _, (_, slot)] => return Ok(slot.is_behind(end)),
                [(_, slot)] if is_last => return Ok(slot.is_behind(end)),
                [] if is_last => return Ok(false),
                // Nothing but zeros, or nothing at all.
                _ => looked_at = looked_at.saturating_mul(8),
            }
        }
    }

    /// The problem of a file that ends too early; `block` is the size of a page in bytes.
    pub(super) fn truncated(&self, block: u64) -> Option<FormatError> {
        let offset = self.end.filter(|_| self.beyond == Cause::Truncated)?;
        let (mut missing, mut first, mut seen) = (0, None, 0);
        let counted = self.descriptors(0, |index, slot| {
            seen = index + 1;
            if slot.is_behind(offset) {
                missing += block;
                first = first.or(Some(index));
            }
        });
        missing += self.count.saturating_sub(seen).saturating_mul(block);
        let first = first.unwrap_or(seen);
        // A flattened file that lacks its end alone.
        if counted.is_err() || missing == 0 {
            return None;
        }
        let addr = self.frame_of(first).unwrap_or(self.pages.start).saturating_mul(block);
        Some(FormatError::Truncated { format: NAME, offset, field: "pages", missing, addr })
    }

    /// Hands on the descriptors that are there, from number `first` on.
    fn descriptors(&self, first: u64, mut take: impl FnMut(u64, Slot)) -> io::Result<()> {
        let mut index = first;
        while index < self.count {
            let now = COUNT_LEN.min((self.count - index) * DESCRIPTOR_LEN);
            let mut table = vec![0; now as usize];
            let found = read_up_to(&*self.file, self.table + index * DESCRIPTOR_LEN, &mut table)?;
            for descriptor in table[..found].chunks_exact(DESCRIPTOR_LEN as usize) {
                take(index, self.slot(descriptor));
                index += 1;
            }
            if found < table.len() {
                break;
            }
        }
        Ok(())
    }

    /// The page frame of a descriptor.
    fn frame_of(&self, index: u64) -> Option<u64> {
        let step = self.before.partition_point(|&before| before <= index).checked_sub(1)?;
        let mut left = index - self.before[step];
        let first = step as u64 * STEP_LEN * 8;
        for (word, first) in
            self.words(first, STEP_LEN * 8).ok()?.0.into_iter().zip((first..).step_by(64))
        {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let bit = (0..64).filter(|bit| word & 1 << bit != 0).nth(left as usize)?;
                return Some(first + bit);
            }
            left -= ones;
        }
        None
    }

    /// Words of the second bitmap from page frame `first`, a multiple of 64, on; and how many of the bits are there.
    fn words(&self, first: u64, bits: u64) -> io::Result<(Vec<u64>, u64)> {
        let mut bytes = vec![0; bits.div_ceil(64) as usize * 8];
        let found = match read_up_to(&*self.file, self.bitmap + first / 8, &mut bytes) {
            Ok(found) => found,
            Err(error) if is_damage(&error) => 0,
            Err(error) => return Err(error),
        };
        let (words, _) = bytes.as_chunks::<8>();
        let words = words.iter().zip((first..).step_by(64));
        let words = words.map(|(&word, bit)| within(u64::from_le_bytes(word), bit, &self.pages));
        Ok((words.collect(), found as u64 * 8))
    }

    /// The content of `count` pages from `first` on, all of them this file's; `count` is at least 1.
    pub(super) fn slots(&self, first: u64, count: u64) -> io::Result<Vec<Slot>> {
        // From the step's first byte on: how many stand before is known for that one.
        let step = first / 8 / STEP_LEN;
        let from = step * STEP_LEN * 8;
        let (words, there) = self.words(from, first + count - from)?;
        let within = (first - from) as usize;
        let is_set = |bit: usize| words[bit / 64] & 1 << (bit % 64) != 0;
        let whole = words[..within / 64].iter().map(|word| u64::from(word.count_ones()));
        let part = (within / 64 * 64..within).filter(|&bit| is_set(bit)).count() as u64;
        let before = self.before.get(step as usize).copied().unwrap_or(0);
        let index = before + whole.sum::<u64>() + part;

        let bits = within..within + count as usize;
        let set = bits.clone().filter(|&bit| is_set(bit)).count();
        let mut table = vec![0; set * DESCRIPTOR_LEN as usize];
        let at = index * DESCRIPTOR_LEN + self.table;
        let found = match read_up_to(&*self.file, at, &mut table) {
            Ok(found) => found,
            Err(error) if is_damage(&error) => 0,
            Err(error) => return Err(error),
        };
        let mut descriptors = table[..found].chunks_exact(DESCRIPTOR_LEN as usize);
        let slots = bits.map(|bit| match is_set(bit) {
            false if bit as u64 >= there => Slot::Lost(Cause::Truncated),
            false => Slot::Lost(self.lost),
            true => match descriptors.next().map(|descriptor| self.slot(descriptor)) {
                Some(slot @ Slot::Packed { .. })
                    if self.end.is_some_and(|end| slot.is_behind(end)) =>
                {
                    Slot::Lost(self.beyond)
                }
                Some(slot) => slot,
                None => Slot::Lost(Cause::Truncated),
            },
        });
        Ok(slots.collect())
    }

    fn slot(&self, descriptor: &[u8]) -> Slot {
        let (words, _) = descriptor.as_chunks::<4>();
        let [low, high, size, flags] = std::array::from_fn(|i| u32::from_le_bytes(words[i]));
        match u64::from(high) << 32 | u64::from(low) {
            0 => Slot::Lost(self.lost),
            offset => Slot::Packed { offset, size, flags },
        }
    }
}

impl Slot {
    /// Returns true if a part of it stands behind `end`.
    fn is_behind(self, end: u64) -> bool {
        match self {
            Slot::Lost(_) => false,
            Slot::Packed { offset, size, .. } => {
                offset.checked_add(size.into()).is_none_or(|page_end| page_end > end)
            }
        }
    }
}
