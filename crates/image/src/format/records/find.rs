//! The places of a file's records, AVML's and LiME's in any order, and how much of each is there.

use std::sync::Arc;

use super::super::stretches::FirstWins;
use super::header::{AVML, HEADER_LEN, LIME, LIME_MAGIC, read_header};
use super::search::{MAX_ADDRESS, MAX_TRIES, PAGE, Reach, next_record};
use super::stream::{Chunks, TRAILER_LEN, at, check_trailer, chunks};
use crate::problem::{Field, FormatError, Problems, known_size, reaches, read_up_to, whole_front};
use crate::{Cause, Extent, ReadAt};

/// More records than any machine fills; a file with more is not read.
const MAX_RECORDS: usize = 1 << 24;

/// A record: its addresses and where its bytes stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) extent: Extent,
    /// The offset in the file of its memory or its stream, in bytes.
    pub(super) offset: u64,
    /// The length of its stream, where it is compressed.
    pub(super) stream: Option<u64>,
    /// The number of bytes of its memory that are in the file, from its start on.
    pub(super) held: u64,
    /// The reason that the rest is missing.
    pub(super) lost: Cause,
}

/// The records of a file, in its order, and the parts of memory that each of them has. Parts ascend.
pub(super) struct FoundRecords {
    pub(super) records: Vec<Record>,
    pub(super) parts: Vec<(Extent, usize)>,
}

/// Finds the records. Where one is not valid the next valid one is looked for.
pub(super) fn find(
    file: &Arc<dyn ReadAt>,
    problems: &mut Problems,
) -> Result<FoundRecords, FormatError> {
    let file = &**file;
    let size = known_size(file, AVML)?;
    let mut magic = [0; 4];
    let is_lime = matches!(read_up_to(file, 0, &mut magic), Ok(4)) && magic == LIME_MAGIC;
    let mut finding = Finding {
        format: if is_lime { LIME } else { AVML },
        file,
        reach: Reach { size, is_stream: size.is_none() },
        problems,
        records: Vec::new(),
        parts: FirstWins::new(),
        highest: None,
        tries: MAX_TRIES,
    };
    let mut next = Some(0);
    while let Some(offset) = next {
        next = finding.record(offset)?;
    }
    let Finding { records, parts, .. } = finding;
    Ok(FoundRecords { records, parts: parts.into_parts() })
}

struct Finding<'a> {
    /// The name of the format, which is that of the first record.
    format: &'static str,
    file: &'a dyn ReadAt,
    reach: Reach,
    problems: &'a mut Problems,
    records: Vec<Record>,
    parts: FirstWins<usize>,
    /// The memory with the highest addresses so far.
    highest: Option<Extent>,
    /// The number of streams that may still be walked through to see if they are what they look like.
    tries: u32,
}

