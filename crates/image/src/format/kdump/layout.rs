//! The layout of the file of a plan, and all that stands before the descriptors.

use std::io;

use super::super::vmcore::machine_notes;
use super::codec::Codec;
use super::fields::{
    BLOCK_LENS, DESCRIPTOR_LEN, HEADER_LEN, NO_VERSION, SIGNATURE, SUB_HEADER_LEN, UTS_LEN,
    VERSION, at, sub,
};
use super::placed::PlacedOutput;
use crate::elf::ElfFile;
use crate::{Extent, ExtentSet, Facts, Plan};

/// Bytes of a bitmap that are made at a time. Only the last piece may be shorter.
pub(super) const BITMAP_STEP: u64 = 64 * 1024;
/// A flattened file has this much more for each record, and a record holds a page at least.
const RECORD_LEN: u64 = 16;

/// Page frames that follow one another.
struct Frames {
    first: u64,
    /// The first frame beyond.
    end: u64,
    /// The number of the plan's frames that come before.
    before: u64,
}

/// The layout of a file. All lengths and offsets are in bytes.
pub(super) struct Layout {
    /// Of a block, and of a page.
    block: u64,
    frames: Vec<Frames>,
    notes: Vec<u8>,
    /// Of one of the two bitmaps.
    pub(super) bitmap_len: u64,
    /// The offset of the first descriptor.
    pub(super) table: u64,
    /// Their length.
    pub(super) table_len: u64,
}

impl Layout {
    /// A page of which the plan has but a part is in the file as a whole.
    pub(super) fn new(plan: &Plan) -> Self {
        let block = plan.page_size;
        let extents = plan.map.regions().iter().map(|region| region.extent.align_outward(block));
        let mut before = 0;
        let frames: Vec<Frames> = extents
            .collect::<ExtentSet>()
            .iter()
            .map(|extent| {
                let (first, end) = (extent.start() / block, extent.end().div_ceil(block));
                let frames = Frames { first, end, before };
                before += end - first;
                frames
            })
            .collect();
        let notes = machine_notes(&plan.facts);
        let end = frames.last().map_or(0, |frames| frames.end);
        let bitmap_len = end.div_ceil(8).next_multiple_of(block);
        let sub_len = (SUB_HEADER_LEN as u64 + notes.len() as u64).next_multiple_of(block);
        let table = block + sub_len + 2 * bitmap_len;
        Self { block, frames, notes, bitmap_len, table, table_len: before * DESCRIPTOR_LEN }
    }

    /// The number of a page's descriptor; none where the plan has nothing of the page.
    pub(super) fn index(&self, frame: u64) -> Option<u64> {
        let after = self.frames.partition_point(|frames| frames.first <= frame);
        let frames = self.frames[..after].last().filter(|frames| frame < frames.end)?;
        Some(frames.before + (frame - frames.first))
    }

    /// Writes what stands before the descriptors.
    ///
    /// # Errors
    /// When writing fails, or a machine's pages or addresses are beyond what the format can say.
    pub(super) fn write(
        &self,
        facts: &Facts,
        codec: Codec,
        placed: &mut PlacedOutput<'_>,
    ) -> io::Result<()> {
        placed.append(&self.headers(facts, codec)?)?;
        self.write_bitmap(placed)?;
        // What the file has is known when all of it has come.
        placed.leave(self.bitmap_len)
    }

    /// The offset of the second bitmap.
    pub(super) fn dumped(&self) -> u64 {
        self.table - self.bitmap_len
    }

    fn headers(&self, facts: &Facts, codec: Codec) -> io::Result<Vec<u8>> {
        let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        if !BLOCK_LENS.contains(&self.block) || !self.block.is_power_of_two() {
            return Err(refused("kdump has no place for pages of that size"));
        }
        let bitmap_blocks = u32::try_from(2 * self.bitmap_len / self.block)
            .map_err(|_| refused("kdump has no place for addresses that high"))?;
        let max_mapnr = self.frames.last().map_or(0, |frames| frames.end);
        let core = ElfFile { notes: self.notes.clone(), ..ElfFile::default() };
        // NT_PRSTATUS: one for each CPU.
        let cpus = core.notes().filter(|note| note.name == b"CORE" && note.kind == 1).count();

        let sub_len = self.table - self.block - 2 * self.bitmap_len;
        let mut bytes = vec![0; (self.block + sub_len) as usize];
        let (header, behind) = bytes.split_at_mut(self.block as usize);
        let header = &mut header[..HEADER_LEN];
        put(header, 0, &SIGNATURE);
        put(header, at::VERSION, &VERSION.to_le_bytes());
        put_name(header, at::SYSNAME, Some("Linux"));
        put_name(header, at::NODENAME, facts.host.as_deref());
        let vmcoreinfo = facts.vmcoreinfo.as_ref();
        let release = facts.release.as_deref().or(vmcoreinfo.and_then(|info| info.release()));
        put_name(header, at::RELEASE, release);
        // libkdumpfile (`uts_looks_sane`) believes none of the names where this one is empty.
        put_name(header, at::UTS_VERSION, Some(facts.version.as_deref().unwrap_or(NO_VERSION)));
        put_name(header, at::MACHINE, facts.machine());
        if let Some(taken) = facts.taken {
            put(header, at::TIMESTAMP, &taken.as_secs().to_le_bytes());
            put(header, at::TIMESTAMP + 8, &u64::from(taken.subsec_micros()).to_le_bytes());
        }
        put(header, at::STATUS, &codec.flag().to_le_bytes());
        put(header, at::BLOCK_SIZE, &(self.block as u32).to_le_bytes());
        put(header, at::SUB_HDR_SIZE, &((sub_len / self.block) as u32).to_le_bytes());
        put(header, at::BITMAP_BLOCKS, &bitmap_blocks.to_le_bytes());
        put(header, at::MAX_MAPNR, &u32::try_from(max_mapnr).unwrap_or(u32::MAX).to_le_bytes());
        put(header, at::NR_CPUS, &(cpus.max(1) as u32).to_le_bytes());

        // Not split and nothing left out: dump_level, split, and start and end of the part are 0.
        let phys_base = vmcoreinfo.and_then(|info| info.number("phys_base")).unwrap_or(0);
        put(behind, sub::PHYS_BASE, &phys_base.to_le_bytes());
        put(behind, sub::MAX_MAPNR_64, &max_mapnr.to_le_bytes());
        let notes_at = self.block + SUB_HEADER_LEN as u64;
        if !self.notes.is_empty() {
            put(behind, sub::OFFSET_NOTE, &pair(notes_at, self.notes.len()));
            put(behind, SUB_HEADER_LEN, &self.notes);
        }
        if let Some(text) = core.note("VMCOREINFO").filter(|text| !text.is_empty()) {
            let within = self.notes.windows(text.len()).position(|window| window == text);
            let offset = notes_at + within.unwrap_or(0) as u64;
            put(behind, sub::OFFSET_VMCOREINFO, &pair(offset, text.len()));
        }
        Ok(bytes)
    }

