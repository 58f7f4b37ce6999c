//! makedumpfile, on kdump images: it puts flattened ones in order, splits them and puts the parts together again, and makes images
//! without the pages that debuggers do not need.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(180);

/// Puts a flattened image in order (`-R`).
///
/// # Errors
/// If makedumpfile cannot be run, or does not take the image for one.
pub(crate) fn put_in_order(flattened: &Path, output: &Path) -> Result<()> {
    setup::apt(&["makedumpfile"])?;
    let mut makedumpfile = Command::new("sh");
    makedumpfile.args(["-c", "makedumpfile -R \"$2\" < \"$1\"", "sh"]).arg(flattened).arg(output);
    command::run(&mut makedumpfile, LIMIT)
        .with_context(|| format!("put {} in order with makedumpfile", flattened.display()))?;
    Ok(())
}

/// The compression of each page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pages {
    Zlib,
    Lzo,
}

/// The options that a kdump image is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) pages: Pages,
    /// The kinds of pages to leave out, `-d`: 0 is none, 31 is every kind.
    pub(crate) level: u8,
    /// As it is in a pipe, `-F`.
    pub(crate) flattened: bool,
}

/// Makes a kdump image of an ELF one; returns how many pages it is without because of what they are used for.
///
/// # Errors
/// If makedumpfile cannot be run, does not read the image, or prints what is not understood.
pub(crate) fn compress(image: &Path, output: &Path, how: How) -> Result<u64> {
    setup::apt(&["makedumpfile"])?;
    let pages = match how.pages {
        Pages::Zlib => "-c",
        Pages::Lzo => "-l",
    };
    let script = match how.flattened {
        // What it prints goes to standard error then.
        true => "makedumpfile -F \"$@\" \"$image\" 2>&1 > \"$output\"",
        false => "makedumpfile \"$@\" \"$image\" \"$output\"",
    };
    let mut makedumpfile = Command::new("sh");
    // 28: errors, what is told in the end, and nothing that moves.
    makedumpfile.args(["-c", script, "sh", pages, "-d", &how.level.to_string()]);
    makedumpfile.args(["--message-level", "28"]).env("image", image).env("output", output);
    let printed = command::run(&mut makedumpfile, LIMIT)
        .with_context(|| format!("compress {} with makedumpfile", image.display()))?;
    left_out(&printed).with_context(|| format!("understand what makedumpfile printed: {printed}"))
}

/// From lines like `    Free pages              : 0x000000000000b42b`. Zeros are not counted: the image has one page for all of them.
fn left_out(printed: &str) -> Option<u64> {
    let uses =
        ["Non-private cache pages", "Private cache pages", "User process data pages", "Free pages"];
    let count = |name: &&str| {
        let (_, count) = printed
            .lines()
            .filter_map(|line| line.trim().split_once(':'))
            .find(|(found, _)| found.trim() == *name)?;
        u64::from_str_radix(count.trim().strip_prefix("0x")?, 16).ok()
    };
    uses.iter().map(count).sum()
}

/// Splits an image in order into several files (`--split`), which it compresses anew with zlib.
///
/// # Errors
/// If makedumpfile cannot be run, or does not read the image.
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
/// If makedumpfile cannot be run, or does not take the files for parts of one image.
pub(crate) fn reassemble(parts: &[&Path], output: &Path) -> Result<()> {
    let mut makedumpfile = Command::new("makedumpfile");
    makedumpfile.args(["--reassemble", "-f"]).args(parts).arg(output);
    command::run(&mut makedumpfile, LIMIT).context("put parts together with makedumpfile")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makedumpfile_left_out_is_understood() {
        let printed = "Original pages  : 0x000000000001870d\n  Excluded pages   : 0x0000000000012651\n    \
            Pages filled with zero  : 0x0000000000000b40\n    Non-private cache pages : 0x000000000000263d\n    \
            Private cache pages     : 0x0000000000000000\n    User process data pages : 0x00000000000040a9\n    \
            Free pages              : 0x000000000000b42b\n";
        assert_eq!(left_out(printed), Some(72_465));
        assert_eq!(left_out("makedumpfile Completed.\n"), None);
    }
}
