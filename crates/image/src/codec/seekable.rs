//! The table of frames at the end of a zstd file, and the reader that uses it.
//!
//! Layout: `contrib/seekable_format/zstd_seekable_compression_format.md` of zstd: a skippable frame (magic 0x184D2A5E, length u32) with
//! an entry for each frame (its compressed size u32, its size u32) and a footer (their number u32, a byte of flags, the
//! magic 0x8F92EAB1). Programs that do not know it skip it.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::row::{Codec, Front};
use crate::ReadAt;

/// The magic of a skippable frame that holds a table (`ZSTD_MAGIC_SKIPPABLE_START` + 0xE).
const TABLE_MAGIC: [u8; 4] = 0x184d_2a5e_u32.to_le_bytes();
const FOOTER_MAGIC: [u8; 4] = 0x8f92_eab1_u32.to_le_bytes();
const FOOTER_LEN: u64 = 9;
const HEADER_LEN: u64 = 8;
/// The flag of the footer that says that each entry also has a checksum of 4 bytes.
const HAS_CHECKSUMS: u8 = 1 << 7;
/// The flags that must be 0.
const RESERVED: u8 = 0x7c;
/// The largest frame, decompressed, that is read as a whole. A file with a larger one is read without its table.
const MAX_FRAME_LEN: u32 = 16 << 20;
/// The bytes of decompressed frames that are kept at most.
const MAX_KEPT_LEN: u64 = 32 << 20;

/// Returns the table for frames of these sizes: compressed, and not.
pub(super) fn table(sizes: &[(u32, u32)]) -> Vec<u8> {
    let len = sizes.len() as u32 * 8 + FOOTER_LEN as u32;
    let mut table = Vec::with_capacity(len as usize + HEADER_LEN as usize);
    table.extend(TABLE_MAGIC);
    table.extend(len.to_le_bytes());
    for (compressed, size) in sizes {
        table.extend(compressed.to_le_bytes());
        table.extend(size.to_le_bytes());
    }
    table.extend((sizes.len() as u32).to_le_bytes());
    table.push(0);
    table.extend(FOOTER_MAGIC);
    table
}

/// A frame.
#[derive(Clone, Copy)]
struct Frame {
    /// The offset in the file.
    offset: u64,
    /// The size in the file.
    packed: u32,
    /// The offset of its bytes in the decompressed file.
    start: u64,
    /// The number of its bytes.
    len: u32,
}

/// Frames that are being decompressed or were, by their index. A damaged one has `None` inside.
type Kept = VecDeque<(usize, Arc<OnceLock<Option<Vec<u8>>>>)>;

/// A compressed file that can be read anywhere.
pub(super) struct Seekable {
    file: Arc<dyn ReadAt>,
    codec: &'static Codec,
    frames: Vec<Frame>,
    size: u64,
    kept: Mutex<Kept>,
    max_kept: usize,
}

impl Seekable {
    /// Opens a file by its table. Returns `None` if it has no table, or one that does not fit.
    pub(super) fn open(file: &Arc<dyn ReadAt>, codec: &'static Codec) -> io::Result<Option<Self>> {
        let Some(frames) = frames(&**file)? else { return Ok(None) };
        let size = frames.last().map_or(0, |last| last.start + u64::from(last.len));
        let largest = frames.iter().map(|frame| frame.len).max().unwrap_or(1).max(1);
        let max_kept = (MAX_KEPT_LEN / u64::from(largest)).clamp(2, 64) as usize;
        let file = Arc::clone(file);
        Ok(Some(Self { file, codec, frames, size, kept: Mutex::default(), max_kept }))
    }

