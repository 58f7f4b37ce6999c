//! The programs that open cores, and what they print of the threads' calls. Each gives the stacks as lists of frames, an address or
//! a name or both, sorted, so that the order and the numbering of threads do not matter.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(120);

/// The stacks of all threads: the frames of each, innermost first.
pub(super) type Stacks = Vec<Vec<String>>;

/// A program that prints backtraces.
pub(super) struct Debugger {
    pub(super) name: &'static str,
    pub(super) stacks: fn(&Path, &Path) -> Result<Stacks>,
    /// True if it can open cores of 32-bit programs.
    pub(super) opens_32_bit: bool,
}

pub(super) const DEBUGGERS: &[Debugger] = &[
    Debugger { name: "gdb", stacks: gdb, opens_32_bit: true },
    Debugger { name: "eu-stack", stacks: eu_stack, opens_32_bit: true },
    Debugger { name: "lldb", stacks: lldb, opens_32_bit: true },
    Debugger { name: "drgn", stacks: drgn, opens_32_bit: false },
];

fn gdb(program: &Path, core: &Path) -> Result<Stacks> {
    let mut gdb = Command::new("gdb");
    gdb.args([
        "-nx",
        "-batch",
        "-ex",
        "set pagination off",
        "-ex",
        "set print frame-arguments none",
    ]);
    gdb.args(["-ex", "set print address on", "-ex", "thread apply all -s backtrace"]);
    let printed = command::run(gdb.arg(program).arg(core), LIMIT)?;
    stacks(
        &printed,
        |line| line.starts_with("Thread "),
        |line| {
            let frame = line.strip_prefix('#')?.split_once(' ')?.1.trim_start();
            Some(frame.split(" (").next()?.to_owned())
        },
    )
}

fn eu_stack(program: &Path, core: &Path) -> Result<Stacks> {
    let mut stack = Command::new("eu-stack");
    stack.arg("--core").arg(core).arg("--executable").arg(program);
    // It ends with 1 where a stack does not end as it should, and prints all the same.
    let done = command::finish(&mut stack, LIMIT)?;
    stacks(
        &done.stdout,
        |line| line.starts_with("TID "),
        |line| Some(line.strip_prefix('#')?.split_once(' ')?.1.trim().to_owned()),
    )
}

fn lldb(program: &Path, core: &Path) -> Result<Stacks> {
    let mut lldb = Command::new("lldb");
    lldb.args(["--no-lldbinit", "--batch", "--one-line", "thread backtrace all", "--core"]);
    let printed = command::run(lldb.arg(core).arg(program), LIMIT)?;
    stacks(
        &printed,
        |line| line.trim_start_matches(['*', ' ']).starts_with("thread #"),
        |line| {
            let line = line.trim_start_matches(['*', ' ']);
            let frame = line.strip_prefix("frame #")?.split_once(": ")?.1;
            Some(frame.split('(').next()?.trim_end().to_owned())
        },
    )
}

fn drgn(program: &Path, core: &Path) -> Result<Stacks> {
    const SCRIPT: &str = "\
import sys, drgn
program = drgn.Program()
program.set_core_dump(sys.argv[2])
try:
    program.load_debug_info([sys.argv[1]], default=True)
except drgn.MissingDebugInfoError:
    pass
for thread in program.threads():
    print('thread')
    for frame in thread.stack_trace():
        try:
            address = hex(frame.pc)
        except LookupError:
            address = '?'
        print('frame', address, frame.name or '')
";
    let mut drgn = Command::new(setup::venv()?);
    let printed = command::run(drgn.arg("-c").arg(SCRIPT).arg(program).arg(core), LIMIT)?;
    stacks(&printed, |line| line == "thread", |line| Some(line.strip_prefix("frame ")?.to_owned()))
}

/// The stacks in what was printed: each begins with a line that `begins` knows.
fn stacks(
    printed: &str,
    begins: fn(&str) -> bool,
    frame: fn(&str) -> Option<String>,
) -> Result<Stacks> {
    let mut stacks = Stacks::new();
    for line in printed.lines() {
        if begins(line) {
            stacks.push(Vec::new());
        } else if let (Some(stack), Some(frame)) = (stacks.last_mut(), frame(line)) {
            // What comes before the first thread is the one that is shown on opening.
            stack.push(frame);
        }
    }
    ensure!(!stacks.is_empty(), "it prints no stack:\n{printed}");
    stacks.sort();
    Ok(stacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_found_and_sorted() {
        let printed = "noise\nTID 7:\n#0  0x2 b\n#1  0x3 c\nTID 5:\n#0  0x1 a\n";
        let found = stacks(
            printed,
            |line| line.starts_with("TID "),
            |line| Some(line.strip_prefix('#')?.split_once(' ')?.1.trim().to_owned()),
        );
        assert_eq!(found.unwrap(), [vec!["0x1 a"], vec!["0x2 b", "0x3 c"]]);
        assert!(stacks("nothing", |_| false, |_| None).is_err());
    }
}
