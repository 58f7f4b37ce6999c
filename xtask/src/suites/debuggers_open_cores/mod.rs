//! Cores of real processes, opened by the programs that people open cores with. What memdump makes of a process is held against
//! what gcore and the kernel itself make of the same one, at the same place of its run.

mod backtraces;
mod conditions;
mod cores;
mod debuggers;
mod guest;
mod targets;

use anyhow::{Context, Result, ensure};

pub(crate) use cores::CorePattern;

use crate::lab::initramfs::Program;
use crate::lab::{despite_the_emulator, payload};
use crate::setup;
use crate::test::Say;

/// Debian packages for the targets and the programs that read cores.
const PACKAGES: &[&str] = &[
    "binutils",
    "elfutils",
    "gcc",
    "gcc-multilib",
    "g++",
    "gdb",
    "golang-go",
    "lldb",
    "python3",
    "zstd",
];

/// Checks the one that is named: a target, a condition, or `guest`.
pub(crate) fn run(only: &str) -> Result<()> {
    let programs = payload::build()?;
    if only == guest::NAME {
        despite_the_emulator(|| check_in_guest(&programs))?
            .iter()
            .for_each(|line| println!("{line}"));
        return Ok(());
    }
    let mut proved = 0;
    check(&programs, Some(only), &mut |line| {
        proved += 1;
        println!("{line}");
    })?;
    ensure!(proved > 0, "there is no target and no condition {only}");
    Ok(())
}

/// Compares backtraces of every target, and proves every condition; `only` names one. Says what was proved.
///
/// # Errors
/// If a core is not made, or a program finds other threads or frames in ours than in the others.
pub(crate) fn check(programs: &[Program], only: Option<&str>, say: Say) -> Result<()> {
    setup::apt(PACKAGES)?;
    let memdump = &payload::memdump(programs)?;
    // The kernel takes a path of at most 127 bytes for its cores: `scratch` may be deeper.
    let folder = tempfile::tempdir().context("create a directory for cores")?;
    for target in targets::TARGETS {
        if only.is_none_or(|only| only == target.name) {
            say(backtraces::check(target, memdump, folder.path())
                .with_context(|| format!("process {}", target.name))?);
        }
    }
    for condition in conditions::CONDITIONS {
        if only.is_none_or(|only| only == condition.name) {
            say(conditions::check(condition, memdump, folder.path())
                .with_context(|| format!("process {}", condition.name))?);
        }
    }
    Ok(())
}

/// Boots a guest and proves the conditions that take a kernel of our own; a line for each.
pub(crate) fn check_in_guest(programs: &[Program]) -> Result<Vec<String>> {
    setup::apt(&["qemu-system-x86"])?;
    guest::check(programs).context("process guest")
}