impl Finding<'_> {
    fn at(&self, offset: u64, field: &'static str) -> Field {
        Field { format: self.format, field, offset }
    }

    /// Takes the record at `offset`; where the next one is.
    fn record(&mut self, offset: u64) -> Result<Option<u64>, FormatError> {
        if self.records.len() == MAX_RECORDS {
            let problem = self.at(offset, "magic").bad(format!("more than {MAX_RECORDS} records"));
            return self.problems.found(problem).map(|()| None);
        }
        let (extent, is_compressed) = match read_header(self.file, self.format, offset) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(problem) => {
                self.found(problem)?;
                let next = self.search(offset + 1);
                if let Some(next) = next {
                    self.problems.found(lost(self.format, offset, next))?;
                }
                return Ok(next);
            }
        };
        if let Some(before) = self.highest.filter(|before| before.end() > extent.start()) {
            let problem = format!("{extent} does not come after {before}");
            self.problems.found(self.at(offset + 8, "s_addr").bad(problem))?;
        }
        let body = offset + HEADER_LEN;
        let (record, next) = match is_compressed {
            true => self.compressed(body, extent)?,
            false => self.plain(body, extent)?,
        };
        let (held, rest) = extent.split_at(record.held);
        if let Some(held) = held {
            let is_higher = |before: &Extent| before.end() < held.end();
            if self.highest.as_ref().is_none_or(is_higher) {
                self.highest = Some(held);
            }
        }
        // An end that no machine has, or that another record stands before, is no place of memory.
        let is_likely = record.lost != Cause::NotInImage && extent.end() <= MAX_ADDRESS;
        if let Some(extent) = if is_likely || rest.is_none() { Some(extent) } else { held } {
            self.parts.insert_held(extent, record.held, self.records.len());
        }
        self.records.push(record);
        Ok(next)
    }

    /// Keeps a problem, or ends with it. A stream is then unpacked to its end, once, so that its size is known.
    fn found(&mut self, problem: FormatError) -> Result<(), FormatError> {
        self.problems.found(problem)?;
        self.reach.size.get_or_insert_with(|| whole_front(self.file));
        Ok(())
    }

    fn search(&mut self, offset: u64) -> Option<u64> {
        let above = self.highest.map_or(0, Extent::end);
        next_record(self.file, offset, self.reach, above, &mut self.tries)
    }

    /// A LiME record, and where the next one stands, if there may be one.
    fn plain(&mut self, offset: u64, extent: Extent) -> Result<(Record, Option<u64>), FormatError> {
        let lost = Cause::Truncated;
        let record = Record { extent, offset, stream: None, held: extent.len(), lost };
        let end = offset.checked_add(extent.len());
        if let Some(end) = end.filter(|&end| reaches(self.file, self.reach.size, end)) {
            return Ok((record, Some(end)));
        }
        self.found(truncated(self.file, self.reach.size, extent, offset))?;
        // It may not be the file that is too short: where a record stands further on, the end of this one is wrong.
        let is_likely = extent.end() <= MAX_ADDRESS && extent.end().is_multiple_of(PAGE);
        let above = if is_likely { extent.end() } else { extent.start() + 1 };
        let next = next_record(self.file, offset, self.reach, above, &mut self.tries);
        let end = next.or(self.reach.size).unwrap_or(offset);
        let held = end.saturating_sub(offset).min(extent.len());
        let lost = match next {
            Some(next) => {
                let problem = format!("a sound record stands at {next:#x} already");
                self.problems.found(self.at(offset - HEADER_LEN + 16, "e_addr").bad(problem))?;
                Cause::NotInImage
            }
            None => Cause::Truncated,
        };
        Ok((Record { held, lost, ..record }, next))
    }

    /// A record with a stream, which must be whole, and its trailer; and where the next one stands, if there may be one.
    fn compressed(
        &mut self,
        offset: u64,
        extent: Extent,
    ) -> Result<(Record, Option<u64>), FormatError> {
        let Chunks { end, held, problem, is_cut, .. } =
            chunks(self.file, offset, extent, self.reach.size);
        let record = |lost| Record { extent, offset, stream: Some(end - offset), held, lost };
        let checked = match problem {
            Some(problem) => Err(problem),
            None => check_trailer(self.file, at(end, "length"), end - offset),
        };
        let Err(problem) = checked else {
            return Ok((record(Cause::Damaged), Some(end + TRAILER_LEN)));
        };
        self.found(problem)?;
        let next = self.search(end);
        if let Some(next) = next.filter(|_| held < extent.len()) {
            self.problems.found(lost(self.format, end, next))?;
        }
        let is_cut = is_cut && next.is_none();
        Ok((record(if is_cut { Cause::Truncated } else { Cause::Damaged }), next))
    }
}

/// That what stands between two places is lost.
fn lost(format: &'static str, from: u64, to: u64) -> FormatError {
    let problem = format!(
        "the next sound record stands at {to:#x}: the {} bytes before it are lost",
        to - from
    );
    Field { format, field: "header", offset: from }.bad(problem)
}

/// The error of a file that ends within a LiME record, whose memory stands at `offset`.
fn truncated(file: &dyn ReadAt, size: Option<u64>, extent: Extent, offset: u64) -> FormatError {
    match size {
        Some(end) => {
            let held = end.saturating_sub(offset);
            let (addr, missing) = (extent.start() + held, extent.len() - held);
            let (format, field) = (LIME, "record");
            FormatError::Truncated { format, offset: end, field, missing, addr }
        }
        None => {
            let last = offset.saturating_add(extent.len() - 1);
            let error = read_up_to(file, last, &mut [0]).err();
            let why = error.map_or("the file ends before it".into(), |error| error.to_string());
            at(last, "record").bad(format!("the last byte of {extent} is not there: {why}"))
        }
    }
}
