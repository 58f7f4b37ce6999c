//! Compression of whole images on their way out. Not formats that compress parts of themselves.

use std::io::{self, Write};

use super::Output;
use crate::{CopyError, Summary};

/// Near the speed of a disk on one core; higher levels gain little on memory.
const LEVEL: i32 = 1;

/// Runs `copy` with an output that compresses into `output`, one zstd frame with a checksum.
pub fn zstd(
    output: &mut dyn Output,
    copy: impl FnOnce(&mut dyn Output) -> (Summary, Result<(), CopyError>),
) -> (Summary, Result<(), CopyError>) {
    let encoder = zstd::Encoder::new(output, LEVEL).and_then(|mut encoder| {
        encoder.include_checksum(true)?;
        Ok(encoder)
    });
    let mut encoder = match encoder {
        Ok(encoder) => Zstd(encoder),
        Err(error) => return (Summary::default(), Err(CopyError::Write(error))),
    };
    let (summary, result) = copy(&mut encoder);
    let result = result.and_then(|()| encoder.0.finish().map(drop).map_err(CopyError::Write));
    (summary, result)
}

struct Zstd<'a>(zstd::Encoder<'static, &'a mut dyn Output>);

impl Write for Zstd<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Zstd<'_> {}
