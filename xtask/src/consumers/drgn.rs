//! drgn on ELF and kdump images.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Task;
use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(180);

/// The kernel and its tasks, as drgn finds them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Found {
    /// The output of `uname -r` when the image was taken.
    pub(crate) release: String,
    /// Every thread, in the order of their numbers.
    pub(crate) tasks: Vec<Task>,
    /// The functions on the stack of the task that the kernel crashed in, the innermost first; none where it did not crash.
    pub(crate) crashed: Vec<String>,
}

/// Opens an image with the kernel that it is of.
///
/// # Errors
/// If drgn does not open it, or cannot walk its tasks; with drgn's own words.
pub(crate) fn open(image: &Path, vmlinux: &Path) -> Result<Found> {
    run("drgn.py", image, vmlinux).with_context(|| format!("open {} with drgn", image.display()))
}

/// The pages that drgn reads of an image, compared with a padded image of the same memory.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pages {
    /// The same in both.
    pub(crate) equal: u64,
    /// Zeros in the padded image, and nothing in the other.
    pub(crate) absent: u64,
    /// The addresses of those that differ, or have content in the padded image alone.
    pub(crate) different: Vec<u64>,
}

/// Reads all of an image's physical memory.
///
/// # Errors
/// If drgn does not open the image; with drgn's own words.
pub(crate) fn compare(image: &Path, padded: &Path) -> Result<Pages> {
    run("drgn_pages.py", image, padded)
        .with_context(|| format!("read {} with drgn", image.display()))
}

/// Runs one of the scripts here on two files; returns the JSON that it prints.
fn run<T: DeserializeOwned>(script: &str, image: &Path, other: &Path) -> Result<T> {
    let mut drgn = Command::new(setup::venv()?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/consumers").join(script);
    let printed = command::run(drgn.arg("-I").arg(script).arg(image).arg(other), LIMIT)?;
    serde_json::from_str(&printed).context("read what drgn printed")
}
