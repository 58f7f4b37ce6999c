//! The same process in four cores: every program finds the same calls in ours as in gcore's and in the kernel's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::cores;
use super::debuggers::{DEBUGGERS, Stacks};
use super::targets::Target;
use crate::command;

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn check(target: &Target, memdump: &Path, folder: &Path) -> Result<String> {
    let mut running = target.start(folder)?;
    let pid = running.pid();
    let is_32_bit = target.name.ends_with("32-bit");
    let mut made: Vec<(&str, PathBuf)> = vec![("stop", cores::ours(memdump, pid, "stop", folder)?)];
    if !is_32_bit {
        made.push(("snapshot", cores::ours(memdump, pid, "snapshot", folder)?));
    }
    let mut peers = vec![("gcore", cores::gcore(pid, folder)?)];
    if target.kernel_dumps {
        peers.push(("the kernel", cores::kernel(&mut running, folder)?));
    }

    for (whose, core) in made.iter().chain(&peers) {
        is_read(memdump, pid, core).with_context(|| format!("read the core of {whose}"))?;
    }
    let mut agreed = Vec::new();
    for debugger in DEBUGGERS {
        if is_32_bit && !debugger.opens_32_bit {
            continue;
        }
        let open = |core: &Path| (debugger.stacks)(&running.program, core);
        let expected: Vec<(&str, Result<Stacks>)> =
            peers.iter().map(|(peer, core)| (*peer, open(core))).collect();
        for (pause, core) in &made {
            let ours = open(core);
            for (peer, expected) in &expected {
                let (Ok(ours), Ok(expected)) = (&ours, expected) else {
                    // What it does not open of theirs either, it need not open of ours.
                    if let (Err(error), Err(_)) = (&ours, expected) {
                        let name = debugger.name;
                        println!("  {name} opens neither ours nor that of {peer}: {error:#}");
                        continue;
                    }
                    let (whose, error) = match (&ours, expected) {
                        (Err(error), _) => ("ours", error),
                        (_, Err(error)) => (*peer, error),
                        _ => unreachable!("one of them is an error"),
                    };
                    bail!("{} opens only one of two; of {whose}: {error:#}", debugger.name);
                };
                ensure!(
                    ours == expected,
                    "{} finds in ours (--pause {pause}) and in that of {peer}:\n{}",
                    debugger.name,
                    difference(ours, expected)
                );
            }
            // lldb 14 loses its way in the 32-bit vdso, in every core.
            let is_lost = is_32_bit && debugger.name == "lldb";
            if let (Ok(ours), false) = (&ours, is_lost) {
                judge(target, ours).with_context(|| format!("{} on ours", debugger.name))?;
            }
        }
        agreed.push(debugger.name);
    }
    let peers: Vec<&str> = peers.iter().map(|(peer, _)| *peer).collect();
    Ok(format!(
        "backtraces of {}: {} print the same from ours as from {}",
        target.name,
        agreed.join(", "),
        peers.join(" and "),
    ))
}

/// memdump reads all of a core, whichever program wrote it, and finds the process that it is of.
fn is_read(memdump: &Path, pid: u32, core: &Path) -> Result<()> {
    let mut info = Command::new(memdump);
    let said = command::run(info.args(["info", "--scan", "--json"]).arg(core), LIMIT)?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(said["process"]["pid"] == pid, "memdump reads the process {}", said["process"]);
    ensure!(said["damage"] == json!([]), "memdump finds damage: {}", said["damage"]);
    ensure!(said["present"].as_u64() > Some(4096), "memdump finds {} bytes", said["present"]);
    Ok(())
}

/// The facts of the target that are known without a core.
fn judge(target: &Target, stacks: &Stacks) -> Result<()> {
    ensure!(stacks.len() >= target.threads, "{} of {} threads", stacks.len(), target.threads);
    if target.is_stripped {
        return Ok(());
    }
    let has_all = |stack: &Vec<String>| {
        let mut frames = stack.iter();
        target.calls.iter().all(|call| frames.any(|frame| frame.contains(call)))
    };
    ensure!(stacks.iter().any(has_all), "no stack has {:?}:\n{stacks:#?}", target.calls);
    Ok(())
}

/// The first stacks that differ.
fn difference(ours: &Stacks, theirs: &Stacks) -> String {
    let only = |these: &Stacks, those: &Stacks| {
        let only = these.iter().find(|stack| !those.contains(stack));
        only.map_or("nothing more".to_owned(), |stack| stack.join("\n    "))
    };
    format!(
        "  {} and {} stacks; only in ours:\n    {}\n  only in theirs:\n    {}",
        ours.len(),
        theirs.len(),
        only(ours, theirs),
        only(theirs, ours)
    )
}
