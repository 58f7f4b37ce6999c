//! The memory of a file: finds descriptors of pages, and unpacks them.
//!
//! Any number of threads can read at once; none of them holds anything that another one needs.

use std::io;
use std::sync::Arc;

use super::super::{FormatError, Image, not_in_image};
use super::flattened::{self, Flattened};
use super::header::{Header, STEP_LEN};
use super::{DESCRIPTOR_LEN, codec};
use crate::{AddressSpace, Cause, Extent, MemoryMap, Presence, ReadAt, ReadError, Run};

/// Pages that one read unpacks at most.
const READ_PAGES: u64 = 256;
/// Pages that one survey looks at.
const SURVEY_PAGES: u64 = 8192;
/// Bytes of packed pages that are read together.
const WINDOW_LEN: u64 = 1 << 20;

pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    let mut start = [0; 16];
    let is_flattened = file.read_exact_at(0, &mut start).is_ok() && start == flattened::SIGNATURE;
    let (file, is_whole, held) = match is_flattened {
        true => {
            let (flattened, is_whole) = Flattened::open(file)?;
            let held = flattened.held();
            (Arc::new(flattened) as Arc<dyn ReadAt>, is_whole, held)
        }
        false => (file, true, u64::MAX),
    };
    let mut header = Header::read(&*file, held)?;
    let facts = std::mem::take(&mut header.facts);
    // What a flattened file ends before looks like what it never had.
    let lost = if is_whole { Cause::NotInImage } else { Cause::Truncated };
    Ok(Image { space: Box::new(Kdump { header, file, lost }), facts })
}

struct Kdump {
    header: Header,
    /// In order.
    file: Arc<dyn ReadAt>,
    /// Why a page is not in the file that says so.
    lost: Cause,
}

/// What there is of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Its bit is not set, or its descriptor is empty.
    Lost,
    /// The file ends before its descriptor.
    Beyond,
    /// Where it is, packed in how many bytes, and how.
    Packed { offset: u64, size: u32, flags: u32 },
}

impl Kdump {
    /// What there is of `count` pages from `first` on, all below `max_mapnr`; `count` is at least 1.
    fn slots(&self, first: u64, count: u64) -> io::Result<Vec<Slot>> {
        // From the step's first byte on: how many stand before is known for that one.
        let step = first / 8 / STEP_LEN;
        let from = step * STEP_LEN;
        let end = (first + count).div_ceil(8);
        let mut bitmap = vec![0; (end - from) as usize];
        self.file.read_exact_at(self.header.bitmap + from, &mut bitmap)?;
        let within = (first - from * 8) as usize;
        let is_set = |bit: usize| bitmap[bit / 8] & 1 << (bit % 8) != 0;
        let whole = bitmap[..within / 8].iter().map(|byte| u64::from(byte.count_ones()));
        let part = (within / 8 * 8..within).filter(|&bit| is_set(bit)).count() as u64;
        let before = self.header.before.get(step as usize).copied().unwrap_or(0);
        let index = before + whole.sum::<u64>() + part;

        let bits = within..within + count as usize;
        let set = bits.clone().filter(|&bit| is_set(bit)).count();
        let mut table = vec![0; set * DESCRIPTOR_LEN as usize];
        let at = index * DESCRIPTOR_LEN + self.header.table;
        let found = read_up_to(&*self.file, at, &mut table)?;
        let mut descriptors = table[..found].chunks_exact(DESCRIPTOR_LEN as usize);
        let slots = bits.map(|bit| match is_set(bit) {
            false => Slot::Lost,
            true => descriptors.next().map_or(Slot::Beyond, Slot::new),
        });
        Ok(slots.collect())
    }
}

impl Slot {
    fn new(descriptor: &[u8]) -> Self {
        let (words, _) = descriptor.as_chunks::<4>();
        let [low, high, size, flags] = std::array::from_fn(|i| u32::from_le_bytes(words[i]));
        match u64::from(high) << 32 | u64::from(low) {
            0 => Slot::Lost,
            offset => Slot::Packed { offset, size, flags },
        }
    }
}

