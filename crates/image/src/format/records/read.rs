//! The reader of files of records, AVML's and LiME's in any order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use snap::read::FrameDecoder;

use super::super::row::Image;
use super::super::stretches::{MAX_LOOKS, Shift, Sparse, not_in_image, push_run, read_file};
use super::find::{FoundRecords, Record, find};
use super::stream::{FrameChunk, IDENTIFIER, at, chunks};
use crate::problem::{FormatError, OpenMode, Problems};
use crate::{
    AddressSpace, Cause, Extent, Facts, MemoryMap, Presence, ReadAt, ReadError, Region, RegionKind,
    Run, Space,
};

/// Streams whose chunks are known where they stand.
const MAX_KNOWN: usize = 32;

/// Opens a file of records.
pub(super) fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    let FoundRecords { records, parts } = find(&file, &mut problems)?;
    let regions = parts.iter().map(|&(extent, _)| Region::new(extent, RegionKind::Unknown));
    let map = MemoryMap::new(Space::Physical, regions.collect())
        .map_err(|error| at(0, "s_addr").bad(error.to_string()))?
        .joined();
    let file = Sparse::new(file);
    let space = Records { map, records, parts, file, known: Mutex::default() };
    Ok(Image { space: Box::new(space), facts: Facts::default(), problems })
}

/// The places of the chunks of records, by the record's number.
type Known = VecDeque<(usize, Arc<Vec<FrameChunk>>)>;

struct Records {
    map: MemoryMap,
    /// In the order of the file.
    records: Vec<Record>,
    /// Which record has which addresses; ascending.
    parts: Vec<(Extent, usize)>,
    file: Sparse,
    known: Mutex<Known>,
}

impl Records {
    /// The chunks of a compressed record.
    fn chunks(&self, index: usize, stream: u64) -> Arc<Vec<FrameChunk>> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunks)) = lock().iter().find(|(known, _)| *known == index) {
            return Arc::clone(chunks);
        }
        let Record { extent, offset, .. } = self.records[index];
        let found = chunks(self.file.file(), offset, extent, Some(offset + stream));
        let found = Arc::new(found.chunks);
        let mut known = lock();
        known.truncate(MAX_KNOWN - 1);
        known.push_front((index, Arc::clone(&found)));
        found
    }

    /// Reads compressed memory from `within` its record on.
    fn unpack(&self, index: usize, stream: u64, within: u64, buf: &mut [u8]) -> Option<usize> {
        let chunks = self.chunks(index, stream);
        let first = chunks.partition_point(|chunk| chunk.memory <= within).checked_sub(1)?;
        let (start, end) = (chunks[first].start, self.records[index].offset + stream);
        let bytes = Bytes { file: self.file.file(), at: start, end };
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
        let after = self.parts.partition_point(|(extent, _)| extent.start() <= addr);
        let part = self.parts[..after].last().filter(|(extent, _)| extent.contains(addr));
        let Some(&(part, index)) = part else { return Err(not_in_image(addr)) };
        let Record { extent, offset, stream, held, lost } = self.records[index];
        let within = addr - extent.start();
        let Some(here) = held.checked_sub(within).filter(|&here| here > 0) else {
            return Err(ReadError::Fault { addr, cause: lost });
        };
        let here = here.min(part.end() - addr);
        let len = buf.len().min(usize::try_from(here).unwrap_or(usize::MAX));
        match stream {
            None => read_file(self.file.file(), addr, offset + within, &mut buf[..len]),
            Some(stream) => self
                .unpack(index, stream, within, &mut buf[..len])
                .ok_or(ReadError::Fault { addr, cause: Cause::Damaged }),
        }
    }

    fn survey_is_final(&self) -> bool {
        true
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        let first = self.parts.partition_point(|(part, _)| part.end() <= extent.start());
        let mut runs = Vec::new();
        let mut looks = MAX_LOOKS;
        for &(part, index) in &self.parts[first..] {
            if part.start() >= extent.end() {
                break;
            }
            let Record { extent: whole, offset, stream, held, lost } = self.records[index];
            let (here, gone) = part.split_at(held.saturating_sub(part.start() - whole.start()));
            if let Some(here) = here.and_then(|here| here.intersection(extent)) {
                if stream.is_some() {
                    push_run(&mut runs, here, Presence::Memory);
                } else {
                    let shift = Shift::new(whole.start(), offset);
                    if !self.file.push_data(&mut runs, here, shift, &mut looks) {
                        break;
                    }
                }
            }
            if let Some(gone) = gone.and_then(|gone| gone.intersection(extent)) {
                push_run(&mut runs, gone, Presence::Nothing(lost));
            }
        }
        match runs.is_empty() {
            true => Err(not_in_image(extent.start())),
            false => Ok(runs),
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
