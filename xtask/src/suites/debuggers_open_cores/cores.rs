//! Cores of one process: ours, gcore's, the kernel's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::targets::Running;
use crate::command;

const LIMIT: Duration = Duration::from_secs(120);

/// Ours, with the process paused so.
pub(super) fn ours(memdump: &Path, pid: u32, pause: &str, folder: &Path) -> Result<PathBuf> {
    let core = folder.join(format!("memdump-{pause}"));
    let mut dump = Command::new(memdump);
    dump.args(["process", &pid.to_string(), "--pause", pause, "--overwrite", "-q", "-o"])
        .arg(&core);
    command::run(&mut dump, LIMIT)?;
    Ok(core)
}

/// That of gdb's gcore.
pub(super) fn gcore(pid: u32, folder: &Path) -> Result<PathBuf> {
    let prefix = folder.join("gcore");
    command::run(Command::new("gcore").arg("-o").arg(&prefix).arg(pid.to_string()), LIMIT)?;
    Ok(folder.join(format!("gcore.{pid}")))
}

/// The kernel's own, which ends the process.
pub(super) fn kernel(target: &mut Running, folder: &Path) -> Result<PathBuf> {
    let core = folder.join("kernel");
    let pattern = CorePattern::set(core.to_str().context("a path in UTF-8")?)?;
    let pid =
        i32::try_from(target.pid()).ok().and_then(Pid::from_raw).context("a process number")?;
    kill_process(pid, Signal::ABORT).context("send SIGABRT")?;
    target.wait()?;
    drop(pattern);
    ensure!(core.exists(), "the kernel wrote no core");
    Ok(core)
}

/// The file that the kernel writes cores to; as before when this is dropped.
pub(crate) struct CorePattern(String);

impl CorePattern {
    const FILE: &str = "/proc/sys/kernel/core_pattern";

    pub(crate) fn set(pattern: &str) -> Result<Self> {
        let before = fs::read_to_string(Self::FILE).context("read core_pattern")?;
        fs::write(Self::FILE, pattern).context("set core_pattern, which needs root")?;
        Ok(Self(before))
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, self.0.trim());
    }
}
