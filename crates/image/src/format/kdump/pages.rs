//! The memory of an image: unpacks the pages whose descriptors `part.rs` finds.
//!
//! Any number of threads can read at once; none of them holds anything that another one needs.

use std::io;

use super::super::stretches::not_in_image;
use super::codec;
use super::part::{Part, Slot};
use crate::problem::{is_damage, read_up_to};
use crate::{AddressSpace, Cause, Extent, MemoryMap, Presence, ReadAt, ReadError, Run};

/// Pages that one read unpacks at most.
const READ_PAGES: u64 = 256;
/// Pages that one survey looks at.
const SURVEY_PAGES: u64 = 8192;
/// Bytes of packed pages that are read together.
const WINDOW_LEN: u64 = 1 << 20;

pub(super) struct Kdump {
    /// Bytes of a page.
    pub(super) block: u64,
    pub(super) map: MemoryMap,
    /// By the page frames that they have; these do not overlap.
    pub(super) parts: Vec<Part>,
}

impl Kdump {
    /// The file that has a page frame; or the first frame after it that one has.
    fn part_of(&self, frame: u64) -> Result<&Part, u64> {
        let next = self.parts.partition_point(|part| part.owned.end <= frame);
        match self.parts.get(next) {
            Some(part) if part.owned.start <= frame => Ok(part),
            Some(part) => Err(part.owned.start),
            None => Err(u64::MAX),
        }
    }

    /// The content of at most `count` pages from `first` on, at least one, and the file that they are in; none if no file has
    /// them.
    fn slots(&self, first: u64, count: u64) -> io::Result<(Vec<Slot>, Option<&Part>)> {
        match self.part_of(first) {
            Ok(part) => {
                let count = count.min(part.owned.end - first);
                Ok((part.slots(first, count)?, Some(part)))
            }
            Err(next) => {
                let count = count.min(next - first);
                Ok((vec![Slot::Lost(Cause::NotInImage); count as usize], None))
            }
        }
    }
}

impl AddressSpace for Kdump {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(region) = self.map.find(addr) else { return Err(not_in_image(addr)) };
        let block = self.block;
        let here = usize::try_from(region.extent.end() - addr).unwrap_or(usize::MAX);
        let buf_len = buf.len().min(here);
        let within = addr % block;
        let first = addr / block;
        let count = (within + buf_len as u64).div_ceil(block).min(READ_PAGES);
        let (slots, part) = self.slots(first, count)?;
        let Some(part) = part else {
            return Err(ReadError::Fault { addr, cause: Cause::NotInImage });
        };
        let mut pages = Pages::new(&*part.file, block, slots);
        let mut page = Vec::new();
        let mut done = 0;
        for index in 0..pages.slots.len() {
            let from = if index == 0 { within as usize } else { 0 };
            let len = (block as usize - from).min(buf_len - done);
            let out = &mut buf[done..done + len];
            let outcome = match len == block as usize {
                true => pages.unpack(index, out)?,
                false => {
                    page.resize(block as usize, 0);
                    let outcome = pages.unpack(index, &mut page)?;
                    out.copy_from_slice(&page[from..from + len]);
                    outcome
                }
            };
            match outcome {
                Ok(()) => done += len,
                Err(_) if done > 0 => break,
                Err(cause) => return Err(ReadError::Fault { addr, cause }),
            }
        }
        Ok(done)
    }

    fn survey_is_final(&self) -> bool {
        true
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let block = self.block;
        let first = extent.start() / block;
        let count = (extent.last() / block - first + 1).min(SURVEY_PAGES);
        if self.map.find(extent.start()).is_none() {
            return Err(not_in_image(extent.start()));
        }
        let mut runs: Vec<Run> = Vec::new();
        for (index, slot) in self.slots(first, count)?.0.into_iter().enumerate() {
            let presence = match slot {
                Slot::Lost(cause) => Presence::Nothing(cause),
                Slot::Packed { .. } => Presence::Memory,
            };
            let start = (first + index as u64) * block;
            // A page that the map ends with ends below the last address.
            let page = Extent::half_open(start, start + block).ok();
            let Some(page) = page.and_then(|page| page.intersection(extent)) else { continue };
            match runs.last_mut().filter(|run| run.presence == presence) {
                Some(run) => run.extent = run.extent.hull(page),
                None => runs.push(Run { extent: page, presence }),
            }
        }
        Ok(runs)
    }
}

