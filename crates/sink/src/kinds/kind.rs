//! The row that describes a kind of sink.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::SinkError;
use crate::sink::{OpenOptions, Sink};

/// The result of opening a name.
type Opened = Result<Box<dyn Sink>, SinkError>;

/// A kind of sink: a row of [`SINKS`](crate::SINKS).
///
/// Its row says what the kind can do. No code compares its name.
#[derive(Debug)]
#[non_exhaustive]
pub struct SinkKind {
    /// The name in tables.
    pub name: &'static str,
    /// The form of its names.
    pub summary: &'static str,
    /// The last step, when the image is complete.
    pub done: &'static str,
    /// The schemes of its names, without `://`, in lower case.
    pub schemes: &'static [&'static str],
    /// True if it is the standard output of this process.
    pub is_stdout: bool,
    /// Returns true if a name without a scheme is of this kind.
    pub takes: fn(&OsStr) -> bool,
    /// The name for people. It may be shown and logged, so it has no secret.
    pub shown: fn(&OsStr) -> String,
    /// The path, if it has one.
    pub path: fn(&OsStr) -> Option<&Path>,
    /// Returns true if what is written is shown on a terminal.
    pub is_terminal: fn(&OsStr) -> bool,
    /// Returns true if the image becomes, or is, a regular file with a name of its own.
    pub is_regular_file: fn(&OsStr) -> bool,
    /// The bytes that the place has room for, where that can be known.
    pub room: fn(&OsStr) -> Option<u64>,
    /// Begins an image. No existing file is changed before the commit, and no device before the first write.
    pub open: fn(&OsStr, &OpenOptions) -> Opened,
}
