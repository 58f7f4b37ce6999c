//! The programs that run in the guests: the command under test and the laboratory's own, built static so that they need nothing there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::initramfs::Program;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds both and says where they go.
pub(crate) fn build() -> Result<Vec<Program>> {
    // A directory of its own: these flags would make cargo build everything else anew.
    let target = target_folder().join("static");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "-p",
            "memdump",
            "-p",
            "lab-guest",
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(workspace())
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the programs for the guest do not build");
    let built = target.join(TARGET).join("release");
    let program = |name: &str| Program { path: format!("bin/{name}"), file: built.join(name) };
    Ok(vec![program("memdump"), program("lab-guest")])
}

/// The command under test, among the programs.
pub(crate) fn memdump(programs: &[Program]) -> Result<PathBuf> {
    let memdump = programs.iter().find(|program| program.path == "bin/memdump");
    Ok(memdump.context("memdump is among the programs")?.file.clone())
}

/// Cargo's target directory of the workspace.
pub(crate) fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The workspace's directory.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
