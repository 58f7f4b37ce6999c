//! Debian's crash on ELF and kdump images. Its version is older than the newer kernels, on which it gives up whichever program wrote the
//! image: that is an outcome, not an error.

use std::fs;
use std::path::{Path, absolute};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Task;
use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(180);

/// The end of a session.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It opened the image and took commands.
    Opened(Session),
    /// It ended before the first command. It is known to say nothing at all.
    GaveUp {
        /// The output.
        said: String,
    },
}

/// The answers to crash's commands.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// `sys`: the kernel's release.
    pub(crate) release: String,
    /// `ps`: the tasks that it finds.
    pub(crate) tasks: Vec<Task>,
    /// `mod`: the names of the modules.
    pub(crate) modules: Vec<String>,
    /// `bt 0`: the functions on the idle task's stack, the innermost first.
    pub(crate) backtrace: Vec<String>,
    /// `bt -p`: those on the stack of the task that the kernel crashed in; none where it did not crash.
    pub(crate) crashed: Vec<String>,
}

/// Opens an image with the kernel that it is of.
///
/// # Errors
/// If crash cannot be run, does not end, or opens the image and then prints what is not understood.
pub(crate) fn open(image: &Path, vmlinux: &Path) -> Result<Outcome> {
    setup::apt(&["crash"])?;
    let folder = tempfile::tempdir().context("create a directory for what crash prints")?;
    fs::write(
        folder.path().join("commands"),
        "sys > sys\nps > ps\nmod > mod\nbt 0 > bt\nbt -p > panic\nquit\n",
    )?;
    let mut crash = Command::new("crash");
    crash.args(["-s", "-i", "commands"]).arg(absolute(vmlinux)?).arg(absolute(image)?);
    // The home directory may hold commands of the user's own.
    crash.current_dir(&folder).env("HOME", folder.path());
    let done = command::finish(&mut crash, LIMIT)
        .with_context(|| format!("open {} with crash", image.display()))?;
    let said = done.stdout + &done.stderr;
    if !folder.path().join("sys").exists() {
        return Ok(Outcome::GaveUp { said });
    }
    let printed = |name: &str| {
        fs::read_to_string(folder.path().join(name))
            .with_context(|| format!("crash printed nothing for {name}:\n{said}"))
    };
    Ok(Outcome::Opened(Session {
        release: release(&printed("sys")?).context("crash's sys names no release")?,
        tasks: tasks(&printed("ps")?),
        modules: modules(&printed("mod")?),
        backtrace: backtrace(&printed("bt")?),
        crashed: backtrace(&printed("panic")?),
    }))
}

/// From `     RELEASE: 6.1.0-56-cloud-amd64`.
fn release(sys: &str) -> Option<String> {
    sys.lines().find_map(|line| Some(line.trim().strip_prefix("RELEASE: ")?.to_owned()))
}

/// From `>     128      -1   0  ffff89f1025520c0  RU   0.5   210952     5256  memdump`: number, parent, processor, address, state,
/// three sizes, name; `>` where it is on a processor. crash writes kernel threads in brackets.
fn tasks(ps: &str) -> Vec<Task> {
    let task = |line: &str| {
        let mut words = line.trim_start_matches('>').split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let comm = words.skip(7).collect::<Vec<_>>().join(" ");
        let comm = comm.strip_prefix('[').and_then(|comm| comm.strip_suffix(']')).unwrap_or(&comm);
        Some(Task { pid, comm: comm.to_owned() })
    };
    ps.lines().filter_map(task).collect()
}

/// From `ffffffffc056a2c0  qemu_fw_cfg  ffffffffc0567000  20480  (not loaded)  [CONFIG_KALLSYMS]` below a line of headings.
fn modules(listed: &str) -> Vec<String> {
    let name = |line: &str| Some(line.split_whitespace().nth(1)?.to_owned());
    listed.lines().skip(1).filter_map(name).collect()
}

/// From ` #0 [ffffffffa8e03e10] __schedule at ffffffffa7e10e3d`.
fn backtrace(bt: &str) -> Vec<String> {
    let function = |line: &str| {
        let mut words = line.trim().strip_prefix('#')?.split_whitespace().skip(2);
        Some(words.next()?.to_owned())
    };
    bt.lines().filter_map(function).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crash_prints_is_understood() {
        let sys = "       PANIC: \"\"\n     RELEASE: 6.1.0-56-cloud-amd64\n     VERSION: #1 SMP\n";
        assert_eq!(release(sys).as_deref(), Some("6.1.0-56-cloud-amd64"));

        let ps = "      PID    PPID  CPU       TASK        ST  %MEM      VSZ      RSS  COMM\n\
                  \x20       0       0   1  ffff89f101260000  RU   0.0        0        0  [swapper/1]\n\
                  >     128      -1   0  ffff89f1025520c0  RU   0.5   210952     5256  two words\n";
        let found = tasks(ps);
        let wanted = [(0, "swapper/1"), (128, "two words")];
        let wanted = wanted.map(|(pid, comm)| Task { pid, comm: comm.to_owned() });
        assert_eq!(found, wanted);

        let listed = "     MODULE       NAME                         BASE         SIZE  OBJECT FILE\n\
                      ffffffffc0579340  virtio_ring            ffffffffc0572000  49152  (not loaded)\n";
        assert_eq!(modules(listed), ["virtio_ring"]);

        let bt = "PID: 0        TASK: ffffffffa8e1aa40  CPU: 0    COMMAND: \"swapper/0\"\n\
                  \x20#0 [ffffffffa8e03e10] __schedule at ffffffffa7e10e3d\n\
                  #10 [ffffffffa8e03e98] schedule_idle at ffffffffa7e118e6\n";
        assert_eq!(backtrace(bt), ["__schedule", "schedule_idle"]);
    }
}
