//! The command on this machine, and the comparison of the images that it makes page by page.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab_guest::pattern::PAGE;

use crate::command;
use crate::lab::image::Image;
use crate::lab::initramfs::Program;
use crate::lab::payload;

/// The longest that the command may take for an image.
const LIMIT: Duration = Duration::from_secs(300);

/// The command, and where its images go.
pub(crate) struct Tool {
    pub(crate) memdump: PathBuf,
    folder: PathBuf,
}

impl Tool {
    pub(crate) fn new(programs: &[Program], folder: &Path) -> Result<Self> {
        Ok(Self { memdump: payload::memdump(programs)?, folder: folder.into() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Converts an image to one that is called `to`.
    pub(crate) fn convert(&self, from: &Path, to: &str, arguments: &[&str]) -> Result<PathBuf> {
        let to = self.path(to);
        let mut convert = Command::new(&self.memdump);
        convert.args(["convert", "--quiet", "--overwrite"]).arg(from).arg(&to).args(arguments);
        command::run(&mut convert, LIMIT)?;
        Ok(to)
    }

    /// The number of bytes of memory that an image contains.
    pub(crate) fn present(&self, image: &Path) -> Result<u64> {
        let mut info = Command::new(&self.memdump);
        let said = command::run(info.args(["info", "--json"]).arg(image), LIMIT)?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        said["present"].as_u64().context("info does not say how much is present")
    }
}

/// The verdict on a page that is in the first image and not in the second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Wrong,
    /// Right when it holds zeros.
    Zero,
}

/// Compares every page of `wanted`; how many there are.
pub(crate) fn same_pages(wanted: &Image, found: &Image, missing: Missing) -> Result<u64> {
    let mut pages = 0;
    let (mut left, mut right) = (vec![0; PAGE], vec![0; PAGE]);
    for address in wanted.ranges().flat_map(|range| range.clone().step_by(PAGE)) {
        ensure!(wanted.read(address, &mut left)?, "there is no page at {address:#x}");
        if !found.read(address, &mut right).context("read the second image")? {
            right.fill(0);
            ensure!(missing == Missing::Zero, "the page at {address:#x} is missing");
        }
        ensure!(left == right, "the page at {address:#x} is another");
        pages += 1;
    }
    Ok(pages)
}
