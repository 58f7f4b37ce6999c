//! Cores of real processes, opened by the programs that people open cores with. What memdump makes of a process is held against
//! what gcore and the kernel itself make of the same one, at the same place of its run.

mod backtraces;
mod conditions;
mod cores;
mod debuggers;
mod guest;
mod targets;

use anyhow::{Context, Result};

pub(crate) use cores::CorePattern;

use crate::lab::initramfs::Program;
use crate::lab::{despite_the_emulator, payload};
use crate::setup;

/// What the targets and the programs that read cores need.
const PACKAGES: &[&str] = &[
    "binutils",
    "elfutils",
    "gcc",
    "gcc-multilib",
    "g++",
    "gdb",
    "golang-go",
    "lldb",
    "qemu-system-x86",
    "python3",
    "zstd",
];

/// Builds the command and checks it; see [`check`].
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    check(&payload::build()?, only).map(drop)
}

/// Compares backtraces of every target, and proves every condition; `only` names one. Says what was proved.
///
/// # Errors
/// Where a core is not made, or a program finds other threads or frames in ours than in the others.
pub(crate) fn check(programs: &[Program], only: Option<&str>) -> Result<Vec<String>> {
    setup::apt(PACKAGES)?;
    let memdump = &payload::memdump(programs)?;
    let folder = tempfile::tempdir().context("create a folder for cores")?;
    let mut proved = Vec::new();
    for target in targets::TARGETS {
        if only.is_none_or(|only| only == target.name) {
            let line = backtraces::check(target, memdump, folder.path())
                .with_context(|| format!("process {}", target.name))?;
            println!("{line}");
            proved.push(line);
        }
    }
    for condition in conditions::CONDITIONS {
        if only.is_none_or(|only| only == condition.name) {
            let line = conditions::check(condition, memdump, folder.path())
                .with_context(|| format!("process {}", condition.name))?;
            println!("{line}");
            proved.push(line);
        }
    }
    if only.is_none_or(|only| only == guest::NAME) {
        for line in despite_the_emulator(|| guest::check(programs)).context("process guest")? {
            println!("{line}");
            proved.push(line);
        }
    }
    Ok(proved)
}
