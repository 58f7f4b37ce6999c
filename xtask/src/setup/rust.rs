//! Programs from crates.io, in versions that are fixed, linked statically so that they run in a guest as well as here.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cache;
use crate::command;

const LIMIT: Duration = Duration::from_secs(3600);

/// Builds the program of a package into the cache and returns its path. `extra` are further arguments of `cargo install`, such as
/// features; a program with others is another one, and kept apart.
///
/// # Errors
/// If the package cannot be had or built, or has no program of its name.
pub(crate) fn cargo_tool(name: &str, version: &str, extra: &[&str]) -> Result<PathBuf> {
    let package = format!("{name}@{version}");
    let kept = [&[package.as_str()], extra].concat().join("_");
    let folder = cache::once(&format!("rust/{kept}"), |folder| {
        let by_hand = [&["cargo install --locked", package.as_str()], extra].concat().join(" ");
        eprintln!("set-up: builds {package} into the cache (by hand: {by_hand})");
        let target = folder.join(".target");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut install = Command::new(cargo);
        install.args(["install", "--quiet", "--locked", "--no-track", &package]).args(extra);
        // A target that is named keeps `crt-static` away from the procedural macros, which cannot have it.
        install.args(["--target", "x86_64-unknown-linux-gnu", "--root"]).arg(folder);
        install.arg("--target-dir").arg(&target);
        install.env_remove("CARGO_ENCODED_RUSTFLAGS");
        command::run(install.env("RUSTFLAGS", "-C target-feature=+crt-static"), LIMIT)
            .with_context(|| format!("build {package}"))?;
        ensure!(folder.join("bin").join(name).exists(), "{package} has no program of its name");
        fs::remove_dir_all(&target).with_context(|| format!("remove {}", target.display()))
    })?;
    Ok(folder.join("bin").join(name))
}
