//! `/proc/PID/status` and its neighbours, as far as stopping a process needs them.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::proc::status::field;

/// Some lines of a thread's status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The letter of its state: R, S, D, T, t, Z, X, I.
    pub(crate) state: char,
    /// Its process.
    pub(crate) tgid: u32,
    /// The parent of its process.
    pub(crate) parent: u32,
    /// The process that traces it; 0 when none does.
    pub(crate) tracer: u32,
    /// Real, effective, saved and file system user.
    pub(crate) users: [u32; 4],
    /// Real, effective, saved and file system group.
    pub(crate) groups: [u32; 4],
    /// It is a thread of the kernel (Linux 6.6 says so; before that there is no executable).
    pub(crate) kernel: Option<bool>,
    /// Permitted and effective capabilities.
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    /// Signals that are blocked, ignored and caught; bit 0 is signal 1.
    pub(crate) blocked: u64,
    pub(crate) ignored: u64,
    pub(crate) caught: u64,
    /// 0 none, 1 strict, 2 filter.
    pub(crate) seccomp: u32,
    /// Its numbers from our pid namespace down to its own.
    pub(crate) namespace_pids: Vec<u32>,
    /// Page tables, in bytes.
    pub(crate) page_tables: u64,
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
}

impl Status {
    /// Reads the status of a process or of any thread by its own number.
    pub(crate) fn read(tid: u32) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(file(tid, "status"))?))
    }

    /// Parses it. What is missing is 0 or empty.
    pub(crate) fn parse(text: &str) -> Self {
        let number = |key| field(text, key).and_then(|value| value.parse().ok()).unwrap_or(0);
        let hex = |key| {
            field(text, key).and_then(|value| u64::from_str_radix(value, 16).ok()).unwrap_or(0)
        };
        let numbers = |key| -> Vec<u32> {
            let words = field(text, key).unwrap_or("").split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let four = |key| numbers(key).try_into().unwrap_or_default();
        let bytes = |key| field(text, key).and_then(crate::proc::status::kilobytes).unwrap_or(0);
        Self {
            state: field(text, "State").and_then(|state| state.chars().next()).unwrap_or('?'),
            tgid: number("Tgid"),
            parent: number("PPid"),
            tracer: number("TracerPid"),
            users: four("Uid"),
            groups: four("Gid"),
            kernel: field(text, "Kthread").map(|value| value == "1"),
            permitted: hex("CapPrm"),
            effective: hex("CapEff"),
            blocked: hex("SigBlk"),
            ignored: hex("SigIgn"),
            caught: hex("SigCgt"),
            seccomp: number("Seccomp"),
            namespace_pids: numbers("NSpid"),
            page_tables: bytes("VmPTE"),
            resident: bytes("VmRSS"),
        }
    }
}

/// A file of a process, or of any thread by its own number.
pub(crate) fn file(tid: u32, name: &str) -> PathBuf {
    format!("/proc/{tid}/{name}").into()
}

/// The threads of a process, the leader first.
pub(crate) fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let mut tids = Vec::new();
    for entry in fs::read_dir(file(pid, "task"))? {
        tids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    tids.sort_unstable_by_key(|&tid| (tid != pid, tid));
    Ok(tids)
}

/// The state of a thread and its flags (`PF_…`, `include/linux/sched.h`), from its `stat` file.
pub(crate) fn state_and_flags(tid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(file(tid, "stat")).ok()?)
}

/// The name of the program stands in parentheses and may hold anything, more of them included.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(5)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_file() {
        let text = "Name:\ta b\nState:\tS (sleeping)\nTgid:\t7\nPPid:\t1\nTracerPid:\t3\n\
                    Uid:\t1\t2\t3\t4\nNSpid:\t7\t1\nVmRSS:\t      8 kB\nVmPTE:\t      40 kB\n\
                    SigBlk:\t0000000000010000\nSeccomp:\t2\nKthread:\t0\n";
        let status = Status::parse(text);
        assert_eq!((status.state, status.tgid, status.parent, status.tracer), ('S', 7, 1, 3));
        assert_eq!(status.users, [1, 2, 3, 4]);
        assert_eq!(status.namespace_pids, [7, 1]);
        assert_eq!((status.resident, status.page_tables), (8 << 10, 40 << 10));
        assert_eq!((status.blocked, status.seccomp, status.kernel), (1 << 16, 2, Some(false)));
        assert_eq!(Status::parse(""), Status { state: '?', ..Status::default() });
    }

    #[test]
    fn a_stat_file_with_a_hostile_name() {
        let text = "12 (a) R 1) S 1 2 3 4 5 4194304 0 0";
        assert_eq!(parse_stat(text), Some(('S', 4_194_304)));
        assert_eq!(parse_stat("12 (a"), None);
    }
}
