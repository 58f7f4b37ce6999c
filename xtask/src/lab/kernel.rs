//! Debian's own kernels: fetched as packages and unpacked into the cache. Not installed, not built.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{command, setup};

/// The longest that a search of the registry's list may take.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// A series of kernels that Debian 12 offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Series {
    /// The release's own.
    V6_1,
    /// The newer one of its security suite.
    V6_12,
}

impl Series {
    /// The name: `6.1`, `6.12`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Series::V6_1 => "6.1",
            Series::V6_12 => "6.12",
        }
    }

    /// The release that is taken while the registry has it: symbol files, which Volatility needs, are made for one release.
    fn preferred(self) -> &'static str {
        match self {
            Series::V6_1 => "6.1.0-56-cloud-amd64",
            Series::V6_12 => "6.12.117+deb12-cloud-amd64",
        }
    }

    /// The release to take: the preferred one, else the newest of the series that the registry has.
    fn release(self) -> Result<String> {
        let preferred = self.preferred();
        let package = format!("linux-image-{preferred}");
        if setup::deb_exists(&package) {
            return Ok(preferred.to_owned());
        }
        let pattern = format!("^linux-image-{}\\.[^-]*.*cloud-amd64$", self.name());
        let mut search = Command::new("apt-cache");
        search.args(["search", "--names-only", &pattern]);
        command::run(&mut search, SEARCH_LIMIT)?
            .lines()
            .filter_map(|line| line.split(' ').next()?.strip_prefix("linux-image-"))
            .max_by_key(|release| numbers(release))
            .map(str::to_owned)
            .with_context(|| format!("the registry has no cloud kernel of series {}", self.name()))
    }
}

/// The numbers in a release, so that 6.1.0-9 sorts before 6.1.0-10.
fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// The modules that a guest may need to reach its ports, its disk and its memory devices, each after those that it needs itself.
/// Some are built into the kernel in one series and modules in another.
const MODULES: &[&str] = &[
    "qemu_fw_cfg",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio",
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtio_balloon",
    "virtio_mem",
];

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The output of `uname -r`.
    pub(crate) release: String,
    /// The bootable image.
    pub(crate) vmlinuz: PathBuf,
    /// The modules to load, in this order.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Fetches a kernel of the series where the cache does not have it.
    pub(crate) fn fetch(series: Series) -> Result<Self> {
        let release = series.release()?;
        let root = setup::deb(&format!("linux-image-{release}"))?;
        let tree = root.join("lib/modules").join(&release);
        Ok(Self {
            vmlinuz: root.join("boot").join(format!("vmlinuz-{release}")),
            modules: modules(&tree)
                .with_context(|| format!("find the modules of Linux {release}"))?,
            release,
        })
    }
}

fn modules(tree: &Path) -> Result<Vec<PathBuf>> {
    let builtin = tree.join("modules.builtin");
    let builtin =
        fs::read_to_string(&builtin).with_context(|| format!("read {}", builtin.display()))?;
    let mut found = HashMap::new();
    collect(tree, &mut found)?;
    let mut wanted = Vec::new();
    for &name in MODULES {
        match found.remove(name) {
            Some(path) => wanted.push(path),
            None if builtin.contains(&format!("/{name}.ko\n")) => {}
            None => bail!("{name} is neither a module nor built in"),
        }
    }
    Ok(wanted)
}

/// Gathers the modules of a directory by name.
fn collect(folder: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            collect(&path, found)?;
        } else if let Some((module, _)) = name.split_once(".ko") {
            found.insert(module.replace('-', "_"), path);
        }
    }
    Ok(())
}
