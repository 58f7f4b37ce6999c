//! makedumpfile, on flattened kdump images. It is not asked to read memory: only to put a file in order.

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
