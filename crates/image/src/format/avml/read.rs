//! The reader of files of records, AVML's and LiME's in any order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use snap::read::FrameDecoder;

use super::super::{FormatError, Image, lime, not_in_image, read_file};
use super::{
    CHUNK_LEN, COMPRESSED, FIRST_SKIPPABLE, FORMAT, IDENTIFIER, MAGIC, STORED, TRAILER_LEN, VERSION,
};
use crate::{
    AddressSpace, Cause, Extent, Facts, MemoryMap, ReadAt, ReadError, Region, RegionKind, Space,
};

/// More records than any machine fills; a file with more is not read.
const MAX_RECORDS: usize = 1 << 24;
/// Streams whose chunks are known where they stand.
const MAX_KNOWN: usize = 32;

/// A record: its addresses and where its bytes stand in the file.
#[derive(Clone, Copy)]
struct Record {
    extent: Extent,
    offset: u64,
    /// The length of its stream, where it is compressed.
    stream: Option<u64>,
}

/// Opens a file of records.
pub(in super::super) fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    let failed = |offset| move |source| FormatError::Read { format: FORMAT.name, offset, source };
    let size = file.size().map_err(failed(0))?;
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    while at < size {
        let bad = |offset: u64, field, problem| FormatError::Field {
            format: FORMAT.name,
            offset: at + offset,
            field,
            problem,
        };
        if records.len() == MAX_RECORDS {
            return Err(bad(0, "magic", format!("more than {MAX_RECORDS} records")));
        }
        if size - at < lime::HEADER_LEN {
            let problem =
                format!("the file ends after {} of {} bytes", size - at, lime::HEADER_LEN);
            return Err(bad(0, "header", problem));
        }
        let mut header = [0; lime::HEADER_LEN as usize];
        file.read_exact_at(at, &mut header).map_err(failed(at))?;
        let is_compressed = match (
            &header[..4],
            u32::from_le_bytes([header[4], header[5], header[6], header[7]]),
        ) {
            (magic, VERSION) if magic == MAGIC => true,
            (magic, lime::VERSION) if magic == lime::MAGIC => false,
            (magic, version) if magic == MAGIC || magic == lime::MAGIC => {
                return Err(bad(
                    4,
                    "version",
                    format!("{version} is neither LiME's 1 nor AVML's 2"),
                ));
            }
            _ => {
                let problem = "it is neither LiME's 0x4C694D45 nor AVML's 0x4C4D5641".into();
                return Err(bad(0, "magic", problem));
            }
        };
        let (words, _) = header.as_chunks::<8>();
        let [first, last] = [1, 2].map(|index| u64::from_le_bytes(words[index]));
        let extent =
            Extent::inclusive(first, last).map_err(|error| bad(16, "e_addr", error.to_string()))?;
        if let Some(before) = records.last().filter(|record| record.extent.end() > extent.start()) {
            let problem = format!("{extent} does not come after {}", before.extent);
            return Err(bad(8, "s_addr", problem));
        }
        let offset = at + lime::HEADER_LEN;
        let stream = match is_compressed {
            true => Some(stream_len(&*file, offset, extent, size)?),
            false if size - offset < extent.len() => {
                let problem = format!("the file ends before the last byte of {extent}");
                return Err(bad(16, "e_addr", problem));
            }
            false => None,
        };
        records.push(Record { extent, offset, stream });
        at = offset + stream.map_or(extent.len(), |len| len + TRAILER_LEN);
    }
    let regions = records.iter().map(|record| Region::new(record.extent, RegionKind::Unknown));
    let map = MemoryMap::new(Space::Physical, regions.collect())
        .map_err(|error| failed(0)(io::Error::other(error)))?
        .joined();
    let known = Mutex::default();
    Ok(Image { space: Box::new(Records { map, records, file, known }), facts: Facts::default() })
}

fn bad(offset: u64, field: &'static str, problem: impl Into<String>) -> FormatError {
    FormatError::Field { format: FORMAT.name, offset, field, problem: problem.into() }
}

/// How long the stream of a record is; it and its trailer must be whole.
fn stream_len(
    file: &dyn ReadAt,
    offset: u64,
    extent: Extent,
    size: u64,
) -> Result<u64, FormatError> {
    let chunks = chunks(file, offset, extent, size)?;
    let end = chunks.last().map_or(offset, |chunk| chunk.end);
    if size - end < TRAILER_LEN {
        return Err(bad(end, "length", "the file ends before it"));
    }
    let mut trailer = [0; TRAILER_LEN as usize];
    let failed = |source| FormatError::Read { format: FORMAT.name, offset: end, source };
    file.read_exact_at(end, &mut trailer).map_err(failed)?;
    let (said, found) = (u64::from_le_bytes(trailer), end - offset);
    match said == found {
        true => Ok(found),
        false => Err(bad(end, "length", format!("it says {said}, the stream has {found} bytes"))),
    }
}

