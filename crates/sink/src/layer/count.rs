//! Counting of the bytes on their way to a sink.

use std::ffi::OsStr;
use std::io::{self, Write};

use memdump_image::Output;

use crate::error::SinkError;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

/// A sink whose bytes are counted. Gaps, and bytes that are written over, are not.
pub struct Count {
    sink: Box<dyn Sink>,
    written: u64,
}

impl Count {
    /// Counts what is written to `sink` from now on.
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, written: 0 }
    }

    /// The bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Output for Count {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.sink.zeros(len)
    }

    fn is_positional(&self) -> bool {
        self.sink.is_positional()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_at(offset, bytes)
    }
}

impl Sink for Count {
    fn commit(self: Box<Self>) -> Result<Receipt, SinkError> {
        let mut receipt = self.sink.commit()?;
        receipt.written.get_or_insert(self.written);
        Ok(receipt)
    }

    fn abort(self: Box<Self>) -> Leftover {
        self.sink.abort()
    }

    fn place(&self) -> &OsStr {
        self.sink.place()
    }
}
