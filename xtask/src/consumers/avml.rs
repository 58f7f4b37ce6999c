//! AVML: as a reader of our LiME images here, and as a peer of the command in the guest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(300);

/// AVML itself, static, without its uploads: `avml acquire FILE`, `avml convert`.
pub(crate) fn program() -> Result<PathBuf> {
    setup::cargo_tool("avml", "0.21.0", &["--no-default-features", "--features", "convert"])
}

/// Has AVML read a LiME image and write what it understood as a padded image: position is address.
///
/// # Errors
/// If AVML does not read it.
pub(crate) fn lime_to_padded(image: &Path, output: &Path) -> Result<()> {
    convert(image, "lime", output, "raw")
}

/// Has AVML convert an image between two of its formats.
///
/// # Errors
/// If AVML does not read it.
pub(crate) fn convert(image: &Path, from: &str, output: &Path, to: &str) -> Result<()> {
    let mut avml = Command::new(program()?);
    avml.args(["convert", "--source-format", from, "--format", to]).arg(image).arg(output);
    command::run(&mut avml, LIMIT)
        .with_context(|| format!("convert {} with AVML", image.display()))?;
    Ok(())
}