/// Fills `buf` as far as the file goes, and says how far.
fn read_up_to(file: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let Some(at) = offset.checked_add(done as u64) else { break };
        match file.read_at(at, &mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl AddressSpace for Kdump {
    fn map(&self) -> &MemoryMap {
        &self.header.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(region) = self.header.map.find(addr) else { return Err(not_in_image(addr)) };
        let block = self.header.block;
        let here = usize::try_from(region.extent.end() - addr).unwrap_or(usize::MAX);
        let buf_len = buf.len().min(here);
        let within = addr % block;
        let first = addr / block;
        let count = (within + buf_len as u64).div_ceil(block).min(READ_PAGES);
        let mut pages = Pages::new(&*self.file, block, self.slots(first, count)?);
        let mut page = Vec::new();
        let mut done = 0;
        for index in 0..count as usize {
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
                Err(Slot::Lost) => return Err(ReadError::Fault { addr, cause: self.lost }),
                Err(_) => return Err(ReadError::Fault { addr, cause: Cause::Truncated }),
            }
        }
        Ok(done)
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let block = self.header.block;
        let first = extent.start() / block;
        let count = (extent.last() / block - first + 1).min(SURVEY_PAGES);
        if first + count > self.header.max_mapnr {
            return Err(not_in_image(extent.start()));
        }
        let mut runs: Vec<Run> = Vec::new();
        for (index, slot) in self.slots(first, count)?.into_iter().enumerate() {
            let presence = match slot {
                Slot::Lost => Presence::Nothing(self.lost),
                Slot::Beyond | Slot::Packed { .. } => Presence::Memory,
            };
            let start = (first + index as u64) * block;
            // A page that the map ends with ends below the last address.
            let page = Extent::half_open(start, start + block).ok();
            let Some(page) = page.and_then(|page| page.intersection(extent)) else { continue };
            match runs.last_mut().filter(|run| run.presence == presence) {
                Some(run) => {
                    let both = Extent::half_open(run.extent.start(), page.end());
                    run.extent = both.map_err(io::Error::other)?;
                }
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
    /// Where in the file the window is.
    start: u64,
    window: Vec<u8>,
    /// A page that stands before the others, and so is likely to come again: that of zeros.
    shared: Option<(Slot, Vec<u8>)>,
}

impl<'a> Pages<'a> {
    fn new(file: &'a dyn ReadAt, block: u64, slots: Vec<Slot>) -> Self {
        Self { file, block, slots, start: 0, window: Vec::new(), shared: None }
    }

    /// Fills `page`, a whole one, with that of a slot; or gives back the slot when it has none that
    /// is sound.
    fn unpack(&mut self, index: usize, page: &mut [u8]) -> io::Result<Result<(), Slot>> {
        let slot = self.slots[index];
        let Slot::Packed { offset, size, flags } = slot else { return Ok(Err(slot)) };
        let len = u64::from(size);
        let Some(end) = offset.checked_add(len).filter(|_| (1..=self.block).contains(&len)) else {
            return Ok(Err(slot));
        };
        if let Some((_, shared)) = self.shared.as_ref().filter(|(other, _)| *other == slot) {
            page.copy_from_slice(shared);
            return Ok(Ok(()));
        }
        let is_before = !self.window.is_empty() && offset < self.start;
        if is_before {
            let mut packed = vec![0; size as usize];
            let found = read_up_to(self.file, offset, &mut packed)?;
            if codec::unpack(flags, &packed[..found], page).is_none() {
                return Ok(Err(slot));
            }
            self.shared = Some((slot, page.to_vec()));
            return Ok(Ok(()));
        }
        if self.start + (self.window.len() as u64) < end || self.window.is_empty() {
            self.fill(index, offset, end)?;
        }
        let from = usize::try_from(offset - self.start).ok();
        let packed = from.and_then(|from| self.window.get(from..from.checked_add(size as usize)?));
        let unpacked = packed.and_then(|packed| codec::unpack(flags, packed, page));
        Ok(unpacked.ok_or(slot))
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
        self.window.resize((end - offset) as usize, 0);
        let found = read_up_to(self.file, offset, &mut self.window)?;
        self.window.truncate(found);
        Ok(())
    }
}
