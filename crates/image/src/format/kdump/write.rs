//! The writer: pages go out as they come, their descriptors into the room that was left before them.
//!
//! Pages are compressed by whoever read them. What it holds in memory does not grow with the machine: the pages of a chunk, and
//! descriptors up to [`GATHER_LEN`].

use std::collections::BTreeMap;
use std::io;

use super::super::packed::{Packed, Packer, Part};
use super::super::writer::ImageWriter;
use super::codec::Codec;
use super::dumped::Dumped;
use super::fields::{DESCRIPTOR_LEN, INCOMPLETE, at};
use super::layout::{Layout, frame_extent};
use super::placed::PlacedOutput;
use crate::{Cause, Chunk, Content, Extent, ExtentSet, HoleEncoding, Output, Plan, is_zero};

/// Bytes of descriptors that are written at a time.
const GATHER_LEN: usize = 1 << 20;
/// A descriptor's first three fields. All 0, it says that the page is lost.
#[derive(Clone, Copy, Default)]
struct Descriptor {
    offset: u64,
    size: u32,
    flags: u32,
}

const LOST: Descriptor = Descriptor { offset: 0, size: 0, flags: 0 };

pub(super) struct Writer<'a> {
    placed: PlacedOutput<'a>,
    codec: Codec,
    /// The state that `begin` sets.
    state: Option<State>,
}

struct State {
    layout: Layout,
    /// Bytes of a page.
    page: u64,
    /// The memory that chunks will come for.
    taken: ExtentSet,
    gathered: Gathered,
    dumped: Dumped,
    /// True if chunks come by ascending address. Otherwise the number of a page's descriptor is known only when all chunks have
    /// come, and a page that is left out is lost like any other.
    is_ascending: bool,
    /// The descriptor of all pages of zeros.
    zero: Option<Descriptor>,
    /// Pages of which a part has come, by their frame.
    partial: BTreeMap<u64, Partial>,
    /// True if memory is missing that a better copy would have.
    is_incomplete: bool,
}

/// A page that comes in more than one chunk, or of which the plan has but a part.
struct Partial {
    /// All of it; zeros where nothing came.
    bytes: Vec<u8>,
    /// Bytes still to come.
    left: u64,
    /// True if anything but holes came.
    has_content: bool,
    /// The cause of its first hole.
    cause: Option<Cause>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(output: &'a mut dyn Output, codec: Codec) -> Self {
        Self { placed: PlacedOutput::new(output), codec, state: None }
    }
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Kept
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let layout = Layout::new(plan);
        self.placed.begin()?;
        layout.write(&plan.facts, self.codec, &mut self.placed)?;
        self.placed.leave(layout.table_len)?;
        self.state = Some(State {
            gathered: Gathered::new(layout.table),
            dumped: Dumped::new(layout.dumped()),
            is_ascending: plan.first.is_empty(),
            layout,
            page: plan.page_size,
            taken: plan.map.extents().difference(&plan.left_out),
            zero: None,
            partial: BTreeMap::new(),
            is_incomplete: false,
        });
        Ok(())
    }

    fn packer(&self) -> Option<Box<dyn Packer>> {
        let page = self.state.as_ref()?.page;
        Some(Box::new(PagePacker { codec: self.codec, page }))
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.put(chunk, None)
    }

    fn packed(&mut self, chunk: &Chunk<'_>, packed: Packed) -> io::Result<()> {
        self.put(chunk, Some(packed))
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        while let Some((frame, _)) = self.state.as_ref().and_then(|s| s.partial.first_key_value()) {
            self.flush_partial(*frame)?;
        }
        if let Some(state) = &mut self.state {
            let pages = state.layout.table_len / DESCRIPTOR_LEN - state.dumped.left_out;
            state.gathered.finish(pages, &mut self.placed)?;
            state.dumped.finish(&state.layout, &mut self.placed)?;
            // In a flattened file the header is out already.
            if state.is_incomplete && !self.placed.is_flattened() {
                let status = self.codec.flag() | INCOMPLETE;
                self.placed.fill(at::STATUS as u64, &status.to_le_bytes())?;
            }
        }
        self.placed.end()
    }
}

