//! Outputs without positions: a pipe, a port, a terminal line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};

use memdump_image::Output;

use crate::error::SinkError;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

/// A file that is written front to back. Nothing is held back, so there is nothing to do at the end.
pub(super) struct Stream {
    file: File,
    place: OsString,
    size: u64,
}

impl Stream {
    /// Writes to `file`, which errors call `place`.
    pub(super) fn new(file: File, place: OsString) -> Self {
        Self { file, place, size: 0 }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Stream {}

impl Sink for Stream {
    fn commit(self: Box<Self>) -> Result<Receipt, SinkError> {
        Ok(Receipt::of_size(self.size))
    }

    fn abort(self: Box<Self>) -> Leftover {
        Leftover::Sent
    }

    fn place(&self) -> &OsStr {
        &self.place
    }
}
