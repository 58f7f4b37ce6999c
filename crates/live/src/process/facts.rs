//! What `/proc` says of a process beside its memory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use memdump_image::{ProcessFacts, Thread};

use crate::proc::stat::Stat;
use crate::proc::status::field;
use crate::sys::cpuid;

/// Reads what is known of the process in `folder`. Its threads are for the one who stops them to add.
pub(super) fn read(pid: u32, folder: &Path, stat: &Stat) -> ProcessFacts {
    let status = text(&folder.join("status"));
    // Real, effective, saved, file system.
    let id = |key| -> Option<u32> { field(&status, key)?.split_whitespace().next()?.parse().ok() };
    let mut arguments = fs::read(folder.join("cmdline")).unwrap_or_default();
    while arguments.last() == Some(&0) {
        arguments.pop();
    }
    for byte in &mut arguments {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    ProcessFacts {
        pid,
        ppid: stat.ppid,
        pgrp: stat.pgrp,
        sid: stat.sid,
        uid: id("Uid").unwrap_or(0),
        gid: id("Gid").unwrap_or(0),
        state: stat.state,
        nice: stat.nice,
        flags: stat.flags,
        name: stat.name.clone(),
        arguments,
        is_32_bit: is_32_bit(folder),
        auxv: fs::read(folder.join("auxv")).unwrap_or_default(),
        threads: Vec::new(),
        xsave_layout: cpuid::xsave_layout(),
    }
}

/// Adds to a thread what `/proc` says of it: signals that wait, and times.
pub(super) fn complete(folder: &Path, thread: &mut Thread) {
    let task = folder.join(format!("task/{}", thread.tid));
    let status = text(&task.join("status"));
    let mask = |key| field(&status, key).and_then(|value| u64::from_str_radix(value, 16).ok());
    thread.pending = mask("SigPnd").unwrap_or(0);
    let times = stat(&task).map(|stat| (stat.user_time, stat.system_time));
    (thread.user_time, thread.system_time) = times.unwrap_or((Duration::ZERO, Duration::ZERO));
}

/// The stat file in `folder`, of a process or of one of its threads.
pub(super) fn stat(folder: &Path) -> Option<Stat> {
    Stat::parse(&fs::read(folder.join("stat")).ok()?, rustix::param::clock_ticks_per_second())
}

/// Whether its program is a 32-bit one: the class in the ELF header of its executable.
pub(super) fn is_32_bit(folder: &Path) -> bool {
    use std::io::Read;
    let mut ident = [0; 5];
    let read = fs::File::open(folder.join("exe")).and_then(|mut file| file.read_exact(&mut ident));
    read.is_ok() && ident == *b"\x7fELF\x01"
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
