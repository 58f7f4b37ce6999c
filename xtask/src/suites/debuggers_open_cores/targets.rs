//! The programs that are dumped: a known chain of calls in each, that ends in a wait.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command;

const LIMIT: Duration = Duration::from_secs(300);

/// A program to dump.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    /// Its source in `xtask/targets`.
    source: &'static str,
    /// The shell command that builds it, with `$SOURCE` and `$OUT`. Empty if the source is run as it is.
    build: &'static str,
    /// True if it still has symbols.
    pub(super) is_stripped: bool,
    /// The fewest threads that it has.
    pub(super) threads: usize,
    /// Functions that must be in some backtrace, innermost first; none in a stripped program.
    pub(super) calls: &'static [&'static str],
    /// True if SIGABRT makes the kernel dump it while it waits: Go's runtime handles the signal itself.
    pub(super) kernel_dumps: bool,
}

const DEEP: Target = Target {
    name: "",
    source: "deep.c",
    build: "",
    is_stripped: false,
    threads: 1,
    calls: &["gamma_waits", "beta_calls", "main"],
    kernel_dumps: true,
};

pub(super) const TARGETS: &[Target] = &[
    Target { name: "c-pie", build: "gcc -g -O1 -pie -fPIE -o $OUT $SOURCE", ..DEEP },
    Target { name: "c-no-pie", build: "gcc -g -O1 -no-pie -o $OUT $SOURCE", ..DEEP },
    Target { name: "c-static", build: "gcc -g -O1 -static -o $OUT $SOURCE", ..DEEP },
    Target {
        name: "c-stripped",
        build: "gcc -O1 -o $OUT $SOURCE && strip $OUT",
        is_stripped: true,
        calls: &[],
        ..DEEP
    },
    Target { name: "c-32-bit", build: "gcc -m32 -g -O1 -o $OUT $SOURCE", ..DEEP },
    Target {
        name: "c++-64-threads",
        source: "threads.cpp",
        build: "g++ -g -O1 -pthread -o $OUT $SOURCE",
        threads: 64,
        calls: &["wait", "descend"],
        ..DEEP
    },
    Target {
        name: "rust",
        source: "deep.rs",
        build: "rustc -g -O -o $OUT $SOURCE",
        threads: 2,
        calls: &["gamma_waits", "beta_calls"],
        ..DEEP
    },
    Target {
        name: "go",
        source: "deep.go",
        build: "HOME=$(dirname $OUT) go build -o $OUT $SOURCE",
        threads: 4,
        calls: &["main.gammaWaits", "main.betaCalls"],
        kernel_dumps: false,
        ..DEEP
    },
    Target { name: "python", source: "deep.py", threads: 2, is_stripped: true, calls: &[], ..DEEP },
];

/// A target that runs and waits. It is killed when this is dropped.
pub(super) struct Running {
    child: Child,
    pub(super) program: PathBuf,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.child.wait().context("wait for the target").map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Target {
    /// Builds it into `folder` and starts it there, with cores allowed; returns when it waits.
    pub(super) fn start(&self, folder: &Path) -> Result<Running> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(self.source);
        let (program, run) = match self.build {
            "" => {
                let python = fs::canonicalize("/usr/bin/python3").context("find python3")?;
                let mut run = Command::new(&python);
                run.arg(&source);
                (python, run)
            }
            build => {
                let program = folder.join(format!("{}.program", self.name));
                let mut sh = Command::new("sh");
                sh.args(["-ec", build]).env("SOURCE", &source).env("OUT", &program);
                command::run(&mut sh, LIMIT).with_context(|| format!("build {}", self.source))?;
                let run = Command::new(&program);
                (program, run)
            }
        };
        // `ulimit` is the shell's; with `exec` the target is the child itself.
        let mut sh = Command::new("sh");
        sh.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(run.get_program());
        sh.args(run.get_args()).current_dir(folder).stdout(Stdio::piped()).process_group(0);
        let mut child = sh.spawn().context("start the target")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let running = Running { child, program };
        let said = lines.next().context("the target ended")?.context("read its output")?;
        ensure!(said == "ready", "the target said {said}");
        // From saying so to waiting is a moment more.
        std::thread::sleep(Duration::from_millis(100));
        Ok(running)
    }
}
