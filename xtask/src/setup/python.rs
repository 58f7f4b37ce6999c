//! A Python of our own with the consumers that are written in Python, in versions that are fixed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{cache, debian};
use crate::command;

const LIMIT: Duration = Duration::from_secs(900);

/// drgn reads ELF images, Volatility the others; Volatility needs pefile.
const PACKAGES: &[&str] = &["drgn==0.3.0", "volatility3==2.28.2", "pefile==2024.8.26"];

/// The Python interpreter that has drgn and Volatility 3. Call these as modules (`-m`): the scripts that pip made know only the
/// directory where they were made, which has been renamed since.
///
/// # Errors
/// If there is no Python, or a package cannot be had.
pub(crate) fn venv() -> Result<PathBuf> {
    let folder = cache::once(&format!("python/{}", PACKAGES.join("+")), |folder| {
        let packages = PACKAGES.join(" ");
        eprintln!(
            "set-up: makes a Python environment in the cache \
             (by hand: python3 -m venv FOLDER; FOLDER/bin/pip install {packages})"
        );
        if create(folder, "python3").is_err() {
            debian::apt(&["python3", "python3-venv"])?;
            // What PATH names first may be another one, which stays incomplete.
            create(folder, "/usr/bin/python3").context("make a Python environment")?;
        }
        let mut install = Command::new(folder.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command::run(install.arg("--no-deps").args(PACKAGES), LIMIT)
            .with_context(|| format!("pip install {packages}"))?;
        Ok(())
    })?;
    Ok(folder.join("bin/python"))
}

fn create(folder: &Path, python: &str) -> Result<String> {
    command::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder), LIMIT)
}
