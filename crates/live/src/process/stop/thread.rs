//! The record of a stopped thread.

use memdump_image::Registers;

/// A thread that is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoppedThread {
    /// Its number (PID or TID).
    pub tid: u32,
    /// Its registers. None on an architecture that [`Arch`](memdump_image::Arch) does not know.
    pub registers: Option<Registers>,
    /// The `siginfo_t`, 128 bytes, of the signal that it stands at.
    pub signal: Option<Vec<u8>>,
    /// The signals that it blocks; bit 0 is signal 1.
    pub blocked: u64,
    /// The reason why it is stopped.
    pub halt: Halt,
}

/// The reason why a thread is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Halt {
    /// Only at our interruption.
    Interrupted,
    /// Job control has stopped its process, by this signal; it stays stopped afterwards.
    JobControl(i32),
    /// Before the delivery of this signal, which it gets when it goes on.
    Signal(i32),
}