/// Pages of one read. Those that stand one behind the other in the file are read together.
struct Pages<'a> {
    file: &'a dyn ReadAt,
    block: u64,
    slots: Vec<Slot>,
    /// The offset of the window in the file, in bytes.
    start: u64,
    window: Vec<u8>,
    /// A page that stands before the others, and so is likely to come again: that of zeros.
    shared: Option<(Slot, Vec<u8>)>,
}

impl<'a> Pages<'a> {
    fn new(file: &'a dyn ReadAt, block: u64, slots: Vec<Slot>) -> Self {
        Self { file, block, slots, start: 0, window: Vec::new(), shared: None }
    }

    /// Fills `page`, a whole one, with that of a slot; or says why there is none.
    fn unpack(&mut self, index: usize, page: &mut [u8]) -> io::Result<Result<(), Cause>> {
        let slot = self.slots[index];
        let (offset, size, flags) = match slot {
            Slot::Packed { offset, size, flags } => (offset, size, flags),
            Slot::Lost(cause) => return Ok(Err(cause)),
        };
        let len = u64::from(size);
        let Some(end) = offset.checked_add(len).filter(|_| (1..=self.block).contains(&len)) else {
            return Ok(Err(Cause::Damaged));
        };
        if let Some((_, shared)) = self.shared.as_ref().filter(|(other, _)| *other == slot) {
            page.copy_from_slice(shared);
            return Ok(Ok(()));
        }
        let is_before = !self.window.is_empty() && offset < self.start;
        if is_before {
            let mut packed = vec![0; size as usize];
            let found = self.read(offset, &mut packed)?;
            if let Err(cause) = unpack(flags, &packed[..found], packed.len(), page) {
                return Ok(Err(cause));
            }
            self.shared = Some((slot, page.to_vec()));
            return Ok(Ok(()));
        }
        if self.start + (self.window.len() as u64) < end || self.window.is_empty() {
            self.fill(index, offset, end)?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let packed = self.window.get(from..).unwrap_or_default();
        let packed = &packed[..packed.len().min(size as usize)];
        Ok(unpack(flags, packed, size as usize, page))
    }

    /// Reads as far as the file goes; nothing where it is damaged.
    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match read_up_to(self.file, offset, buf) {
            Err(error) if is_damage(&error) => Ok(0),
            found => found,
        }
    }

    /// Reads a slot's bytes and those of the slots after it, as far as they go on.
    fn fill(&mut self, index: usize, offset: u64, mut end: u64) -> io::Result<()> {
        for slot in &self.slots[index + 1..] {
            let Slot::Packed { offset: next, size, .. } = *slot else { continue };
            let len = u64::from(size);
            let goes_on = next == end && len <= self.block && end - offset + len <= WINDOW_LEN;
            match end.checked_add(len) {
                Some(later) if goes_on => end = later,
                _ if next < end => {}
                _ => break,
            }
        }
        self.start = offset;
        // At most a window: each slot was seen to have no more than a page.
        let mut window = std::mem::take(&mut self.window);
        window.resize((end - offset) as usize, 0);
        let found = self.read(offset, &mut window)?;
        window.truncate(found);
        self.window = window;
        Ok(())
    }
}

/// Fills `page` with what `packed` holds, which should be `len` bytes and is less where the file ends before.
fn unpack(flags: u32, packed: &[u8], len: usize, page: &mut [u8]) -> Result<(), Cause> {
    if packed.len() < len {
        return Err(Cause::Truncated);
    }
    codec::unpack(flags, packed, page).ok_or(Cause::Damaged)
}