/// A chunk of a stream that has memory in it.
#[derive(Clone, Copy)]
struct FrameChunk {
    /// Where its memory begins, from the start of the record's.
    memory: u64,
    /// Where it stands in the file, from its type to one beyond its last byte.
    start: u64,
    end: u64,
}

/// The chunks of the stream at `offset`, by their headers alone.
fn chunks(
    file: &dyn ReadAt,
    offset: u64,
    extent: Extent,
    size: u64,
) -> Result<Vec<FrameChunk>, FormatError> {
    let mut chunks = Vec::new();
    let (mut at, mut memory) = (offset, 0);
    while memory < extent.len() {
        // Type and length, CRC, and the length of the memory (a varint of up to 5 bytes).
        let mut head = [0; 13];
        let there = head.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let head = &mut head[..there];
        let failed = |source| FormatError::Read { format: FORMAT.name, offset: at, source };
        file.read_exact_at(at, head).map_err(failed)?;
        let Some(&[kind, low, middle, high]) = head.get(..4) else {
            return Err(bad(
                at,
                "chunk",
                format!("the file ends before the last byte of {extent}"),
            ));
        };
        let len = u64::from(u32::from_le_bytes([low, middle, high, 0]));
        let end = at + 4 + len;
        if end > size {
            return Err(bad(
                at,
                "chunk",
                format!("the file ends before the last byte of {extent}"),
            ));
        }
        if at == offset && head.get(..IDENTIFIER.len()) != Some(&IDENTIFIER[..]) {
            return Err(bad(at, "stream", "it does not begin with snappy's identifier"));
        }
        let content = match kind {
            COMPRESSED => head.get(8..).and_then(varint),
            STORED => len.checked_sub(4),
            FIRST_SKIPPABLE.. => Some(0),
            _ => None,
        };
        let Some(content) = content.filter(|&content| content <= CHUNK_LEN as u64) else {
            return Err(bad(at, "chunk", format!("a chunk of type {kind:#x} and {len} bytes")));
        };
        if content > extent.len() - memory {
            return Err(bad(at, "chunk", format!("the stream holds more than {extent}")));
        }
        if content > 0 {
            chunks.push(FrameChunk { memory, start: at, end });
            memory += content;
        }
        at = end;
    }
    Ok(chunks)
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Where the chunks of a record stand, by the record's number.
type Known = VecDeque<(usize, Arc<Vec<FrameChunk>>)>;

struct Records {
    map: MemoryMap,
    /// Ascending.
    records: Vec<Record>,
    file: Arc<dyn ReadAt>,
    known: Mutex<Known>,
}

impl Records {
    /// The chunks of a compressed record; none when the file is not any more what it was.
    fn chunks(&self, index: usize) -> Option<Arc<Vec<FrameChunk>>> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunks)) = lock().iter().find(|(known, _)| *known == index) {
            return Some(Arc::clone(chunks));
        }
        let Record { extent, offset, stream } = self.records[index];
        let found = chunks(&*self.file, offset, extent, offset + stream?).ok().map(Arc::new)?;
        let mut known = lock();
        known.truncate(MAX_KNOWN - 1);
        known.push_front((index, Arc::clone(&found)));
        Some(found)
    }

    /// Reads compressed memory from `within` its record on.
    fn unpack(&self, index: usize, within: u64, buf: &mut [u8]) -> Option<usize> {
        let chunks = self.chunks(index)?;
        let first = chunks.partition_point(|chunk| chunk.memory <= within).checked_sub(1)?;
        let (start, end) = (chunks[first].start, chunks.last()?.end);
        let bytes = Bytes { file: &*self.file, at: start, end };
        let mut stream = FrameDecoder::new(IDENTIFIER.as_slice().chain(bytes));
        let before = within - chunks[first].memory;
        if io::copy(&mut Read::by_ref(&mut stream).take(before), &mut io::sink()).ok()? != before {
            return None;
        }
        let mut done = 0;
        while done < buf.len() {
            match stream.read(&mut buf[done..]) {
                Ok(0) | Err(_) => break,
                Ok(read) => done += read,
            }
        }
        Some(done).filter(|&done| done > 0)
    }
}

impl AddressSpace for Records {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.records.partition_point(|record| record.extent.start() <= addr);
        let index = after.checked_sub(1).filter(|&index| self.records[index].extent.contains(addr));
        let Some(index) = index else { return Err(not_in_image(addr)) };
        let Record { extent, offset, stream } = self.records[index];
        let within = addr - extent.start();
        let len = buf.len().min(usize::try_from(extent.len() - within).unwrap_or(usize::MAX));
        match stream {
            None => read_file(&*self.file, addr, offset + within, &mut buf[..len]),
            Some(_) => self
                .unpack(index, within, &mut buf[..len])
                .ok_or(ReadError::Fault { addr, cause: Cause::Damaged }),
        }
    }
}

/// Bytes of a file from `at` to `end`.
struct Bytes<'a> {
    file: &'a dyn ReadAt,
    at: u64,
    end: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(self.at, &mut buf[..len])?;
        self.at += read as u64;
        Ok(read)
    }
}