    /// Returns the bytes of a frame. If another thread is decompressing it, this waits.
    fn unpack(&self, index: usize) -> Arc<OnceLock<Option<Vec<u8>>>> {
        let entry = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            match kept.iter().find(|(known, _)| *known == index) {
                Some((_, entry)) => Arc::clone(entry),
                None => {
                    let entry = Arc::new(OnceLock::new());
                    kept.truncate(self.max_kept - 1);
                    kept.push_front((index, Arc::clone(&entry)));
                    entry
                }
            }
        };
        entry.get_or_init(|| {
            let Frame { offset, packed, len, .. } = self.frames[index];
            let packed = Front { file: Arc::clone(&self.file), at: offset }.take(packed.into());
            let mut bytes = Vec::with_capacity(len as usize);
            let mut decoder = (self.codec.decoder)(Box::new(packed)).ok()?;
            Read::by_ref(&mut decoder).take(u64::from(len) + 1).read_to_end(&mut bytes).ok()?;
            (bytes.len() == len as usize).then_some(bytes)
        });
        entry
    }
}

impl ReadAt for Seekable {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() && offset + (done as u64) < self.size {
            let at = offset + done as u64;
            let index = self.frames.partition_point(|frame| frame.start <= at) - 1;
            let entry = self.unpack(index);
            let Some(bytes) = entry.get().and_then(Option::as_ref) else {
                if done > 0 {
                    break;
                }
                let at = self.frames[index].offset;
                let damaged = format!("the {} frame at {at:#x} is damaged", self.codec.name);
                return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
            };
            let rest = &bytes[(at - self.frames[index].start) as usize..];
            let now = rest.len().min(buf.len() - done);
            buf[done..done + now].copy_from_slice(&rest[..now]);
            done += now;
        }
        Ok(done)
    }
}

/// Returns true if a frame has as many bytes as the table says, or does not say how many it has. A wrong number would shift
/// everything after it.
fn is_of_len(file: &dyn ReadAt, offset: u64, len: u32) -> io::Result<bool> {
    // `ZSTD_FRAMEHEADERSIZE_MAX`.
    let mut header = [0; 18];
    let read = file.read_at(offset, &mut header)?;
    Ok(match zstd::zstd_safe::get_frame_content_size(&header[..read]) {
        Ok(said) => said.is_none_or(|said| said == u64::from(len)),
        Err(_) => false,
    })
}

/// Returns the frames that the table lists, or `None` if there is no table that fits the file.
fn frames(file: &dyn ReadAt) -> io::Result<Option<Vec<Frame>>> {
    let size = file.size()?;
    let Some(footer_at) = size.checked_sub(FOOTER_LEN) else { return Ok(None) };
    let mut footer = [0; FOOTER_LEN as usize];
    file.read_exact_at(footer_at, &mut footer)?;
    let [c0, c1, c2, c3, flags, magic @ ..] = footer;
    if magic != FOOTER_MAGIC || flags & RESERVED != 0 {
        return Ok(None);
    }
    let count = u64::from(u32::from_le_bytes([c0, c1, c2, c3]));
    let entry_len = if flags & HAS_CHECKSUMS == 0 { 8 } else { 12 };
    let Some(table_at) = footer_at.checked_sub(count * entry_len + HEADER_LEN) else {
        return Ok(None);
    };
    // It is no longer than the file.
    let mut table = vec![0; (footer_at - table_at) as usize];
    file.read_exact_at(table_at, &mut table)?;
    let (header, entries) = table.split_at(HEADER_LEN as usize);
    let len = (count * entry_len + FOOTER_LEN).to_le_bytes();
    if header[..4] != TABLE_MAGIC || header[4..] != len[..4] {
        return Ok(None);
    }
    let mut frames = Vec::with_capacity(count as usize);
    let (mut offset, mut start) = (0_u64, 0_u64);
    for entry in entries.chunks_exact(entry_len as usize) {
        let (words, _) = entry.as_chunks::<4>();
        let [packed, len] = [0, 1].map(|index| u32::from_le_bytes(words[index]));
        if len > MAX_FRAME_LEN {
            return Ok(None);
        }
        if len > 0 {
            if !is_of_len(file, offset, len)? {
                return Ok(None);
            }
            frames.push(Frame { offset, packed, start, len });
        }
        (offset, start) = (offset + u64::from(packed), start + u64::from(len));
    }
    Ok((offset == table_at).then_some(frames))
}
