//! Restartable sequences (`include/uapi/linux/rseq.h`, `kernel/rseq.c`). A thread that was interrupted within one must go on at
//! the sequence's abort handler. The kernel sees to that when the thread next runs, but finds it at the instruction of
//! an injected call then, and forgets the sequence; so it is done here, the same way.

use crate::process::stop::memory::Memory;
use crate::sys::ptrace;

/// Offset of `rseq_cs` in `struct rseq`: a pointer to the sequence that the thread is in, or null.
const CURRENT: u64 = 8;
/// Offsets of words in `struct rseq_cs`.
const START: usize = 8;
const LENGTH: usize = 16;
const ABORT: usize = 24;

/// The address where the thread must go on, if its next instruction is within a sequence.
pub(super) fn abort(tid: u32, instruction: u64, memory: &Memory) -> Option<u64> {
    let area = ptrace::rseq_configuration(tid).ok()?.pointer;
    let current = memory.word(area.checked_add(CURRENT)?).filter(|&addr| area != 0 && addr != 0)?;
    let mut sequence = [0; 32];
    memory.read(current, &mut sequence).then(|| handler(&sequence, instruction))?
}

/// The abort handler of a `struct rseq_cs`, if the instruction is in it.
fn handler(sequence: &[u8; 32], instruction: u64) -> Option<u64> {
    let word = |at: usize| {
        let (words, _) = sequence.as_chunks::<8>();
        u64::from_ne_bytes(words[at / 8])
    };
    (instruction.wrapping_sub(word(START)) < word(LENGTH)).then(|| word(ABORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_within_the_sequence() {
        let words = [0_u64, 0x1000, 0x20, 0x2000].map(u64::to_ne_bytes);
        let sequence: [u8; 32] = words.as_flattened().try_into().expect("32 bytes");
        assert_eq!(handler(&sequence, 0xfff), None);
        assert_eq!(handler(&sequence, 0x1000), Some(0x2000));
        assert_eq!(handler(&sequence, 0x101f), Some(0x2000));
        assert_eq!(handler(&sequence, 0x1020), None);
    }
}
