//! What is noted of a thread that was stopped.

use memdump_image::Registers;

/// A thread that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoppedThread {
    /// Its number.
    pub tid: u32,
    /// Its registers. None on an architecture that [`Arch`](memdump_image::Arch) does not know.
    pub registers: Option<Registers>,
    /// The `siginfo_t`, 128 bytes, of the signal that it stands at.
    pub signal: Option<Vec<u8>>,
    /// The signals that it blocks; bit 0 is signal 1.
    pub blocked: u64,
    /// What it stands at.
    pub halt: Halt,
}

/// What a thread stands at.
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
