//! The signals that end a command cleanly: SIGINT, SIGTERM and SIGHUP.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// The longest time that a write that is stuck in a pipe may keep the program from ending.
const GRACE: Duration = Duration::from_secs(3);

/// True if a pager has the terminal, and SIGINT is for the pager.
static IS_PAGED: AtomicBool = AtomicBool::new(false);

/// Makes this program ignore SIGINT from now on. The signal is for the pager, which continues after it.
pub(crate) fn leave_interrupt_to_pager() -> io::Result<()> {
    IS_PAGED.store(true, Ordering::Relaxed);
    // Without a handler, the signal would end the program.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false))).map(drop)
}

/// A flag that is set when a signal asks the command to stop.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Watches for the signals from now on. The program ends at once on a second signal, or when the copy has not ended within the
    /// grace period. A partial file then keeps its partial name.
    pub(crate) fn install() -> io::Result<Self> {
        let flag = Self::default();
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let seen = flag.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGINT && IS_PAGED.load(Ordering::Relaxed) {
                    continue;
                }
                if seen.0.swap(true, Ordering::Relaxed) {
                    std::process::exit(Exit::Failed as i32);
                }
                thread::spawn(|| {
                    thread::sleep(GRACE);
                    eprintln!("memdump: stopped by a signal while the output took no more bytes");
                    std::process::exit(Exit::Failed as i32);
                });
            }
        });
        Ok(flag)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error if a signal has asked the command to stop.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.is_set() {
            true => Err(io::Error::other("stopped by a signal")),
            false => Ok(()),
        }
    }
}
