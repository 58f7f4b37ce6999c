//! Standard output: a pipe, or a file or device that the shell opened.
//!
//! What the shell opened is opened once more, so that direct I/O can be switched on without the
//! shell and its other commands having it too. The shell's own position is moved to the end of the
//! image afterwards.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use memdump_image::Output;
use rustix::fs::{OFlags, fcntl_getfl};

use crate::direct::DirectWriter;
use crate::file::{Stream, free_space};
use crate::{Leftover, Request, Sink, SinkError, SinkKind};

pub(crate) const KIND: SinkKind = SinkKind {
    name: "stdout",
    summary: "nothing, or `-`: a pipe, or a file or device that the shell opened",
    done: "the shell's position in its file is moved to the end of the image",
    takes: |target| target == "-" || target == "/dev/stdout",
    room,
    open: |_: &Request| {
        open().map_err(|error| SinkError::new("write to", "standard output", error))
    },
};

/// As large as an ordinary user may make a pipe: fewer wake-ups of the receiver.
const PIPE_LEN: usize = 1 << 20;

fn own_descriptor() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn room(_: &OsStr) -> Option<u64> {
    let mut file = own_descriptor().ok()?;
    let kind = file.metadata().ok()?.file_type();
    if kind.is_block_device() {
        let position = file.stream_position().ok()?;
        let end = file.seek(SeekFrom::End(0)).ok()?;
        file.seek(SeekFrom::Start(position)).ok()?;
        return end.checked_sub(position);
    }
    if kind.is_file() { free_space(&rustix::fs::fstatvfs(&file).ok()?) } else { None }
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
        return Ok(Box::new(Stream(file)));
    }
    let appends = fcntl_getfl(&file)?.contains(OFlags::APPEND);
    let offset = if appends { metadata.len() } else { file.stream_position()? };
    let Ok(again) = OpenOptions::new().write(true).open("/proc/self/fd/1") else {
        tracing::debug!("standard output cannot be opened again: written through the page cache");
        return Ok(Box::new(Stream(file)));
    };
    let sparse = kind.is_file() && metadata.len() <= offset;
    let writer = DirectWriter::new(again, offset, sparse)?;
    Ok(Box::new(Redirected { writer, shells: file }))
}

struct Redirected {
    writer: DirectWriter,
    shells: File,
}

impl Redirected {
    fn finish(mut self) -> io::Result<()> {
        let (_, end) = self.writer.finish()?;
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
    fn commit(self: Box<Self>) -> Result<(), SinkError> {
        self.finish().map_err(|error| SinkError::new("write to", "standard output", error))
    }

    fn abort(self: Box<Self>) -> Leftover {
        let _ = self.finish();
        Leftover::Sent
    }
}
