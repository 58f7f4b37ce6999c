//! Target programs, which are built with the C compiler when a test starts. The tests talk to them in lines of text.

#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The outcome of a test.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The longest time that a target may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds `tests/targets/NAME.c`, once for each test process.
pub(crate) fn build(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/targets/{name}.c"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("{name}-{}", std::process::id()));
    static BUILDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = BUILDING.lock();
    if !program.exists() {
        // Remove programs of earlier runs.
        for old in fs::read_dir(folder).into_iter().flatten().flatten() {
            let running = |name: &str| {
                let pid = name.rsplit_once('-').and_then(|(_, pid)| pid.parse::<u32>().ok());
                pid.is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists())
            };
            if !running(&old.file_name().to_string_lossy()) {
                let _ = fs::remove_file(old.path());
            }
        }
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-g", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(&source);
        let built = cc.status().expect(
            "these tests build C programs: install gcc (Debian: apt install gcc libc6-dev)",
        );
        assert!(built.success(), "cc could not build {}", source.display());
    }
    program
}

/// A running target. It is killed when this is dropped.
pub(crate) struct Target {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Target {
    /// Builds and starts a target, and waits for its line `ready`.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(build(name));
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts a command, and waits until it prints `ready`.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the target starts");
        let input = child.stdin.take();
        let output: ChildStdout = child.stdout.take().expect("its output is a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let target = Self { child, input, lines };
        assert_eq!(target.line(), "ready");
        target
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the target prints.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line from the target")
    }

    /// The next line, if it comes within this time.
    pub(crate) fn line_within(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// Writes to the target's input.
    pub(crate) fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(text.as_bytes()).expect("the target reads");
        input.flush().expect("the target reads");
    }

    /// Closes the target's input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Sends a signal to the target.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a process number");
        kill_process(pid, signal).expect("it has not been waited for");
    }

    /// Waits for the target's end.
    pub(crate) fn end(&mut self) -> std::process::ExitStatus {
        self.hang_up();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the target does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until a file in the target's `/proc` directory satisfies `wanted`.
    pub(crate) fn wait_for(&self, file: &str, wanted: impl Fn(&str) -> bool) {
        wait_for(self.pid(), file, wanted);
    }

    /// Waits until the target sleeps in a system call.
    pub(crate) fn wait_until_asleep(&self) {
        self.wait_for("stat", |stat| state_of(stat) == 'S');
        thread::sleep(Duration::from_millis(5));
        self.wait_for("stat", |stat| state_of(stat) == 'S');
    }

    /// The letter of the target's state.
    pub(crate) fn state(&self) -> char {
        state(self.pid()).unwrap_or('-')
    }

    /// The state in which an observer could see a change: children, the tracer, masks and pending signals of
    /// each thread, file descriptors, mappings.
    pub(crate) fn trace(&self) -> Vec<String> {
        let mut seen = vec![text(self.pid(), "maps")];
        let mut tids: Vec<String> = list(self.pid(), "task");
        tids.sort();
        for tid in tids {
            seen.push(text(self.pid(), &format!("task/{tid}/children")));
            let status = text(self.pid(), &format!("task/{tid}/status"));
            let kept = ["TracerPid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Seccomp"];
            let line = |line: &&str| kept.iter().any(|key| line.starts_with(key));
            seen.extend(status.lines().filter(line).map(str::to_owned));
        }
        let mut descriptors = list(self.pid(), "fd");
        descriptors.sort();
        seen.push(descriptors.join(" "));
        seen
    }

    /// The target's children.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tids = list(pid, "task");
    let texts = tids.iter().map(|tid| text(pid, &format!("task/{tid}/children")));
    let all: Vec<String> = texts.collect();
    all.join(" ").split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits until a file in a process's `/proc` directory satisfies `wanted`.
pub(crate) fn wait_for(pid: u32, file: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = text(pid, file);
        if wanted(&now) {
            return;
        }
        assert!(Instant::now() < deadline, "/proc/{pid}/{file} stays {now}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The text of a file in a process's `/proc` directory. Empty if there is no such file.
pub(crate) fn text(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn list(pid: u32, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/{folder}")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn state_of(stat: &str) -> char {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after.trim());
    after.chars().next().unwrap_or('-')
}

/// The letter of a process's state. `None` if there is no such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    Some(state_of(&text(pid, "stat"))).filter(|&state| state != '-')
}
