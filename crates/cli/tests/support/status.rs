//! The weight of a process, as `/proc` has it.

use std::fs;

/// A value of the status of process `pid`, in kB.
///
/// `VmRSS` is counted in the page table: the status has a sum of counters of each processor, which is off by some dozen pages
/// while they are not merged (`get_mm_counter` in `include/linux/mm.h`).
pub(crate) fn status(pid: &str, key: &str) -> u64 {
    let (file, key) = match key {
        "VmRSS" => ("smaps_rollup", "Rss:"),
        key => ("status", key),
    };
    let status = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
