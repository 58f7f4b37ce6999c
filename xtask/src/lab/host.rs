//! Where the laboratory keeps things on this machine while it runs. Not what it keeps for good: that is the cache of `setup`.

use std::env;
use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

/// Begins the name of every folder; the number of the process that it belongs to follows.
const PREFIX: &str = "memdump-lab-";

/// A folder in memory, for what is memory: the guest's RAM, and sockets.
pub(super) fn memory_folder() -> Result<TempDir> {
    folder_in(Path::new("/dev/shm"))
}

/// A folder for images, where `TMPDIR` says: they are as large as the guest's memory.
pub(super) fn image_folder() -> Result<TempDir> {
    folder_in(&env::temp_dir())
}

fn folder_in(parent: &Path) -> Result<TempDir> {
    remove_orphans(parent);
    Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir_in(parent)
        .with_context(|| format!("create a folder in {}", parent.display()))
}

/// Removes folders whose process was killed before it could: gigabytes of memory that nobody gives back otherwise.
fn remove_orphans(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Somebody else may be at it too.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
