//! A regular file: written beside its name, and renamed when it is complete.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use memdump_image::Output;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::{SinkError, SinkErrorKind};
use crate::kinds::direct::DirectWriter;
use crate::receipt::{Leftover, Receipt};
use crate::sink::Sink;

/// The end of the name of a file that is not complete.
const SUFFIX: &str = ".partial";
/// Images are secrets while they are written …
const MODE_WRITING: u32 = 0o600;
/// … and evidence afterwards: crash opens an image for writing where it may.
const MODE_DONE: u32 = 0o400;

/// The directory that a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Begins the file `path` under its partial name.
pub(super) fn open(path: PathBuf, overwrite: bool) -> Result<Box<dyn Sink>, SinkError> {
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
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE_WRITING)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&partial);
    let writer = file.and_then(|file| DirectWriter::new(file, 0, true)).map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failed = SinkError::new("create", &partial, error);
        match exists {
            true => failed
                .with_kind(SinkErrorKind::PartialExists)
                .with_note("it is left from an earlier run"),
            false => failed,
        }
    })?;
    let (is_empty, has_ended) = (true, false);
    Ok(Box::new(RegularFile { writer, path, partial, overwrite, is_empty, has_ended }))
}

struct RegularFile {
    writer: DirectWriter,
    path: PathBuf,
    partial: PathBuf,
    overwrite: bool,
    /// True if nothing but gaps was written.
    is_empty: bool,
    has_ended: bool,
}

impl RegularFile {
    /// Completes the file and gives it its name.
    fn complete(&mut self) -> Result<Receipt, SinkError> {
        let Self { writer, path, partial, .. } = self;
        writer.finish().map_err(|error| SinkError::new("write", &partial, error))?;
        let file = writer.file();
        file.set_permissions(fs::Permissions::from_mode(MODE_DONE))
            .map_err(|error| SinkError::new("set the mode of", &partial, error))?;
        // The size as the file system has it.
        let size = file.metadata().map_or(writer.size(), |metadata| metadata.len());
        rename(partial, path, self.overwrite).map_err(|error| {
            let kept = format!("the image is complete, in {}", partial.display());
            SinkError::new("rename the image to", &path, error)
                .with_kind(SinkErrorKind::NotRenamed)
                .with_note(kept)
        })?;
        // The name is part of the image; a directory that cannot be synced still holds it.
        let _ = File::open(parent(path)).and_then(|directory| directory.sync_all());
        Ok(Receipt::of_size(size))
    }

    /// Ends without success. An empty file is removed; another keeps its partial name.
    fn give_up(&mut self) -> Leftover {
        self.has_ended = true;
        let _ = self.writer.finish();
        if self.is_empty {
            let _ = fs::remove_file(&self.partial);
            return Leftover::Nothing;
        }
        self.left()
    }

    fn left(&self) -> Leftover {
        Leftover::Partial(self.partial.clone().into_os_string())
    }
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
        self.is_empty = false;
        self.writer.write_over(offset, bytes)
    }
}

impl Sink for RegularFile {
    fn commit(mut self: Box<Self>) -> Result<Receipt, SinkError> {
        self.has_ended = true;
        let completed = self.complete();
        completed.map_err(|error| error.with_leftover(self.left()))
    }

    fn abort(mut self: Box<Self>) -> Leftover {
        self.give_up()
    }

    fn place(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        if !self.has_ended {
            self.give_up();
        }
    }
}
