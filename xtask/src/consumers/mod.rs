//! The programs that people open images with, really run. Each function returns what its program found, so that it can be held
//! against what is known of the guest; it judges nothing. Nothing here is shared with the command under test.

pub(crate) mod avml;
pub(crate) mod crash;
pub(crate) mod drgn;
pub(crate) mod makedumpfile;
pub(crate) mod volatility;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::setup;

/// A task as a consumer found it in an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Task {
    pub(crate) pid: u32,
    /// Its name: at most 15 bytes.
    pub(crate) comm: String,
}

/// The kernel of `release` with its debug information, from Debian's `-dbg` package: 300 MB to fetch, up to 600 MB kept.
pub(crate) fn vmlinux(release: &str) -> Result<PathBuf> {
    setup::deb_file(
        &format!("linux-image-{release}-dbg"),
        &format!("usr/lib/debug/boot/vmlinux-{release}"),
    )
    .with_context(|| format!("get the debug information of Linux {release}"))
}
