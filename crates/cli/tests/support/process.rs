//! Processes to dump, and a reader of cores that shares no code with the crates under test.

#![allow(dead_code, reason = "each test uses some of it")]

#[allow(clippy::duplicate_mod, reason = "a test may have both files that need it")]
#[path = "status.rs"]
mod status;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const PAGE: u64 = 4096;

/// The target program, compiled once.
static PROGRAM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("target");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets/target.c");
    let status = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&program).arg(source).status();
    assert!(status.expect("cc, which Rust needs too").success());
    (folder, program)
});

/// A running target. It is killed when this is dropped.
pub(crate) struct Target {
    pub(crate) child: Child,
    /// The ranges that the target reported, by name: start and size.
    pub(crate) told: BTreeMap<String, (u64, u64)>,
    pub(crate) folder: TempDir,
}

impl Target {
    /// Starts a target and waits until it is ready. `file` is its second argument.
    pub(crate) fn start(mode: &str, file: &Path) -> Self {
        let mut child =
            Command::new(&PROGRAM.1).arg(mode).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BTreeMap::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next().expect("it gets ready").unwrap();
            if line == "ready" {
                break;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            told.insert(words[0].to_owned(), (number(words[1]), number(words[2])));
        }
        Self { child, told, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The letter of the process's state.
    pub(crate) fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
    }

    /// Waits until the process has this state. One that runs on may have to wait for a CPU first.
    pub(crate) fn comes_to(&self, state: char) {
        within_reason(&format!("its state is {state}"), || self.state() == state);
    }

    /// Waits until the process sleeps. Between `ready` and that it touches a few pages of libc.
    pub(crate) fn settles(&self) {
        thread::sleep(Duration::from_millis(200));
        self.comes_to('S');
    }

    /// A value of the process's status, in kB.
    pub(crate) fn status(&self, key: &str) -> u64 {
        status::status(&self.pid(), key)
    }

    pub(crate) fn core(&self) -> PathBuf {
        self.folder.path().join("core")
    }

    /// Runs `memdump process PID -o core` with further arguments.
    pub(crate) fn dump(&self, arguments: &[&str]) -> Output {
        let mut command = memdump();
        command.args(["process", &self.pid(), "--overwrite", "-o"]).arg(self.core());
        command.args(arguments).output().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a program that is blocked on its output, and gives it time to see the signal before the output is read.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
    within_reason("the signal is taken", || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let pending = status.lines().find(|line| line.starts_with("ShdPnd:")).unwrap();
        pending.ends_with("\t0000000000000000")
    });
    thread::sleep(Duration::from_millis(100));
}

/// Waits until `is_so` returns true, for as long as a busy machine may need.
pub(crate) fn within_reason(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not come to be: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn memdump() -> Command {
    Command::new(env!("CARGO_BIN_EXE_memdump"))
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns true if the user may read mapped files whose pages are in no page table. Only root may read `/proc/PID/map_files`.
pub(crate) fn may_read_mapped_files() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asserts that a command dumped all of a target that has shared memory outside its page table. For a user who may not read that
/// memory, asserts that the command says so and that nothing else is missing.
pub(crate) fn took_all_it_may(output: &Output) {
    let (status, missing) = if may_read_mapped_files() { (0, 0) } else { (3, 1) };
    assert_eq!(output.status.code(), Some(status), "{}", said(output));
    let because = "not in the page table, and its file cannot be read in its place";
    assert_eq!(said(output).matches(because).count(), missing, "{}", said(output));
}

/// A core that is read by hand. For each segment: the address, the size in memory, the bytes.
pub(crate) struct Core(Vec<(u64, u64, Vec<u8>)>);

impl Core {
    pub(crate) fn open(path: &Path) -> Self {
        use std::os::unix::fs::FileExt;
        let file = fs::File::open(path).unwrap();
        let read = |at: u64, len: usize| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).unwrap();
            bytes
        };
        let word =
            |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let head = read(0, 64);
        let count = u16::from_le_bytes([head[56], head[57]]);
        let headers = (0..u64::from(count)).map(|index| read(64 + 56 * index, 56));
        let segments = headers.filter(|header| header[0] == 1).map(|header| {
            let len = word(&header, 32).min(1 << 30);
            (word(&header, 16), word(&header, 40), read(word(&header, 8), len as usize))
        });
        Self(segments.collect())
    }

    /// The page at an address. `None` if the core has no content for it.
    pub(crate) fn page(&self, addr: u64) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, _, bytes)| {
            let at = usize::try_from(addr.checked_sub(*start)?).ok()?;
            bytes.get(at..at + PAGE as usize)
        })
    }

    /// The number of pages of a range that hold the pattern.
    pub(crate) fn patterned(&self, (start, len): (u64, u64)) -> usize {
        (start..start + len)
            .step_by(PAGE as usize)
            .filter(|&addr| self.page(addr).is_some_and(|page| is_patterned(addr, page)))
            .count()
    }
}

/// Returns true if each word of a page is its own address.
pub(crate) fn is_patterned(addr: u64, page: &[u8]) -> bool {
    let (words, _) = page.as_chunks::<8>();
    words.iter().zip((addr..).step_by(8)).all(|(word, addr)| u64::from_le_bytes(*word) == addr)
}
