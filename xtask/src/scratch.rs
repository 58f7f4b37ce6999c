//! Directories on this machine for as long as a task runs. What is kept for good is in the cache of `setup`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

use crate::lab::payload;

/// Begins the name of every directory; the number of the process that it belongs to follows.
const PREFIX: &str = "memdump-lab-";

/// A directory in memory, for what is memory: a guest's RAM, and sockets.
pub(crate) fn in_memory() -> Result<TempDir> {
    folder_in(Path::new("/dev/shm"))
}

/// A directory on a disk, for what `/tmp` has no room for or cannot do where it is a tmpfs, as on Debian 13: images as large as a
/// guest's memory, and files to swap to. It is below cargo's target directory, or below `$MEMDUMP_SCRATCH`.
pub(crate) fn on_disk() -> Result<TempDir> {
    let parent = match env::var_os("MEMDUMP_SCRATCH") {
        Some(folder) => PathBuf::from(folder),
        None => payload::target_folder().join("scratch"),
    };
    fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
    folder_in(&parent)
}

fn folder_in(parent: &Path) -> Result<TempDir> {
    remove_orphans(parent);
    Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir_in(parent)
        .with_context(|| format!("create a directory in {}", parent.display()))
}

/// Removes directories whose process was killed before it could: gigabytes of memory that nobody gives back otherwise.
fn remove_orphans(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Another task may be at it too.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
