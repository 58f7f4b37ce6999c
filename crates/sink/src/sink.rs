//! The trait of everything an image is written to.

use std::ffi::OsStr;

use memdump_image::Output;

use crate::error::SinkError;
use crate::receipt::{Leftover, Receipt};

/// An image on its way.
///
/// Bytes are written as to any [`Output`], then the image is committed or aborted. A sink that is dropped is aborted: it is never
/// success.
pub trait Sink: Output {
    /// Completes the image after its last byte.
    ///
    /// # Errors
    /// If the last bytes cannot be written, or the image cannot be given its name. The error has the
    /// [leftover](SinkError::leftover).
    fn commit(self: Box<Self>) -> Result<Receipt, SinkError>;

    /// Ends without success, and returns what is left of the image.
    fn abort(self: Box<Self>) -> Leftover;

    /// The place, as errors name it.
    fn place(&self) -> &OsStr {
        OsStr::new("the output")
    }
}

impl Sink for Box<dyn Sink> {
    fn commit(self: Box<Self>) -> Result<Receipt, SinkError> {
        (*self).commit()
    }

    fn abort(self: Box<Self>) -> Leftover {
        (*self).abort()
    }

    fn place(&self) -> &OsStr {
        (**self).place()
    }
}

/// The options of opening a destination.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// True if an existing file may be replaced.
    pub overwrite: bool,
}

impl OpenOptions {
    /// The defaults: nothing is replaced.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same options, with leave to replace an existing file or without.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }
}
