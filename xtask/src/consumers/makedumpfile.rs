//! makedumpfile, on kdump images: it puts flattened ones in order, splits them and puts the parts together again, and leaves out of
//! an image what nobody needs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(180);

/// Puts a flattened image in order (`-R`).
///
/// # Errors
/// Where makedumpfile cannot be run, or does not take the image for one.
pub(crate) fn put_in_order(flattened: &Path, output: &Path) -> Result<()> {
    setup::apt(&["makedumpfile"])?;
    let mut makedumpfile = Command::new("sh");
    makedumpfile.args(["-c", "makedumpfile -R \"$2\" < \"$1\"", "sh"]).arg(flattened).arg(output);
    command::run(&mut makedumpfile, LIMIT)
        .with_context(|| format!("put {} in order with makedumpfile", flattened.display()))?;
    Ok(())
}

/// Makes a kdump image of an ELF one without zeros, page cache, memory of processes and free pages (`-d 31`).
///
/// # Errors
/// Where makedumpfile cannot be run, or does not read the image.
pub(crate) fn leave_out(image: &Path, output: &Path) -> Result<()> {
    setup::apt(&["makedumpfile"])?;
    let mut makedumpfile = Command::new("makedumpfile");
    makedumpfile.args(["-c", "-d", "31"]).arg(image).arg(output);
    command::run(&mut makedumpfile, LIMIT)
        .with_context(|| format!("filter {} with makedumpfile", image.display()))?;
    Ok(())
}

/// Splits an image in order into several files (`--split`), which it compresses anew with zlib.
///
/// # Errors
/// Where makedumpfile cannot be run, or does not read the image.
pub(crate) fn split(image: &Path, parts: &[&Path]) -> Result<()> {
    let mut makedumpfile = Command::new("makedumpfile");
    // Without a size in MiB it cuts at whole GiB alone: a small guest would be one part, and the others empty.
    makedumpfile.args(["--split", "--splitblock-size", "16", "-c", "-d", "0", "-f"]);
    makedumpfile.arg(image).args(parts);
    command::run(&mut makedumpfile, LIMIT)
        .with_context(|| format!("split {} with makedumpfile", image.display()))?;
    Ok(())
}

/// Puts the files of a split image together (`--reassemble`).
///
/// # Errors
/// Where makedumpfile cannot be run, or does not take the files for parts of one image.
pub(crate) fn reassemble(parts: &[&Path], output: &Path) -> Result<()> {
    let mut makedumpfile = Command::new("makedumpfile");
    makedumpfile.args(["--reassemble", "-f"]).args(parts).arg(output);
    command::run(&mut makedumpfile, LIMIT).context("put parts together with makedumpfile")?;
    Ok(())
}
