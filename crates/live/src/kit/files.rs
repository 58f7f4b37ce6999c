//! Files of `/proc` and `/sys`, read within bounds.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The most bytes of a file that is not a symbol table. BTF of a kernel has some 10 MiB, everything else less.
pub(super) const MAX_LEN: usize = 64 << 20;
/// The most entries of a directory. No kernel has as many modules.
const MAX_ENTRIES: usize = 1 << 14;

/// The names in a directory, sorted; none where it cannot be read.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.take(MAX_ENTRIES).filter_map(Result::ok);
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// A whole file of at most `max` bytes. Its size is not asked for: in `/proc` it is 0.
pub(super) fn read(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    // A FIFO in its place shall not hang us.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file =
        OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is no regular file".into());
    }
    let mut content = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    match content.len() {
        0 => Err("it is empty".into()),
        len if len > max => Err(format!("it has more than {max} bytes")),
        _ => Ok(content),
    }
}
