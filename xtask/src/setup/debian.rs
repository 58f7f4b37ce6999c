//! Debian packages: installed where a program has to be on the system, unpacked into the cache where its files are enough.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{cache, programs};
use crate::command;

/// The longest that apt may take: it waits for other users of its lock, and networks are slow.
const LIMIT: Duration = Duration::from_secs(1800);
const LOCK: [&str; 2] = ["-o", "DPkg::Lock::Timeout=300"];

/// Installs those of the packages that are missing, without what they merely recommend.
///
/// # Errors
/// On a system without apt, as a user who may not install, and where a package cannot be had.
pub(crate) fn apt(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let words = missing.join(" ");
    require("apt-get", &format!("install by hand what gives these Debian packages: {words}"))?;
    eprintln!("set-up: installs {words} (by hand: sudo apt-get install {words})");
    with_fresh_lists(|| {
        let mut install = as_root("env");
        install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--quiet", "--yes"]);
        command::run(install.arg("--no-install-recommends").args(LOCK).args(&missing), LIMIT)
    })
    .with_context(|| format!("install {words}: as root, or as a user who may use sudo"))?;
    Ok(())
}

/// Installs the packages of those programs that tests of the workspace's crates call and that are not on `PATH`.
///
/// # Errors
/// As [`apt`].
pub(crate) fn programs_of_tests() -> Result<()> {
    let missing = programs::PROGRAMS.iter().filter(|(program, _)| !is_on_path(program));
    let packages: Vec<&str> = missing.flat_map(|(_, packages)| packages.split(' ')).collect();
    apt(&packages)
}

/// Unpacks a package into the cache, without installing it; returns the directory that stands for `/`.
///
/// # Errors
/// On a system without apt, and where the package cannot be had or unpacked.
pub(crate) fn deb(package: &str) -> Result<PathBuf> {
    unpack(package, "", |archive, folder| {
        command::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(folder), LIMIT)
    })
}

/// Unpacks one file of a package into the cache. `path` is without the leading `/`. For packages that are large otherwise.
///
/// # Errors
/// As [`deb`], and where the package has no such file.
pub(crate) fn deb_file(package: &str, path: &str) -> Result<PathBuf> {
    let name = path.replace('/', "_");
    let root = unpack(package, &format!("_only_{name}"), |archive, folder| {
        let script = "set -o pipefail; dpkg-deb --fsys-tarfile \"$1\" | tar -x -C \"$2\" \"./$3\"";
        let mut extract = Command::new("bash");
        extract.args(["-c", script, "bash"]).arg(archive).arg(folder).arg(path);
        command::run(&mut extract, LIMIT)
            .with_context(|| format!("take {path} out of the Debian package {package}"))
    })?;
    Ok(root.join(path))
}

/// Returns true if the package can be had. Lists that do not know it may be old: they are brought up to date.
pub(crate) fn deb_exists(package: &str) -> bool {
    with_fresh_lists(|| version(package)).is_ok()
}

/// Has `extract` unpack an archive into a directory of the cache that is named with the package's version.
fn unpack(
    package: &str,
    suffix: &str,
    extract: impl FnOnce(&Path, &Path) -> Result<String>,
) -> Result<PathBuf> {
    require("apt-get", "the laboratory takes its kernels and programs from Debian's packages")?;
    let version = with_fresh_lists(|| version(package))
        .with_context(|| format!("find the Debian package {package}"))?;
    // As apt names its archives: a colon would mean something in too many arguments.
    let name = format!("deb/{package}_{}{suffix}", version.replace(':', "%3a"));
    cache::once(&name, |folder| {
        eprintln!(
            "set-up: unpacks {package} {version} into the cache \
             (by hand: apt-get download {package}; dpkg-deb --extract {package}_*.deb FOLDER)"
        );
        let download = folder.join(".download");
        fs::create_dir(&download)?;
        with_fresh_lists(|| {
            // apt would fetch as a user of its own, who may not write here.
            let mut fetch = Command::new("apt-get");
            fetch.args(["download", "--quiet", "-o", "APT::Sandbox::User=root"]);
            command::run(fetch.arg(format!("{package}={version}")).current_dir(&download), LIMIT)
        })?;
        let archive = fs::read_dir(&download)?.next().context("apt-get left no file")??;
        extract(&archive.path(), folder)?;
        fs::remove_dir_all(&download).with_context(|| format!("remove {}", download.display()))
    })
}

/// The version that apt would take.
fn version(package: &str) -> Result<String> {
    let mut show = Command::new("apt-cache");
    let shown = command::run(show.args(["show", "--no-all-versions", package]), LIMIT)?;
    let version = shown.lines().find_map(|line| line.strip_prefix("Version: "));
    Ok(version.context("apt-cache shows no version")?.to_owned())
}

/// Tries; then brings apt's lists up to date and tries again. They are absent on a fresh machine, and name versions that are gone
/// on an old one.
fn with_fresh_lists<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    // Steps may run side by side; apt waits for others only where it installs.
    static APT: Mutex<()> = Mutex::new(());
    let _one = APT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(done) = attempt() {
        return Ok(done);
    }
    eprintln!("set-up: brings the lists of packages up to date (by hand: sudo apt-get update)");
    command::run(as_root("apt-get").args(["update", "--quiet"]).args(LOCK), LIMIT)?;
    attempt()
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// A program that has to run as root: through sudo where we are not.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn require(program: &str, otherwise: &str) -> Result<()> {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    ensure!(
        found,
        "this system has no {program} (it is not Debian or one of its kind): {otherwise}"
    );
    Ok(())
}
