//! A system call instruction in the target's own code.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::process::stop::memory::Memory;
use crate::process::stop::status;
use crate::process::stop::user_regs::UserRegs;

/// `syscall`.
const INSTRUCTION: [u8; 2] = [0x0f, 0x05];
/// Read at a time.
const BLOCK: usize = 64 << 10;
/// Code is searched up to here, so that a process of gigabytes of it is not read through.
const MOST: u64 = 64 << 20;

/// The address where the thread can make a system call: where it is in one, in the vdso, or anywhere in executable memory.
pub(super) fn find(tid: u32, registers: &UserRegs, memory: &Memory) -> Option<u64> {
    if registers.syscall().is_some() {
        let before = registers.instruction().wrapping_sub(2);
        let mut bytes = [0; 2];
        if memory.read(before, &mut bytes) && bytes == INSTRUCTION {
            return Some(before);
        }
    }
    let mut ranges = Vec::new();
    for line in BufReader::new(File::open(status::file(tid, "maps")).ok()?).lines() {
        let line = line.ok()?;
        if let Some(range) = executable(&line) {
            if line.ends_with("[vdso]") {
                ranges.insert(0, range);
                break;
            }
            ranges.push(range);
        }
    }
    let mut left = MOST;
    ranges.into_iter().find_map(|(start, end)| search(memory, start, end, &mut left))
}

/// The half-open range of a line of `maps` if it may be read and executed.
fn executable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    // The vsyscall page is executable in name only.
    let usable = rest.starts_with('r') && rest.as_bytes().get(2) == Some(&b'x');
    (usable && !line.ends_with("[vsyscall]")).then(|| Some((address(start)?, address(end)?)))?
}

fn search(memory: &Memory, start: u64, end: u64, left: &mut u64) -> Option<u64> {
    let mut block = vec![0; BLOCK];
    let mut addr = start;
    while addr < end && *left > 0 {
        let len = usize::try_from(end - addr).map_or(BLOCK, |len| len.min(BLOCK));
        *left = left.saturating_sub(len as u64);
        if memory.read(addr, &mut block[..len])
            && let Some(at) = block[..len].windows(2).position(|pair| pair == INSTRUCTION)
        {
            return Some(addr + at as u64);
        }
        // One that stands across two blocks is missed; there are others.
        addr += len as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_executable_mappings() {
        let line = "7fff8000-7fff9000 r-xp 00000000 00:00 0          [vdso]";
        assert_eq!(executable(line), Some((0x7fff_8000, 0x7fff_9000)));
        assert_eq!(executable("1000-2000 r--p 0 00:00 0"), None);
        assert_eq!(executable("1000-2000 --xp 0 00:00 0"), None);
        assert_eq!(executable("ffffffffff600000-ffffffffff601000 r-xp 0 0:0 0 [vsyscall]"), None);
    }
}