    /// A bit for each page frame, from 0 to the plan's last.
    fn write_bitmap(&self, placed: &mut PlacedOutput<'_>) -> io::Result<()> {
        let mut at = 0;
        while at < self.bitmap_len {
            match self.bits(at) {
                Some(bits) => {
                    placed.append(&bits)?;
                    at += bits.len() as u64;
                }
                None => {
                    let empty = self.empty(at);
                    placed.zeros(empty)?;
                    at += empty;
                }
            }
        }
        Ok(())
    }

    /// The piece of such a bitmap that begins at its byte `at`; none where no bit of it is set.
    pub(super) fn bits(&self, at: u64) -> Option<Vec<u8>> {
        let len = BITMAP_STEP.min(self.bitmap_len - at);
        let (from, to) = (at * 8, (at + len) * 8);
        let next = self.frames.partition_point(|frames| frames.end <= from);
        let here = self.frames[next..].iter().take_while(|frames| frames.first < to);
        let mut bits = None;
        for frames in here {
            let (first, end) = (frames.first.max(from) - from, frames.end.min(to) - from);
            let bits = bits.get_or_insert_with(|| vec![0; len as usize]);
            set_bits(bits, first as usize, end as usize);
        }
        bits
    }

    /// The number of bytes from `at` on, in whole pieces, without a bit that is set; one piece at least.
    pub(super) fn empty(&self, at: u64) -> u64 {
        let next = self.frames.partition_point(|frames| frames.end <= at * 8);
        let first = self.frames.get(next).map_or(u64::MAX, |frames| frames.first);
        let empty = (first / 8).saturating_sub(at) / BITMAP_STEP * BITMAP_STEP;
        let rest = self.bitmap_len - at;
        empty.clamp(BITMAP_STEP.min(rest), rest)
    }
}

/// Sets the bits `first..end`, least significant first.
fn set_bits(bitmap: &mut [u8], first: usize, end: usize) {
    let (whole_from, whole_to) = (first.div_ceil(8), end / 8);
    if whole_from < whole_to {
        bitmap[whole_from..whole_to].fill(0xff);
    }
    let edges = (first..end.min(whole_from * 8)).chain(first.max(whole_to * 8)..end);
    for bit in edges {
        bitmap[bit / 8] |= 1 << (bit % 8);
    }
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// A field of `struct new_utsname`, which ends with a NUL.
fn put_name(bytes: &mut [u8], at: usize, name: Option<&str>) {
    let name = name.unwrap_or_default().as_bytes();
    put(bytes, at, &name[..name.len().min(UTS_LEN - 1)]);
}

/// The offset of something and its length in bytes.
fn pair(offset: u64, len: usize) -> [u8; 16] {
    let mut pair = [0; 16];
    put(&mut pair, 0, &offset.to_le_bytes());
    put(&mut pair, 8, &(len as u64).to_le_bytes());
    pair
}

/// The most that an image can have: no page shrinks, and it is flattened.
pub(super) fn size(plan: &Plan) -> u64 {
    let layout = Layout::new(plan);
    let pages = layout.table_len / DESCRIPTOR_LEN;
    // Records also: headers, bitmaps, descriptors, the page of zeros, the end.
    let records = (layout.table + layout.table_len) / BITMAP_STEP + pages + 16;
    let data = (pages + 1).saturating_mul(layout.block);
    let whole = (layout.table + layout.table_len).saturating_add(data);
    whole.saturating_add(layout.block + records * RECORD_LEN)
}

/// The addresses of a page frame.
pub(super) fn frame_extent(frame: u64, block: u64) -> io::Result<Extent> {
    let start = frame.checked_mul(block).ok_or(io::ErrorKind::InvalidInput)?;
    // The last page of all has no address beyond it.
    Extent::half_open(start, start.saturating_add(block)).map_err(io::Error::other)
}
