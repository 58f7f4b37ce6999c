//! A block device: written from its first byte.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use memdump_image::Output;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{SinkError, SinkErrorKind};
use crate::kinds::direct::DirectWriter;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

/// O_EXCL without O_CREAT refuses a device that is mounted or otherwise in use.
pub(super) fn open(path: PathBuf) -> Result<Box<dyn Sink>, SinkError> {
    let writer = OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::EXCL | OFlags::NOFOLLOW).bits().cast_signed())
        .open(&path)
        .and_then(|file| DirectWriter::new(file, 0, false));
    match writer {
        Ok(writer) => {
            let path = path.into_os_string();
            Ok(Box::new(BlockDevice { writer, path, has_ended: false }))
        }
        Err(error) => {
            let is_busy = Errno::from_io_error(&error) == Some(Errno::BUSY);
            let failed = SinkError::new("write to", path, error);
            Err(match is_busy {
                true => failed
                    .with_kind(SinkErrorKind::DeviceBusy)
                    .with_note("the device is mounted or in use"),
                false => failed,
            })
        }
    }
}

struct BlockDevice {
    writer: DirectWriter,
    path: OsString,
    has_ended: bool,
}

impl BlockDevice {
    /// Writes what is staged.
    fn end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.writer.finish().map(drop)
    }
}

impl Write for BlockDevice {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Output for BlockDevice {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.writer.zeros(len)
    }

    fn is_positional(&self) -> bool {
        true
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_over(offset, bytes)
    }
}

impl Sink for BlockDevice {
    fn commit(mut self: Box<Self>) -> Result<Receipt, SinkError> {
        match self.end() {
            Ok(()) => Ok(Receipt::of_size(self.writer.size())),
            Err(error) => {
                let failed = SinkError::new("write", &self.path, error);
                Err(failed.with_leftover(Leftover::Partial(self.path.clone())))
            }
        }
    }

    /// The drop does it.
    fn abort(self: Box<Self>) -> Leftover {
        Leftover::Partial(self.path.clone())
    }

    fn place(&self) -> &OsStr {
        &self.path
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = self.end();
        }
    }
}
