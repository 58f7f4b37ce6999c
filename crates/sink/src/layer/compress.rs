//! Compression of the bytes on their way to a sink.

use std::ffi::OsStr;
use std::io::{self, Write};

use memdump_image::Output;
use memdump_image::codec::{Codec, Compressor};

use crate::error::SinkError;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

/// A sink whose bytes are compressed. It is not positional, and gaps become compressed zeros.
///
/// The commit writes the last blocks and the codec's trailer. What was not written by an abort or drop is lost.
pub struct Compress {
    compressor: Compressor<Box<dyn Sink>>,
}

impl Compress {
    /// Compresses what is written to `sink` from now on.
    pub fn new(sink: Box<dyn Sink>, codec: &'static Codec) -> Self {
        Self { compressor: codec.compressor(sink) }
    }
}

impl Write for Compress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.compressor.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressor.flush()
    }
}

impl Output for Compress {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.compressor.zeros(len)
    }
}

impl Sink for Compress {
    fn commit(mut self: Box<Self>) -> Result<Receipt, SinkError> {
        let finished = self.compressor.try_finish();
        let sink = self.compressor.into_inner();
        match finished {
            Ok(()) => sink.commit(),
            Err(error) => {
                let failed = SinkError::new("write to", sink.place(), error);
                Err(failed.with_leftover(sink.abort()))
            }
        }
    }

    fn abort(self: Box<Self>) -> Leftover {
        self.compressor.into_inner().abort()
    }

    fn place(&self) -> &OsStr {
        self.compressor.get_ref().place()
    }
}
