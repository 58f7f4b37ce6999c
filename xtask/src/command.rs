//! Running other programs on this machine: none without a limit, none left behind, and an error has what the program printed.
//! Not about the guest, whose commands its own agent runs.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The most that is kept of each stream that a program prints, in bytes.
const PRINT_LIMIT: u64 = 16 << 20;
/// The time between two checks on a program.
const POLL: Duration = Duration::from_millis(10);

/// A program's exit status and output.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end, without input, and demands that it succeeds; returns its standard output.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String> {
    let done = finish(command, limit)?;
    let Finished { status, stdout, stderr } = &done;
    ensure!(status.success(), "{}: {status}\n{stdout}{stderr}", line(command));
    Ok(done.stdout)
}

/// Runs a program to its end, without input, however it ends. Running longer than `limit` is an error.
pub(crate) fn finish(command: &mut Command, limit: Duration) -> Result<Finished> {
    let mut stdout = tempfile::tempfile().context("create a temporary file")?;
    let mut stderr = tempfile::tempfile().context("create a temporary file")?;
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let ended = Running::start(command)?.finish(limit);
    let (stdout, stderr) = (text(&mut stdout)?, text(&mut stderr)?);
    let status = ended.with_context(|| format!("it had printed:\n{stdout}{stderr}"))?;
    Ok(Finished { status, stdout, stderr })
}

/// The program and its arguments, without the environment.
fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(PRINT_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A running program with all that it started: a process group. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = line(command);
        let child = command.process_group(0).spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name })
    }

    /// The writing end of the program's standard input, where that is a pipe.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for the program's end, at most for `limit`; what it started and left running is killed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        while !self.has_ended()? {
            if started.elapsed() > limit {
                bail!("{} did not end in {limit:?}", self.name);
            }
            thread::sleep(POLL);
        }
        self.kill();
        self.child.wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Returns true if the program has ended. It stays a zombie, so that its number goes to no other program.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let state = waitid(WaitId::Pid(Pid::from_child(&self.child)), options)
            .with_context(|| format!("look at {}", self.name))?;
        Ok(state.is_some())
    }

    /// Kills the group, to be called only before the program's number is given back by a wait.
    fn kill(&self) {
        // An error here says that the group is empty already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where `finish` has waited already: nothing is left to kill then.
        if self.has_ended().is_ok() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let mut hanging = Command::new("sh");
        hanging.args(["-c", "echo begun; sleep 987 & echo $!; wait"]);
        let error = finish(&mut hanging, Duration::from_millis(300)).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("begun") && error.contains("did not end in 300ms"), "{error}");
        let sleeper = error.lines().find_map(|line| line.parse::<u32>().ok()).expect("its number");
        let gone = || {
            // A killed orphan is a zombie until init has seen to it.
            std::fs::read_to_string(format!("/proc/{sleeper}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        let started = Instant::now();
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(5), "the sleeper lives");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_failure_says_what_was_printed() {
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo out; echo err >&2; exit 7"]);
        let error = format!("{:#}", run(&mut failing, Duration::from_secs(10)).unwrap_err());
        assert!(error.contains("exit status: 7\nout\nerr"), "{error}");
    }
}
