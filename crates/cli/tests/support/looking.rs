//! Set-up shared by the tests of commands that search and show memory: processes, files, and the programs whose results are
//! compared.

#![allow(dead_code, reason = "each test uses some of it")]

#[path = "programs.rs"]
mod programs;

#[allow(clippy::duplicate_mod, reason = "a test may have both files that need it")]
#[path = "status.rs"]
mod status;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) use laid_out::lime_record as lime;
use programs::started;
use tempfile::TempDir;

/// A program that waits. It is killed when this is dropped.
pub(crate) struct Waiting {
    pub(crate) child: Child,
    /// Its first line of output.
    pub(crate) said: String,
}

impl Waiting {
    fn start(program: &str, command: &mut Command) -> Self {
        let mut child = started(program, command.stdout(Stdio::piped()).spawn());
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        Self { child, said: said.trim().to_owned() }
    }

    /// Starts Python, which runs `script`, prints a line and waits.
    pub(crate) fn python(script: &str) -> Self {
        let script = format!("import ctypes, time\n{script}\ntime.sleep(600)\n");
        Self::start("python3", Command::new("python3").args(["-c", &script]))
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// A value of the process's status, in kB.
    pub(crate) fn status(&self, key: &str) -> u64 {
        status::status(&self.pid(), key)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python process with various texts in its memory.
pub(crate) fn python_with_texts() -> Waiting {
    Waiting::python(
        "names = ['user %d at 10.0.%d.%d' % (i, i % 7, i % 251) for i in range(20000)]\n\
         wide = ['wide text %d \\u20ac' % i for i in range(5000)]\n\
         raw = [('utf-16 text %d' % i).encode('utf-16le') for i in range(5000)]\n\
         big = [('utf-32 text %d' % i).encode('utf-32be') for i in range(5000)]\n\
         print('ready', flush=True)",
    )
}

/// A C++ program with various texts in its memory.
fn cpp_with_texts(folder: &Path) -> Waiting {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets/words.cc");
    let program = folder.join("words");
    let status = Command::new("c++").args(["-O1", "-o"]).arg(&program).arg(source).status();
    assert!(started("c++", status).success());
    Waiting::start("words", &mut Command::new(program))
}

/// The files that programs are compared on: cores of Python and of a C++ program, an image of a machine,
/// random bytes, and bytes made to mislead.
pub(crate) struct Files {
    pub(crate) folder: TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (name, process) in
            [("python.core", python_with_texts()), ("cpp.core", cpp_with_texts(folder.path()))]
        {
            let path = folder.path().join(name);
            let output = memdump().args(["process", &process.pid(), "-o"]).arg(&path).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", said(&output));
            paths.push(path);
        }
        for (name, bytes) in [("random", random()), ("misleading", misleading())] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            paths.push(path);
        }
        Self { folder, paths }
    }
}

/// Pseudorandom bytes, the same in each run.
pub(crate) fn random() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(1 << 18).flatten().collect()
}

/// Bytes made to mislead: long runs, runs at the borders of blocks and pages, characters cut in the middle, encodings mixed.
fn misleading() -> Vec<u8> {
    let mut bytes = b"cut".to_vec();
    bytes.extend(vec![b'x'; 3 << 20]);
    bytes.push(0);
    for offset in 0..9 {
        bytes.resize(bytes.len().next_multiple_of(1 << 20) - 20 + offset, 0);
        bytes.extend("across the border".bytes().flat_map(|byte| [byte, 0]));
        bytes.resize(bytes.len().next_multiple_of(1 << 20) - 20 + offset, 0xff);
        bytes.extend("across the border".bytes().flat_map(|byte| [0, 0, 0, byte]));
        bytes.resize(bytes.len().next_multiple_of(4096) - offset, 1);
        bytes.extend(b"short\0abc\0\x7f\x80tab\tand more\n\xc3\xb6\xe2\x82\xac");
    }
    bytes.extend([b'a', 0].repeat(700_000));
    bytes.extend([0, b'b'].repeat(700_000));
    bytes.extend(b"abc");
    bytes
}

/// A LiME image of these address ranges, from start to end (exclusive), filled by `memory`.
pub(crate) fn lime_image(ranges: &[(u64, u64)], memory: fn(u64, u64) -> Vec<u8>) -> Vec<u8> {
    ranges.iter().flat_map(|&(start, end)| lime(start, &memory(start, end))).collect()
}

pub(crate) fn memdump() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
    command.stdin(Stdio::null());
    command
}

/// Runs the command on a file and captures its output.
pub(crate) fn run(args: &[&str], file: &Path) -> Output {
    memdump().args(args).arg(file).output().unwrap()
}

/// A program's standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON lines that a command prints.
pub(crate) fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Another program's output for a file.
pub(crate) fn printed(program: &str, args: &[&str], file: &Path) -> Vec<u8> {
    let mut command = Command::new(program);
    let output = command.args(args).arg(file).env("LC_ALL", "C").output();
    started(program, output).stdout
}
