//! Facts about a process that a debugger needs beside its memory.

use std::fmt;
use std::time::Duration;

use super::Registers;
use crate::Arch;

/// A process at one instant. Names as in `proc_pid_stat(5)` and `core(5)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its number, as its own processes know it.
    pub pid: u32,
    /// The number of its parent.
    pub ppid: u32,
    /// Its process group.
    pub pgrp: u32,
    /// Its session.
    pub sid: u32,
    /// Its real user.
    pub uid: u32,
    /// Its real group.
    pub gid: u32,
    /// One letter: `R` running, `S` sleeping, `D`, `T`, `Z`.
    pub state: u8,
    /// From -20 to 19.
    pub nice: i8,
    /// `PF_` flags of the kernel.
    pub flags: u64,
    /// `comm`: at most 15 bytes.
    pub name: Vec<u8>,
    /// Its arguments, separated by blanks.
    pub arguments: Vec<u8>,
    /// The architecture of its program, which is not the machine's where a 64-bit kernel runs a 32-bit program. None
    /// where only the machine's is known.
    pub arch: Option<Arch>,
    /// The auxiliary vector, as the kernel laid it out.
    pub auxv: Vec<u8>,
    /// Its threads, the one of interest first. Empty where they were not stopped.
    pub threads: Vec<Thread>,
    /// The places of the parts of the extended registers (CPUID leaf 13).
    pub xsave_layout: Vec<XsaveComponent>,
}

/// A thread and its registers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub tid: u32,
    /// Its registers. None where their architecture is not one that [`Arch`] knows.
    pub registers: Option<Registers>,
    /// `siginfo_t` of the signal it was stopped by; none when it was none.
    pub signal: Option<Vec<u8>>,
    /// Signals that wait for it, a bit each, signal 1 lowest.
    pub pending: u64,
    /// Signals that it blocks.
    pub blocked: u64,
    /// Processor time in user mode.
    pub user_time: Duration,
    /// Processor time in the kernel.
    pub system_time: Duration,
}

/// Only what it is: registers are memory too.
impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("tid", &self.tid).finish_non_exhaustive()
    }
}

/// The place of a component of the extended registers, in the uncompacted layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XsaveComponent {
    /// Its number: the bit of XCR0.
    pub number: u32,
    /// In bytes.
    pub size: u32,
    /// In bytes, from the start of the area.
    pub offset: u32,
}
