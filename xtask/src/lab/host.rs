//! Where the laboratory keeps things on this machine while it runs. Not what it keeps for good: that is the cache of `setup`.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

const PREFIX: &str = "memdump-lab-";

/// A folder in memory, for what is memory: the guest's RAM, and sockets.
pub(super) fn memory_folder() -> Result<TempDir> {
    let shm = Path::new("/dev/shm");
    Builder::new().prefix(PREFIX).tempdir_in(shm).context("create a folder in /dev/shm")
}

/// A folder for images, where `TMPDIR` says: they are as large as the guest's memory.
pub(super) fn image_folder() -> Result<TempDir> {
    Builder::new().prefix(PREFIX).tempdir().context("create a folder for images")
}
