//! Problems of image files, and how they are handled: the same for every format.
//!
//! Every reader has one way through a file. What it finds wrong it hands to [`Problems`], and goes on if it may: strictly
//! it may not, so the first problem is the error; salvaging, it takes what is whole and the problems are kept in the image.

use std::io;

use crate::ReadAt;

/// The handling of a file that is damaged or ends too early.
///
/// A file that ends before the last byte that its headers name is refused when it is opened. In a stream that has to be unpacked
/// to know its length, the end is found by reading, as a [hole](crate::Cause::Truncated). Damage within memory is always a [hole](crate::Cause::Damaged) of its own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The first problem is an error.
    Strict,
    /// All that is whole is recovered. The rest are holes, and the image lists the problems.
    Salvage,
}

/// The reason that a file is not a valid image of its format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A field holds what it cannot hold.
    #[error("not a sound {format} image: {field} at offset {offset:#x}: {problem}")]
    Field {
        /// The format's name.
        format: &'static str,
        /// The offset in the file, in bytes.
        offset: u64,
        /// The field's name in the format's documentation.
        field: &'static str,
        /// The problem.
        problem: String,
    },
    /// The file ends before the last byte of the memory that it should hold.
    #[error(
        "truncated {format} image: the file ends at {offset:#x}, before the last byte of its {field}: {missing} bytes of \
         memory are missing (from address {addr:#x} on)"
    )]
    Truncated {
        /// The format's name.
        format: &'static str,
        /// The size of the file, in bytes.
        offset: u64,
        /// The thing that does not fit: a record, a segment.
        field: &'static str,
        /// Bytes of memory that are not in it.
        missing: u64,
        /// The lowest address of those.
        addr: u64,
    },
    /// The file could not be read.
    #[error("cannot read the {format} image: {field} at offset {offset:#x}: {source}")]
    Read {
        /// The format's name.
        format: &'static str,
        /// The offset in the file, in bytes.
        offset: u64,
        /// The field or structure there.
        field: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// The problems of an image that could be opened all the same.
#[derive(Debug)]
pub struct Problems {
    mode: OpenMode,
    listed: Vec<FormatError>,
    unlisted: u64,
}

impl Problems {
    /// The most problems that are kept one by one. Further ones are still counted.
    pub const MAX_LISTED: usize = 256;

    pub(crate) fn new(mode: OpenMode) -> Self {
        Self { mode, listed: Vec::new(), unlisted: 0 }
    }

    /// Hands a problem over that can be gone round.
    ///
    /// # Errors
    /// With the problem itself, where it may not.
    pub(crate) fn found(&mut self, problem: FormatError) -> Result<(), FormatError> {
        match self.mode {
            OpenMode::Strict => return Err(problem),
            OpenMode::Salvage if self.listed.len() < Self::MAX_LISTED => self.listed.push(problem),
            OpenMode::Salvage => self.unlisted += 1,
        }
        Ok(())
    }

    /// The value, or none and the error is a problem.
    pub(crate) fn or_none<T>(
        &mut self,
        result: Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(problem) => self.found(problem).map(|()| None),
        }
    }

    /// The problems in the order of the file; at most [`Problems::MAX_LISTED`].
    pub fn listed(&self) -> &[FormatError] {
        &self.listed
    }

    /// The number of problems that are not in the list.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

/// A field of a file: it makes the error when it is missing or not valid.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) format: &'static str,
    pub(crate) field: &'static str,
    pub(crate) offset: u64,
}

impl Field {
    /// The error where it holds what it cannot.
    pub(crate) fn bad(self, problem: impl Into<String>) -> FormatError {
        let Self { format, field, offset } = self;
        FormatError::Field { format, offset, field, problem: problem.into() }
    }

    /// The error where it cannot be read.
    pub(crate) fn failed(self, source: io::Error) -> FormatError {
        let Self { format, field, offset } = self;
        FormatError::Read { format, offset, field, source }
    }

    /// The error where the file ends `found` bytes behind its start, of `len`.
    pub(crate) fn cut(self, found: usize, len: usize) -> FormatError {
        self.bad(format!("the file ends before it is whole: {found} of {len} bytes are there"))
    }

    /// Fills `buf` with it.
    pub(crate) fn read(self, file: &dyn ReadAt, buf: &mut [u8]) -> Result<(), FormatError> {
        match read_up_to(file, self.offset, buf).map_err(|source| self.failed(source))? {
            found if found < buf.len() => Err(self.cut(found, buf.len())),
            _ => Ok(()),
        }
    }
}

/// Fills `buf` as far as the file goes, or is whole, and says how far.
///
/// # Errors
/// When nothing at all can be read, although the file does not end there.
pub(crate) fn read_up_to(file: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let Some(at) = offset.checked_add(done as u64) else { break };
        match file.read_at(at, &mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What a codec could still unpack is whole; what follows is not there.
            Err(error) if done > 0 && is_damage(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Returns true if an error says that the bytes are damaged or cut off, and not that they cannot be read.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Returns true if the file has all bytes before `end`. This costs nothing if its size is known.
pub(crate) fn reaches(file: &dyn ReadAt, known: Option<u64>, end: u64) -> bool {
    match (known, end.checked_sub(1)) {
        (_, None) => true,
        (Some(size), Some(_)) => end <= size,
        (None, Some(last)) => matches!(read_up_to(file, last, &mut [0]), Ok(1)),
    }
}

/// The number of bytes that can be read of a file whose size cannot be had: a stream that is damaged.
pub(crate) fn whole_front(file: &dyn ReadAt) -> u64 {
    let mut piece = vec![0; 1 << 20];
    let mut size = 0;
    while let Ok(read @ 1..) = read_up_to(file, size, &mut piece) {
        size += read as u64;
    }
    size
}

/// The size of a file where it costs nothing to know.
pub(crate) fn known_size(
    file: &dyn ReadAt,
    format: &'static str,
) -> Result<Option<u64>, FormatError> {
    let size = Field { format, field: "size", offset: 0 };
    file.known_size().map_err(|source| size.failed(source))
}