impl Writer<'_> {
    /// The state that `begin` has set.
    fn state(&mut self) -> io::Result<&mut State> {
        self.state.as_mut().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Takes a chunk; `packed` are the pages that lie whole in it.
    fn put(&mut self, chunk: &Chunk<'_>, packed: Option<Packed>) -> io::Result<()> {
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        let Some(state) = &mut self.state else { return Err(io::ErrorKind::InvalidInput.into()) };
        state.is_incomplete |=
            matches!(chunk.content, Content::Hole { cause, .. } if !cause.is_inherent());
        // The first page that lies whole in the chunk, and what is before and after such pages.
        let whole = extent.align_inward(state.page);
        let (before, after) = match whole {
            Some(whole) => (
                Extent::half_open(extent.start(), whole.start()).ok(),
                Extent::half_open(whole.end(), extent.end()).ok(),
            ),
            None => extent.split_at(state.page - extent.start() % state.page),
        };
        if let Some(before) = before {
            self.part(before, chunk.part(before).content)?;
        }
        if let Some(whole) = whole {
            let page = self.state()?.page;
            let (first, count) = (whole.start() / page, whole.len() / page);
            self.frames(first, count, chunk.part(whole).content, packed)?;
        }
        if let Some(after) = after {
            self.part(after, chunk.part(after).content)?;
        }
        Ok(())
    }

    /// Takes a part of one page, which goes out when nothing of it is left to come.
    fn part(&mut self, extent: Extent, content: Content<'_>) -> io::Result<()> {
        let state = self.state()?;
        let frame = extent.start() / state.page;
        if !state.partial.contains_key(&frame) {
            let all = frame_extent(frame, state.page)?;
            let left = state.taken.within(all).map(Extent::len).sum();
            let bytes = vec![0; state.page as usize];
            state.partial.insert(frame, Partial { bytes, left, has_content: false, cause: None });
        }
        let Some(partial) = state.partial.get_mut(&frame) else { return Ok(()) };
        let from = (extent.start() % state.page) as usize;
        if let Content::Bytes(bytes) = content {
            partial.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        }
        match content {
            Content::Hole { cause, .. } => partial.cause = partial.cause.or(Some(cause)),
            _ => partial.has_content = true,
        }
        partial.left = partial.left.saturating_sub(extent.len());
        if partial.left == 0 { self.flush_partial(frame) } else { Ok(()) }
    }

    /// Writes a page that came in parts. One that has any content is kept.
    fn flush_partial(&mut self, frame: u64) -> io::Result<()> {
        let state = self.state()?;
        let extent = frame_extent(frame, state.page)?;
        match state.partial.remove(&frame) {
            Some(Partial { bytes, has_content: true, .. }) => {
                self.frames(frame, 1, Content::Bytes(&bytes), None)
            }
            Some(Partial { cause, .. }) => {
                let cause = cause.unwrap_or(Cause::NotInImage);
                self.frames(frame, 1, Content::Hole { len: extent.len(), cause }, None)
            }
            None => Ok(()),
        }
    }

    /// Writes whole pages, which may be packed already.
    fn frames(
        &mut self,
        first: u64,
        count: u64,
        content: Content<'_>,
        packed: Option<Packed>,
    ) -> io::Result<()> {
        // Of a page before nothing more comes.
        while self.state()?.is_ascending
            && let Some((&before, _)) = self.state()?.partial.range(..first).next()
        {
            self.flush_partial(before)?;
        }
        let Self { state, placed, .. } = self;
        let state = state.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
        let page = state.page as usize;
        let index = state.layout.index(first);
        let Some(index) = index.filter(|_| state.layout.index(first + count - 1).is_some()) else {
            let outside = "memory that is not part of the plan";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, outside));
        };
        let index = index - state.dumped.left_out;
        match content {
            Content::Hole { cause, .. } if cause.is_excluded() && state.is_ascending => {
                state.dumped.leave_out(first..first + count, &state.layout, placed)
            }
            Content::Bytes(bytes) => {
                let packed = match packed {
                    Some(packed) => packed,
                    None => pack(self.codec, bytes, page)?,
                };
                self.put_packed(index, packed)
            }
            Content::Zero { .. } => {
                let zero = self.zero()?;
                (index..index + count).try_for_each(|index| self.describe(index, zero))
            }
            Content::Hole { .. } => {
                (index..index + count).try_for_each(|index| self.describe(index, LOST))
            }
        }
    }

    /// Writes pages that are packed.
    fn put_packed(&mut self, first: u64, packed: Packed) -> io::Result<()> {
        let Packed { bytes, parts } = packed;
        let mut rest = bytes.as_slice();
        let (mut offset, mut waiting) = (self.placed.position(), 0);
        for (index, part) in (first..).zip(parts) {
            let descriptor = match part {
                ZERO if let Some(zero) = self.state()?.zero => zero,
                ZERO => {
                    let (now, later) = rest.split_at(waiting);
                    self.placed.append(now)?;
                    (rest, waiting) = (later, 0);
                    let zero = self.zero()?;
                    offset = self.placed.position();
                    zero
                }
                Part { len, flags } => Descriptor { offset, size: len, flags },
            };
            offset += u64::from(part.len);
            waiting += part.len as usize;
            self.describe(index, descriptor)?;
        }
        self.placed.append(rest)
    }

    /// The page of zeros, which is written when it is first wanted.
    fn zero(&mut self) -> io::Result<Descriptor> {
        let Self { placed, codec, state } = self;
        let State { zero, page, .. } = state.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(zero) = zero {
            return Ok(*zero);
        }
        let (offset, mut bytes) = (placed.position(), Vec::new());
        let (size, flags) = codec.pack(&vec![0; *page as usize], &mut bytes)?;
        placed.append(&bytes)?;
        Ok(*zero.insert(Descriptor { offset, size, flags }))
    }

    fn describe(&mut self, index: u64, descriptor: Descriptor) -> io::Result<()> {
        let Self { state, placed, .. } = self;
        let state = state.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
        state.gathered.push(index, descriptor, placed)
    }
}

