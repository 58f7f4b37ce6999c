//! Volatility 3 on LiME, ELF and padded images. It does not follow five levels of page tables: boot its guests with four.
//!
//! It needs a symbol file for the very kernel, made by dwarf2json, a program in Go that no registry of this set-up offers: so
//! these files are taken where they are, and asked for where they are not.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Task;
use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(300);
/// Its own script cannot be used, see [`setup::venv`]. A name has to stand where Python's `-c` would be taken for an option.
const VOLATILITY: &str = "import sys, volatility3.cli; sys.argv[0] = 'vol'; volatility3.cli.main()";

/// The symbol files' directory: `$MEMDUMP_VOLATILITY_SYMBOLS`, or the symbols directory beside the checkout.
#[derive(Clone, Debug)]
pub(crate) struct Symbols {
    folder: PathBuf,
}

impl Symbols {
    /// Advice for when [`Symbols::find`] finds nothing.
    pub(crate) const ADVICE: &str = "put RELEASE.json.xz, made with dwarf2json from the kernel's vmlinux, \
                                     into a folder and name it in MEMDUMP_VOLATILITY_SYMBOLS";

    /// The directory, where it is there and has a file for this release of the kernel.
    ///
    /// # Errors
    /// If a directory was named that cannot be read.
    pub(crate) fn find(release: &str) -> Result<Option<Self>> {
        let folder = match env::var_os("MEMDUMP_VOLATILITY_SYMBOLS") {
            Some(folder) => {
                let folder = PathBuf::from(folder);
                fs::read_dir(&folder).with_context(|| {
                    format!("read {}, which MEMDUMP_VOLATILITY_SYMBOLS names", folder.display())
                })?;
                folder
            }
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/volatility-symbols"),
        };
        let there = ["json", "json.xz", "json.gz", "json.bz2"]
            .iter()
            .any(|suffix| folder.join(format!("{release}.{suffix}")).is_file());
        Ok(there.then_some(Self { folder }))
    }
}

/// A row of `linux.pslist`; those of threads stand below their process.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "PID")]
    pid: u32,
    #[serde(rename = "COMM")]
    comm: String,
}

/// The processes that `linux.pslist` lists. Volatility stays offline: it may not fetch symbols itself.
///
/// # Errors
/// If Volatility does not recognise the image, or finds no process in it.
pub(crate) fn processes(image: &Path, symbols: &Symbols) -> Result<Vec<Task>> {
    // For AVML's images.
    setup::apt(&["libsnappy1v5"])?;
    let cache = setup::cache_dir()?.join("volatility");
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let mut volatility = Command::new(setup::venv()?);
    volatility.args(["-I", "-c", VOLATILITY, "--quiet", "--offline", "--renderer", "json"]);
    volatility.arg("--cache-path").arg(&cache).arg("--symbol-dirs").arg(&symbols.folder);
    volatility.arg("--file").arg(image).arg("linux.pslist");
    let printed = command::run(&mut volatility, LIMIT)
        .with_context(|| format!("open {} with Volatility 3", image.display()))?;
    let rows: Vec<Row> =
        serde_json::from_str(&printed).context("read what Volatility 3 printed")?;
    // It ends with success then, too.
    ensure!(
        !rows.is_empty(),
        "Volatility 3 finds no process in {}; it follows no page tables of five levels (QEMU: -cpu max,la57=off)",
        image.display()
    );
    Ok(rows.into_iter().map(|Row { pid, comm }| Task { pid, comm }).collect())
}
