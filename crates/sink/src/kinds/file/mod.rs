//! A path: a regular file, a block device, or a character device or FIFO.

mod device;
mod regular;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::kind::SinkKind;
use super::room;
use super::stream::Stream;
use crate::error::{SinkError, SinkErrorKind};
use crate::shown::Shown;
use crate::sink::{OpenOptions, Sink};

pub(super) const KIND: SinkKind = SinkKind {
    name: "file",
    summary: "a path: a new file, a block device, a FIFO, a port",
    done: "a file is written as PATH.partial with mode 0600; then it gets mode 0400 and its name",
    schemes: &[],
    is_stdout: false,
    takes: |_| true,
    shown: |name| Shown(name).to_string(),
    path: |name| Some(Path::new(name)),
    // A serial line is a terminal too, and a place for an image.
    is_terminal: |_| false,
    is_regular_file: |name| fs::metadata(name).map_or(true, |metadata| metadata.is_file()),
    room: room_left,
    open,
};

fn room_left(name: &OsStr) -> Option<u64> {
    let path = Path::new(name);
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_block_device() => {
            room::of_device(&File::open(path).ok()?)
        }
        Ok(metadata) if !metadata.is_file() => None,
        _ => room::of_file_system(&rustix::fs::statvfs(regular::parent(path)).ok()?),
    }
}

fn open(name: &OsStr, options: &OpenOptions) -> Result<Box<dyn Sink>, SinkError> {
    let path = PathBuf::from(name);
    let failed = |cause: io::Error| SinkError::new("write to", &path, cause);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.file_type().is_symlink() => Err(failed(Errno::LOOP.into())
            .with_kind(SinkErrorKind::SymbolicLink)
            .with_note("it is a symbolic link, which is never followed: name what it points to")),
        Ok(metadata) if metadata.file_type().is_block_device() => device::open(path),
        Ok(metadata) if metadata.file_type().is_char_device() || metadata.file_type().is_fifo() => {
            let file = fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
            Ok(Box::new(Stream::new(file, path.into_os_string())))
        }
        Ok(metadata) if metadata.is_dir() => {
            let directory = failed(Errno::ISDIR.into()).with_kind(SinkErrorKind::Directory);
            Err(directory.with_note("name a file in it"))
        }
        Ok(_) if !options.overwrite => {
            Err(failed(Errno::EXIST.into()).with_kind(SinkErrorKind::Exists))
        }
        Ok(_) => regular::open(path, true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            regular::open(path, options.overwrite)
        }
        Err(error) => Err(failed(error)),
    }
}