/// Compresses the pages that lie whole in what was read.
struct PagePacker {
    codec: Codec,
    /// Bytes of a page.
    page: u64,
}

impl Packer for PagePacker {
    fn pack(&self, addr: u64, bytes: &[u8]) -> io::Result<Packed> {
        let extent = Extent::with_len(addr, bytes.len() as u64).map_err(io::Error::other)?;
        let Some(whole) = extent.align_inward(self.page) else { return Ok(Packed::default()) };
        let from = (whole.start() - addr) as usize;
        pack(self.codec, &bytes[from..from + whole.len() as usize], self.page as usize)
    }
}

/// The part that a page of zeros is packed into: it is written once.
const ZERO: Part = Part { len: 0, flags: 0 };

fn pack(codec: Codec, pages: &[u8], page: usize) -> io::Result<Packed> {
    let mut packed = Packed::default();
    packed.bytes.reserve(pages.len() / 2);
    for page in pages.chunks(page) {
        packed.parts.push(match is_zero(page) {
            true => ZERO,
            false => {
                let (len, flags) = codec.pack(page, &mut packed.bytes)?;
                Part { len, flags }
            }
        });
    }
    Ok(packed)
}

/// Descriptors on their way out.
struct Gathered {
    /// The offset in the file of the first descriptor of all.
    table: u64,
    /// The number of the first that is held.
    first: u64,
    bytes: Vec<u8>,
    /// The parts of the file that have been written, in the order of writing.
    written: Vec<Extent>,
}

impl Gathered {
    fn new(table: u64) -> Self {
        Self { table, first: 0, bytes: Vec::new(), written: Vec::new() }
    }

    fn push(
        &mut self,
        index: u64,
        descriptor: Descriptor,
        placed: &mut PlacedOutput<'_>,
    ) -> io::Result<()> {
        let next = self.first + self.bytes.len() as u64 / DESCRIPTOR_LEN;
        if index != next || self.bytes.len() >= GATHER_LEN {
            self.flush(placed)?;
            self.first = index;
        }
        self.bytes.extend(descriptor.offset.to_le_bytes());
        self.bytes.extend(descriptor.size.to_le_bytes());
        self.bytes.extend(descriptor.flags.to_le_bytes());
        self.bytes.extend([0; 8]); // page_flags
        Ok(())
    }

    fn flush(&mut self, placed: &mut PlacedOutput<'_>) -> io::Result<()> {
        let offset = self.table + self.first * DESCRIPTOR_LEN;
        let Ok(extent) = Extent::with_len(offset, self.bytes.len() as u64) else { return Ok(()) };
        if placed.is_flattened() || !is_zero(&self.bytes) {
            placed.fill(offset, &self.bytes)?;
        }
        match self.written.last_mut().filter(|last| last.end() == extent.start()) {
            Some(last) => {
                *last = Extent::half_open(last.start(), extent.end()).map_err(io::Error::other)?;
            }
            None => self.written.push(extent),
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes what is held; what no chunk came for of the `pages` is lost.
    fn finish(&mut self, pages: u64, placed: &mut PlacedOutput<'_>) -> io::Result<()> {
        self.flush(placed)?;
        let len = pages * DESCRIPTOR_LEN;
        let table: ExtentSet = Extent::with_len(self.table, len).into_iter().collect();
        let written: ExtentSet = self.written.drain(..).collect();
        for gap in table.difference(&written).iter() {
            placed.fill_with_zeros(gap.start(), gap.len())?;
        }
        Ok(())
    }
}
