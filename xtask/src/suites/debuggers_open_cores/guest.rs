//! Processes in conditions that take a kernel of our own: broken memory, a control group of version 2, threads of the kernel.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::lab::guest::Guest;
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;

/// The name by which they are asked for.
pub(super) const NAME: &str = "guest";

/// Boots a guest and proves them; a line for each.
pub(super) fn check(programs: &[Program]) -> Result<Vec<String>> {
    let mut guest = Guest::boot(Machine::new("6.12-process", Series::V6_12, 1024), programs)?;
    Ok(vec![poisoned(&mut guest)?, kernel_thread(&mut guest)?, cgroup(&mut guest)?])
}

/// The command's exit status and the JSON that it prints.
fn dump(guest: &mut Guest, arguments: &str) -> Result<(i32, Value)> {
    let done = guest.run(&format!("memdump process --json --overwrite -q {arguments}"))?;
    let told = serde_json::from_str(&done.stdout).with_context(|| done.stderr.clone())?;
    Ok((done.status, told))
}

fn poisoned(guest: &mut Guest) -> Result<String> {
    guest.demand("lab-guest poison 3 > /tmp/poisoned 2>&1 </dev/null & echo $! > /tmp/pid; sleep 1; test -s /tmp/poisoned")?;
    let pid = guest.demand("cat /tmp/pid")?;
    for pause in ["stop", "snapshot", "none"] {
        let (status, told) = dump(guest, &format!("{} --pause {pause} -o /tmp/core", pid.trim()))?;
        ensure!(status == 3, "--pause {pause} ends with {status}: {told}");
        let holes = told["processes"][0]["holes"].as_array().context("holes")?;
        ensure!(holes.len() == 1, "{} holes: {told}", holes.len());
        let len = holes[0]["end"].as_u64().zip(holes[0]["start"].as_u64());
        let len = len.map(|(end, start)| end - start);
        ensure!(len == Some(3 * 4096) && holes[0]["cause"] == "poisoned", "{told}");
    }
    Ok("poisoned: three broken pages cost three pages, in every way of pausing".into())
}

fn kernel_thread(guest: &mut Guest) -> Result<String> {
    let done = guest.run("memdump process 2 -o /tmp/core")?;
    ensure!(done.status == 1 && done.stderr.contains("thread of the kernel"), "{}", done.stderr);
    Ok(format!("kernel-thread: {}", done.stderr.trim()))
}

fn cgroup(guest: &mut Guest) -> Result<String> {
    let group = "/sys/fs/cgroup/three";
    guest.demand(&format!(
        "mkdir -p /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; mkdir {group}; \
         for i in 1 2 3; do sleep 1000 > /dev/null 2>&1 </dev/null & echo $! > {group}/cgroup.procs; done"
    ))?;
    let (status, told) = dump(guest, &format!("--cgroup {group} -o /tmp/cores"))?;
    ensure!(status == 0, "it ends with {status}: {told}");
    let count = told["processes"].as_array().map(Vec::len);
    ensure!(count == Some(3), "{count:?} processes: {told}");
    let events = guest.demand(&format!("cat {group}/cgroup.events"))?;
    ensure!(events.contains("frozen 0"), "the group stays frozen: {events}");
    // Frozen by somebody else, it is so afterwards.
    guest.demand(&format!("echo 1 > {group}/cgroup.freeze; sleep 1"))?;
    let (status, _) = dump(guest, &format!("--cgroup {group} -o /tmp/frozen"))?;
    let events = guest.demand(&format!("cat {group}/cgroup.events"))?;
    ensure!(status == 0 && events.contains("frozen 1"), "{status}: {events}");
    Ok("cgroup v2: frozen while its processes are stopped, and as it was afterwards".into())
}
