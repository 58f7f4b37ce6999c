//! Errors: of naming a destination, and of writing to one.

use std::ffi::OsStr;
use std::{fmt, io};

use thiserror::Error;

use crate::receipt::Leftover;
use crate::shown::Shown;

/// The reason why a name is not a destination.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestinationError {
    /// The name has no characters.
    #[error("the name is empty")]
    Empty,
    /// The name begins with a scheme that no kind of sink has. The rest is not kept: it may hold a secret.
    #[error(
        "unknown scheme {scheme}:// (known are: {known}); a path that begins like that is written \
         ./{scheme}://…"
    )]
    UnknownScheme {
        /// The scheme, without `://`.
        scheme: String,
        /// The kinds and schemes there are, for people.
        known: String,
    },
}

/// The class of a [`SinkError`], so that a program can add what its user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkErrorKind {
    /// A file of that name exists, and may not be replaced.
    Exists,
    /// The partial file of an earlier run exists, and may not be replaced.
    PartialExists,
    /// The name is a symbolic link, which is never followed.
    SymbolicLink,
    /// The name is a directory.
    Directory,
    /// The block device is mounted or otherwise in use.
    DeviceBusy,
    /// The image is complete, but could not be given its name.
    NotRenamed,
    /// Something else: the cause says what.
    Other,
}

/// An error of a sink: the operation that failed, the place and the cause.
#[derive(Debug)]
pub struct SinkError {
    kind: SinkErrorKind,
    operation: &'static str,
    /// The place as it is shown, so that no secret is kept.
    place: String,
    cause: io::Error,
    note: Option<String>,
    leftover: Option<Leftover>,
}

impl SinkError {
    /// An error of kind [`Other`](SinkErrorKind::Other). It reads "cannot OPERATION PLACE: CAUSE".
    pub fn new(
        operation: &'static str,
        place: impl AsRef<OsStr>,
        cause: impl Into<io::Error>,
    ) -> Self {
        Self {
            kind: SinkErrorKind::Other,
            operation,
            place: Shown(place.as_ref()).to_string(),
            cause: cause.into(),
            note: None,
            leftover: None,
        }
    }

    /// The same error with a kind.
    #[must_use]
    pub fn with_kind(mut self, kind: SinkErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error with a fact that explains it. It follows the cause after a semicolon.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same error with what it left of the image.
    #[must_use]
    pub fn with_leftover(mut self, leftover: Leftover) -> Self {
        self.leftover = Some(leftover);
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> SinkErrorKind {
        self.kind
    }

    /// The error of the operating system or the receiver.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// The remains of the image, if the error ended a sink that had been opened.
    pub fn leftover(&self) -> Option<&Leftover> {
        self.leftover.as_ref()
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, place, cause, .. } = self;
        write!(f, "cannot {operation} {place}: {cause}")?;
        self.note.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
