//! A look into the target's memory, a few words at a time. The copy of it is not made with this.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::status;

/// The memory of a thread's process, through the thread's own directory: a leader that has ended has none.
pub(crate) struct Memory(File);

impl Memory {
    pub(crate) fn open(tid: u32) -> io::Result<Self> {
        File::open(status::file(tid, "mem")).map(Self)
    }

    /// Fills `buf` from `addr`; false when that is not possible.
    pub(crate) fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        self.0.read_exact_at(buf, addr).is_ok()
    }

    /// A word at `addr`.
    pub(crate) fn word(&self, addr: u64) -> Option<u64> {
        let mut word = [0; 8];
        self.read(addr, &mut word).then(|| u64::from_ne_bytes(word))
    }
}
