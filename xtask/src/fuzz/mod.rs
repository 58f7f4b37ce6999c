//! `cargo xtask fuzz`: libFuzzer feeds the readers of images with what it makes of small ones (`seeds.rs`). What is demanded of
//! them stands in `crates/image/tests/exercise`.
//!
//! The stable compiler is enough: its own pass counts the edges, and libFuzzer comes from crates.io.

mod seeds;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::payload;
use crate::{command, setup};

/// The fuzz targets, each a program of its own.
pub(crate) const TARGETS: [&str; 4] = ["images", "codecs", "notes", "maps"];
/// Of the time, what each gets: images have the most in them.
const SHARES: [u64; 4] = [6, 2, 1, 1];

const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Flags that make the compiler count edges and pass comparisons on, as `cargo fuzz` does.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];
/// The longest that a target takes to begin: what it found before is run first.
const START: Duration = Duration::from_secs(300);

/// Fuzzes every target, or the one that is named, one after another.
///
/// # Errors
/// If an input crashes a target, takes too long or too much memory: the error names the file. If the targets
/// cannot be built.
pub(crate) fn run(seconds: u64, only: Option<&str>) -> Result<()> {
    let shares = TARGETS.into_iter().zip(SHARES);
    let chosen: Vec<_> = shares.filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    ensure!(!chosen.is_empty(), "there is no such target; there are {}", TARGETS.join(", "));
    let folder = build()?;
    let parts = chosen.iter().map(|(_, share)| share).sum::<u64>();
    let mut failures = Vec::new();
    for (name, share) in chosen {
        if let Err(error) = fuzz(&folder, name, (seconds * share / parts).max(1)) {
            eprintln!("FAIL {name}: {error:#}");
            failures.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Builds the targets and returns the directory that everything of fuzzing is in.
fn build() -> Result<PathBuf> {
    let is_there = Command::new("c++").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        setup::apt(&["g++"])?;
    }
    let folder = payload::target_folder().join("fuzz");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--target", PLATFORM, "--target-dir"])
        .arg(&folder)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .current_dir(sources())
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build");
    Ok(folder)
}

fn sources() -> PathBuf {
    payload::workspace().join("fuzz")
}

/// Runs one target.
fn fuzz(folder: &Path, name: &str, seconds: u64) -> Result<()> {
    let corpus = folder.join("corpus").join(name);
    let crashes = folder.join("crashes").join(name);
    for folder in [&corpus, &crashes] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    seeds::write(name, &corpus)?;
    let before = files(&crashes)?;
    let program = folder.join(PLATFORM).join("release").join(name);
    let mut fuzzer = Command::new(&program);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-rss_limit_mb=512", "-malloc_limit_mb=256", "-timeout=10", "-max_len=65536"])
        .args(["-fork=0", "-print_final_stats=1"])
        .arg(&corpus)
        .arg(sources().join("regressions").join(name));
    let done = command::finish(&mut fuzzer, START + Duration::from_secs(seconds))?;
    if done.status.success() {
        println!("{name}: {}", summary(&done.stderr));
        return Ok(());
    }
    let new: Vec<_> = files(&crashes)?.into_iter().filter(|file| !before.contains(file)).collect();
    let input = match new.first() {
        Some(input) => input.display().to_string(),
        // An input that crashed before gets the same name.
        None => done
            .stderr
            .lines()
            .find_map(|line| line.split_once("Test unit written to ").map(|(_, file)| file))
            .unwrap_or("(no input was written)")
            .to_owned(),
    };
    bail!(
        "{}: {}\nthe input: {input}\nonce more: {} {input}\n\
         when it is mended, keep the input in fuzz/regressions/{name}",
        done.status,
        reason(&done.stderr),
        program.display()
    )
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The number of a target's runs, and of the edges of the code that it reached.
fn summary(log: &str) -> String {
    let word = |line: &str, key: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != key);
        words.nth(1).unwrap_or("?").to_owned()
    };
    let last = log.lines().rfind(|line| line.contains(" cov: ")).unwrap_or_default();
    let runs = log.lines().find(|line| line.starts_with("stat::number_of_executed_units:"));
    let runs = word(runs.unwrap_or_default(), "stat::number_of_executed_units:");
    format!("{runs} inputs, {} edges", word(last, "cov:"))
}

/// The program's last words: the panic, or libFuzzer's own.
fn reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let told = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    match lines.iter().position(told) {
        Some(at) => lines[at..].iter().take(2).copied().collect::<Vec<_>>().join(" "),
        None => lines.last().copied().unwrap_or_default().to_owned(),
    }
}
