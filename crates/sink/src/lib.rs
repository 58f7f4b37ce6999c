//! Where a memory image goes.
//!
//! A [`Sink`] takes bytes front to back and is then committed or aborted; dropping one is never
//! success. The kinds of sink are the rows of [`SINKS`]. This crate knows no image format and no
//! source of memory.

#![forbid(unsafe_code)]

mod direct;
mod file;
mod hashing;
mod stdout;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;

use memdump_image::Output;

pub use hashing::{Hashed, Hashing, sha256, sha256_of_file};

/// Every kind of sink. The first row whose `takes` says yes is the one.
pub static SINKS: &[SinkKind] = &[stdout::KIND, file::KIND];

/// A row of [`SINKS`].
#[derive(Debug)]
pub struct SinkKind {
    /// Its name in tables.
    pub name: &'static str,
    /// What a target of it looks like.
    pub summary: &'static str,
    /// What happens when the image is whole.
    pub done: &'static str,
    /// Whether a target is of this kind.
    pub takes: fn(&OsStr) -> bool,
    /// Bytes that the target has room for, where that can be known.
    pub room: fn(&OsStr) -> Option<u64>,
    /// Begins an image there. Nothing that exists is changed before the first write.
    pub open: fn(&Request) -> Result<Box<dyn Sink>, SinkError>,
}

/// Where to write.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the user named: a path, or `-`.
    pub target: OsString,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

impl Request {
    /// The row that is responsible for the target.
    pub fn kind(&self) -> &'static SinkKind {
        SINKS.iter().find(|kind| (kind.takes)(&self.target)).unwrap_or(&file::KIND)
    }
}

/// An image on its way.
pub trait Sink: Output {
    /// Makes the image what it was asked to be, after the last byte.
    fn commit(self: Box<Self>) -> Result<(), SinkError>;

    /// Ends without success; says what is left of the image.
    fn abort(self: Box<Self>) -> Leftover;
}

/// What a sink that was aborted leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Nothing.
    Nothing,
    /// The part that was written, under a name that says so.
    Partial(OsString),
    /// The receiver has what was written and cannot be told otherwise.
    Sent,
}

/// Why a sink failed; says what to do where that can be known.
#[derive(Debug)]
pub struct SinkError {
    operation: &'static str,
    path: OsString,
    cause: io::Error,
    advice: Option<String>,
}

impl SinkError {
    /// What failed, on which path, and why.
    pub fn new(
        operation: &'static str,
        path: impl AsRef<OsStr>,
        cause: impl Into<io::Error>,
    ) -> Self {
        Self { operation, path: path.as_ref().to_owned(), cause: cause.into(), advice: None }
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, path, cause, .. } = self;
        write!(f, "cannot {operation} {}: {cause}", Path::new(path).display())?;
        self.advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
