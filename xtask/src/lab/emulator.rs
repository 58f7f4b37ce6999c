//! A flaw of the emulator, and what is done about it. Not of the machines in it: those are `machine` and `guest`.
//!
//! QEMU before 8.1, Debian 12's among them, may go on running an instruction that another virtual CPU is just replacing. The kernel
//! replaces its own instructions by way of a breakpoint, and so a guest now and then dies of a breakpoint that is long gone. Nothing in a
//! guest can cause that, the command under test included: it writes into no code.

use anyhow::Result;

/// The kernel's report of a breakpoint that it knows nothing of.
const STALE_BREAKPOINT: &str = "Oops: int3";
/// The most attempts at something.
const ATTEMPTS: usize = 3;

/// Does `run`, and does it from its beginning again when the emulator failed it, which is said.
///
/// # Errors
/// Those of `run`, with every other cause at once.
pub(crate) fn despite_the_emulator<T>(mut run: impl FnMut() -> Result<T>) -> Result<T> {
    repeat(&mut run, |message| message.contains(STALE_BREAKPOINT))
}

/// The same for what only waits until a guest is up: nothing under test has run by then, and so every cause is the laboratory's.
pub(super) fn until_it_boots<T>(mut boot: impl FnMut() -> Result<T>) -> Result<T> {
    repeat(&mut boot, |_| true)
}

fn repeat<T>(run: &mut impl FnMut() -> Result<T>, again: impl Fn(&str) -> bool) -> Result<T> {
    for attempt in 1.. {
        match run() {
            Err(error) if attempt < ATTEMPTS && again(&format!("{error:#}")) => {
                println!("the laboratory begins again: {error:#}");
            }
            result => return result,
        }
    }
    unreachable!("the last attempt returns")
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    /// The number of runs of something that fails the first `failures` times with `message`, and whether it succeeds.
    fn runs(failures: usize, message: &str) -> (usize, bool) {
        let mut runs = 0;
        let result = despite_the_emulator(|| {
            runs += 1;
            match runs <= failures {
                true => bail!("{message}"),
                false => Ok(()),
            }
        });
        (runs, result.is_ok())
    }

    #[test]
    fn only_the_emulators_own_failure_begins_again() {
        assert_eq!(runs(0, ""), (1, true));
        assert_eq!(runs(1, "boot\n[    1.2] Oops: int3: 0000 [#2] PREEMPT SMP"), (2, true));
        assert_eq!(runs(9, "Oops: int3: 0000"), (3, false));
        assert_eq!(runs(1, "Oops: general protection fault"), (1, false));
    }
}
