//! A path: a regular file that is written beside its name and renamed at the end, a block device, or
//! a character device or FIFO.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use memdump_image::Output;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::direct::DirectWriter;
use crate::{Leftover, Request, Sink, SinkError, SinkKind};

pub(crate) const KIND: SinkKind = SinkKind {
    name: "file",
    summary: "a path: a new file, a block device, a FIFO, a port",
    done: "a file is written as PATH.partial with mode 0600; then it gets mode 0400 and its name",
    takes: |_| true,
    room,
    open,
};

/// What is not yet whole is called so.
const SUFFIX: &str = ".partial";
/// Images are secrets while they are written …
const MODE_WRITING: u32 = 0o600;
/// … and evidence afterwards: crash opens an image for writing where it may.
const MODE_DONE: u32 = 0o400;

fn room(target: &OsStr) -> Option<u64> {
    let path = Path::new(target);
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_block_device() => {
            File::open(path).ok()?.seek(SeekFrom::End(0)).ok()
        }
        Ok(metadata) if !metadata.is_file() => None,
        _ => free_space(&rustix::fs::statvfs(parent(path)).ok()?),
    }
}

/// Bytes that may still be written by this user.
pub(crate) fn free_space(file_system: &rustix::fs::StatVfs) -> Option<u64> {
    file_system.f_bavail.checked_mul(file_system.f_frsize)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open(request: &Request) -> Result<Box<dyn Sink>, SinkError> {
    let path = PathBuf::from(&request.target);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.file_type().is_symlink() => {
            let link = SinkError::new("write to", &path, Errno::LOOP);
            Err(link
                .advice("it is a symbolic link, which is never followed: name what it points to"))
        }
        Ok(metadata) if metadata.file_type().is_block_device() => open_block_device(path),
        Ok(metadata) if metadata.file_type().is_char_device() || metadata.file_type().is_fifo() => {
            open_stream(path)
        }
        Ok(metadata) if metadata.is_dir() => {
            let folder = SinkError::new("write to", &path, Errno::ISDIR);
            Err(folder.advice("name a file in it"))
        }
        Ok(_) if !request.overwrite => {
            let exists = SinkError::new("write to", &path, Errno::EXIST);
            Err(exists.advice("choose another name, or replace it with --overwrite"))
        }
        Ok(_) => open_regular(path, true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            open_regular(path, request.overwrite)
        }
        Err(error) => Err(SinkError::new("write to", &path, error)),
    }
}

fn open_regular(path: PathBuf, overwrite: bool) -> Result<Box<dyn Sink>, SinkError> {
    let mut partial = path.clone().into_os_string();
    partial.push(SUFFIX);
    let partial = PathBuf::from(partial);
    if overwrite {
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SinkError::new("replace", &partial, error));
            }
            _ => {}
        }
    }
    let create = || -> io::Result<DirectWriter> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE_WRITING)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&partial)?;
        DirectWriter::new(file, 0, true)
    };
    let writer = create().map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failed = SinkError::new("create", &partial, error);
        match exists {
            true => failed.advice("it is left from an earlier run: remove it, or use --overwrite"),
            false => failed,
        }
    })?;
    Ok(Box::new(RegularFile { writer, path, partial, overwrite, is_empty: true }))
}

struct RegularFile {
    writer: DirectWriter,
    path: PathBuf,
    partial: PathBuf,
    overwrite: bool,
    is_empty: bool,
}

/// Gives the image its name.
fn rename(partial: &Path, path: &Path, overwrite: bool) -> io::Result<()> {
    if !overwrite {
        match renameat_with(CWD, partial, CWD, path, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it.
            Err(Errno::INVAL) if !path.exists() => {}
            result => return Ok(result?),
        }
    }
    fs::rename(partial, path)
}

impl Write for RegularFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_empty = false;
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Output for RegularFile {
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

impl Sink for RegularFile {
    fn commit(self: Box<Self>) -> Result<(), SinkError> {
        let Self { writer, path, partial, overwrite, .. } = *self;
        let (file, _) =
            writer.finish().map_err(|error| SinkError::new("write", &partial, error))?;
        file.set_permissions(fs::Permissions::from_mode(MODE_DONE))
            .map_err(|error| SinkError::new("set the mode of", &partial, error))?;
        rename(&partial, &path, overwrite).map_err(|error| {
            let kept = format!("the image is whole, in {}", partial.display());
            SinkError::new("rename the image to", &path, error).advice(kept)
        })?;
        // The name is part of the image; a folder that cannot be synced still holds it.
        let _ = File::open(parent(&path)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn abort(self: Box<Self>) -> Leftover {
        let _ = self.writer.finish();
        if self.is_empty {
            let _ = fs::remove_file(&self.partial);
            return Leftover::Nothing;
        }
        Leftover::Partial(self.partial.into_os_string())
    }
}

/// O_EXCL without O_CREAT refuses a device that is mounted or otherwise in use.
fn open_block_device(path: PathBuf) -> Result<Box<dyn Sink>, SinkError> {
    let writer = OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::EXCL | OFlags::NOFOLLOW).bits().cast_signed())
        .open(&path)
        .and_then(|file| DirectWriter::new(file, 0, false));
    match writer {
        Ok(writer) => Ok(Box::new(BlockDevice { writer, path: path.into_os_string() })),
        Err(error) => {
            let busy = Errno::from_io_error(&error) == Some(Errno::BUSY);
            let failed = SinkError::new("write to", path, error);
            Err(if busy { failed.advice("the device is mounted or in use") } else { failed })
        }
    }
}

struct BlockDevice {
    writer: DirectWriter,
    path: OsString,
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
    fn commit(self: Box<Self>) -> Result<(), SinkError> {
        let Self { writer, path } = *self;
        writer.finish().map(drop).map_err(|error| SinkError::new("write", path, error))
    }

    fn abort(self: Box<Self>) -> Leftover {
        let _ = self.writer.finish();
        Leftover::Partial(self.path)
    }
}

fn open_stream(path: PathBuf) -> Result<Box<dyn Sink>, SinkError> {
    let file = OpenOptions::new().write(true).open(&path);
    let file = file.map_err(|error| SinkError::new("write to", &path, error))?;
    Ok(Box::new(Stream(file)))
}

/// What has no positions: a pipe, a port, a terminal line.
pub(crate) struct Stream(pub(crate) File);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Stream {}

impl Sink for Stream {
    fn commit(self: Box<Self>) -> Result<(), SinkError> {
        Ok(())
    }

    fn abort(self: Box<Self>) -> Leftover {
        Leftover::Sent
    }
}
