//! System calls that answer EINTR when their thread is stopped and goes on, though no signal was handled
//! (`signal(7)`, "Interruption of system calls … by stop signals"). Most are made again by the kernel; for these few
//! it must be asked to, or a program that takes EINTR for a failure would see one.
//!
//! They begin their wait anew. Where that could make a long wait much longer, EINTR is the lesser
//! harm and stays: that is what every other stop gives them.

use std::time::Duration;

use super::user_regs::UserRegs;

/// A limited wait longer than this is not begun anew.
const LONGEST: Duration = Duration::from_secs(10);

/// The place of a system call's time limit.
enum Limit {
    /// It waits without one.
    None,
    /// In milliseconds, in this argument; negative means none.
    Milliseconds(usize),
    /// In the `struct timespec` that this argument points to; a null pointer means none.
    Timespec(usize),
}

/// The registers that make the kernel restart the call, if it has just failed with EINTR and should be
/// restarted. A handler that is due to run gets to run, and then it is EINTR after all.
///
/// `word` reads the target's memory.
pub(crate) fn mended(
    registers: &UserRegs,
    mut word: impl FnMut(u64) -> Option<u64>,
) -> Option<UserRegs> {
    let number = i64::try_from(registers.syscall()?).ok()?;
    if registers.result() != -i64::from(libc::EINTR) {
        return None;
    }
    let limit = match number {
        libc::SYS_semop => Limit::None,
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => Limit::Milliseconds(3),
        libc::SYS_epoll_pwait2 | libc::SYS_semtimedop => Limit::Timespec(3),
        libc::SYS_rt_sigtimedwait => Limit::Timespec(2),
        libc::SYS_io_getevents => Limit::Timespec(4),
        _ => return None,
    };
    let wait = match limit {
        Limit::None => None,
        Limit::Milliseconds(argument) => {
            // An int: the upper half of the register is not looked at.
            let milliseconds = registers.argument(argument) as u32 as i32;
            u64::try_from(milliseconds).ok().map(Duration::from_millis)
        }
        Limit::Timespec(argument) => match registers.argument(argument) {
            0 => None,
            addr => Some(timespec(&mut word, addr)?),
        },
    };
    wait.is_none_or(|wait| wait <= LONGEST).then(|| registers.restarting())
}

/// Two words: seconds and nanoseconds.
fn timespec(mut word: impl FnMut(u64) -> Option<u64>, addr: u64) -> Option<Duration> {
    let seconds = word(addr)?;
    let nanoseconds = word(addr.checked_add(8)?)?;
    Some(Duration::new(seconds, u32::try_from(nanoseconds).ok().filter(|&n| n < 1_000_000_000)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use memdump_image::{Arch, Registers};

    fn after(number: i64, result: i64, arguments: [u64; 6]) -> UserRegs {
        let mut words = [0_u64; 27];
        (words[15], words[10]) = (number.cast_unsigned(), result.cast_unsigned());
        for (index, argument) in [14, 13, 12, 7, 9, 8].into_iter().zip(arguments) {
            words[index] = argument;
        }
        let bytes = words.map(u64::to_ne_bytes).as_flattened().to_vec();
        UserRegs::of(&Registers::new(Arch::X86_64, bytes)).expect("27 words")
    }

    #[test]
    fn endless_and_short_waits_are_begun_anew() {
        let restarts = |registers: &UserRegs, word: fn(u64) -> Option<u64>| {
            mended(registers, word).is_some_and(|mended| mended.restarts())
        };
        let epoll = |timeout: i32, result| {
            after(libc::SYS_epoll_wait, result, [3, 0, 1, timeout as u32 as u64, 0, 0])
        };
        assert!(restarts(&epoll(-1, -4), |_| None));
        assert!(restarts(&epoll(10_000, -4), |_| None));
        assert!(!restarts(&epoll(10_001, -4), |_| None));
        assert!(!restarts(&epoll(-1, 0), |_| None));
        assert!(!restarts(&epoll(-1, -11), |_| None));

        let wait = |limit| after(libc::SYS_rt_sigtimedwait, -4, [1, 2, limit, 8, 0, 0]);
        assert!(restarts(&wait(0), |_| None));
        assert!(restarts(&wait(0x1000), |addr| Some(addr - 0x1000)));
        assert!(!restarts(&wait(0x1000), |addr| Some(11 - (addr - 0x1000))));
        assert!(!restarts(&wait(0x1000), |_| None));
        assert!(!restarts(&after(libc::SYS_read, -4, [0; 6]), |_| None));
    }
}
