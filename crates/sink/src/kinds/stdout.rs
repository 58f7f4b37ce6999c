//! Standard output: a pipe, or a file or device that the shell opened.
//!
//! The file that the shell opened is opened once more, so that direct I/O can be switched on without the
//! shell and its other commands having it too. The shell's own position is moved to the end of the
//! image afterwards.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use memdump_image::Output;
use rustix::fs::{OFlags, fcntl_getfl, fstatvfs};

use super::direct::DirectWriter;
use super::kind::SinkKind;
use super::room;
use super::stream::Stream;
use crate::error::SinkError;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

pub(super) const KIND: SinkKind = SinkKind {
    name: "stdout",
    summary: "nothing, or `-`: a pipe, or a file or device that the shell opened",
    done: "the shell's position in its file is moved to the end of the image",
    schemes: &[],
    is_stdout: true,
    takes: |name| name == "-" || name == "/dev/stdout",
    shown: |_| NAME.to_owned(),
    path: |_| None,
    is_terminal: |_| io::stdout().is_terminal(),
    is_regular_file: |_| false,
    room: |_| room_left(),
    open: |_, _| open().map_err(failed),
};

/// The name for people.
const NAME: &str = "standard output";
/// The largest pipe that an ordinary user may make: fewer wake-ups of the receiver.
const PIPE_LEN: usize = 1 << 20;

fn failed(error: io::Error) -> SinkError {
    SinkError::new("write to", NAME, error)
}

fn own_descriptor() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn room_left() -> Option<u64> {
    let file = own_descriptor().ok()?;
    let kind = file.metadata().ok()?.file_type();
    if kind.is_block_device() {
        return room::of_device(&file);
    }
    if kind.is_file() { room::of_file_system(&fstatvfs(&file).ok()?) } else { None }
}

fn open() -> io::Result<Box<dyn Sink>> {
    let mut file = own_descriptor()?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_fifo() {
        // Only a matter of speed.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_LEN);
    }
    if !kind.is_file() && !kind.is_block_device() {
        return Ok(Box::new(Stream::new(file, NAME.into())));
    }
    let appends = fcntl_getfl(&file)?.contains(OFlags::APPEND);
    let offset = if appends { metadata.len() } else { file.stream_position()? };
    let Ok(again) = OpenOptions::new().write(true).open("/proc/self/fd/1") else {
        tracing::debug!("standard output cannot be opened again: written through the page cache");
        return Ok(Box::new(Stream::new(file, NAME.into())));
    };
    let sparse = kind.is_file() && metadata.len() <= offset;
    let writer = DirectWriter::new(again, offset, sparse)?;
    Ok(Box::new(Redirected { writer, shells: file, has_ended: false }))
}

/// A file or device that the shell opened.
struct Redirected {
    writer: DirectWriter,
    shells: File,
    has_ended: bool,
}

impl Redirected {
    /// Writes what is staged, and moves the shell's position.
    fn end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        let end = self.writer.finish()?;
        self.shells.seek(SeekFrom::Start(end)).map(drop)
    }
}

impl Write for Redirected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Output for Redirected {
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

impl Sink for Redirected {
    fn commit(mut self: Box<Self>) -> Result<Receipt, SinkError> {
        match self.end() {
            Ok(()) => Ok(Receipt::of_size(self.writer.size())),
            Err(error) => Err(failed(error).with_leftover(Leftover::Sent)),
        }
    }

    /// The drop does it.
    fn abort(self: Box<Self>) -> Leftover {
        Leftover::Sent
    }

    fn place(&self) -> &OsStr {
        OsStr::new(NAME)
    }
}

impl Drop for Redirected {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = self.end();
        }
    }
}
