//! The reasons against a snapshot of a process, found out before anything is done to it.

use std::fs;

use super::cgroup::Groups;
use super::error::{Lack, SnapshotError};
use crate::process::stop::status::{self, Status};
use crate::sys::kcmp;

/// The bytes that a fork takes besides page tables: the kernel's own structures, mappings included.
const STRUCTURES: u64 = 4 << 20;
/// The copy, and the process that forks it.
const PROCESSES: u64 = 2;

/// Refuses what a fork would harm. `tid` is a living thread of the process.
pub(super) fn check(pid: u32, tid: u32, status: &Status) -> Result<(), SnapshotError> {
    let namespace = |name| fs::read_link(status::file(tid, name)).ok();
    // The second is empty until the namespace has its first process.
    let (own, children) = (namespace("ns/pid"), namespace("ns/pid_for_children"));
    if own.is_some() && own != children {
        return Err(SnapshotError::ChildNamespace { pid });
    }
    // The child of a vfork; its parent waits, but is not stopped by us. The parent of one never stops.
    if status.parent != 0 && kcmp::same_memory(tid, status.parent) == Ok(true) {
        return Err(SnapshotError::SharedMemory { pid, other: status.parent });
    }
    let groups = Groups::find(&fs::read_to_string(status::file(tid, "cgroup")).unwrap_or_default());
    if groups.frozen() {
        return Err(SnapshotError::Frozen { pid });
    }
    let needed = status.page_tables + STRUCTURES;
    let lack = groups.processes(PROCESSES).or_else(|| groups.memory(needed));
    match lack.or_else(|| machine_memory(needed)) {
        Some(lack) => Err(SnapshotError::NoRoom { pid, lack }),
        None => Ok(()),
    }
}

/// The lack of memory in the whole machine, if there is one.
fn machine_memory(needed: u64) -> Option<Lack> {
    let path = "/proc/meminfo";
    let text = fs::read_to_string(path).ok()?;
    let left = crate::proc::status::field(&text, "MemAvailable")?;
    let left = crate::proc::status::kilobytes(left)?;
    (left < needed).then(|| Lack::Memory { needed, left, limit: path.into() })
}

/// Returns true if a child that the process leaves behind goes to a process that waits for it: the first process
/// of its pid namespace does unless it was never meant to be one, as programs that were put first into
/// a container. One that asked for orphans (`PR_SET_CHILD_SUBREAPER`) and gets them instead, did so to wait.
pub(super) fn orphans_are_reaped(pid: u32, status: &Status) -> bool {
    let first = match status.namespace_pids.as_slice() {
        [.., 1] => return false,
        [] | [_] => Some(1),
        levels => first_of_namespace(pid, levels.len()),
    };
    first.and_then(|first| Status::read(first).ok()).is_some_and(|first| handles_children(&first))
}

/// The ancestor that is the first process in a namespace this deep.
fn first_of_namespace(pid: u32, depth: usize) -> Option<u32> {
    let mut pid = pid;
    loop {
        pid = Status::read(pid).ok()?.parent;
        let status = Status::read(pid).ok()?;
        if status.namespace_pids.len() != depth {
            return None;
        }
        if status.namespace_pids.last() == Some(&1) {
            return Some(pid);
        }
    }
}

/// Returns true if it handles SIGCHLD: catches it, ignores it (then the kernel reaps), or blocks it
/// to be told otherwise.
fn handles_children(status: &Status) -> bool {
    let bit = 1 << (libc::SIGCHLD - 1);
    (status.blocked | status.ignored | status.caught) & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_orphans() {
        let blocks = Status { blocked: 1 << 16, ..Status::default() };
        assert!(handles_children(&blocks));
        assert!(!handles_children(&Status { caught: 0x4e8, ..Status::default() }));
        let first = Status { namespace_pids: vec![77, 1], ..Status::default() };
        assert!(!orphans_are_reaped(77, &first));
    }
}
