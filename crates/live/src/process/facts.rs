//! The facts about a process that `/proc` has beside its memory.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use memdump_image::{Arch, ProcessFacts, Thread};

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
        arch: Program::of(folder).and_then(|program| program.arch).or(Arch::here()),
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

/// The ELF header of a process's executable. A kernel of 64 bits runs programs of 32 bits too.
pub(super) struct Program {
    pub(super) arch: Option<Arch>,
    /// True if its class is ELFCLASS32: so is that of x32 programs, whose architecture is x86-64.
    pub(super) is_32_bit: bool,
}

impl Program {
    /// That of the process in `folder`; none when its executable cannot be read.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let mut header = [0; 20];
        fs::File::open(folder.join("exe"))
            .and_then(|mut file| file.read_exact(&mut header))
            .ok()?;
        Self::parse(&header)
    }

    /// Takes apart the start of a little-endian `Elf64_Ehdr`, which is that of an `Elf32_Ehdr` too: `EI_CLASS`
    /// is byte 4, `EI_DATA` byte 5, `e_machine` stands at 18.
    fn parse(header: &[u8; 20]) -> Option<Self> {
        let is_32_bit = match header[..6] {
            [0x7f, b'E', b'L', b'F', 1, 1] => true,
            [0x7f, b'E', b'L', b'F', 2, 1] => false,
            _ => return None,
        };
        let machine = u16::from_le_bytes([header[18], header[19]]);
        Some(Self { arch: Arch::from_elf_machine(machine, !is_32_bit), is_32_bit })
    }
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_was_built_for() {
        let program = |class: u8, machine: u8| {
            let mut header = [0; 20];
            header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
            header[18] = machine;
            Program::parse(&header).map(|program| (program.arch, program.is_32_bit))
        };
        assert_eq!(program(2, 62), Some((Some(Arch::X86_64), false)));
        assert_eq!(program(1, 62), Some((Some(Arch::X86_64), true))); // x32
        assert_eq!(program(1, 3), Some((Some(Arch::X86), true)));
        assert_eq!(program(1, 40), Some((Some(Arch::Arm), true)));
        assert_eq!(program(3, 62), None);
        let own = Program::of(Path::new("/proc/self")).expect("this test's own executable");
        assert_eq!(own.arch, Arch::here());
    }
}
