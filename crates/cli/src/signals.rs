//! SIGINT, SIGTERM and SIGHUP end a command in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// How long a write that is stuck in a pipe may keep the program from ending.
const GRACE: Duration = Duration::from_secs(3);

/// Whether a pager has the terminal, and SIGINT is its own.
static IS_PAGED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT is no request to stop: it is for the pager, which goes on after it.
pub(crate) fn leave_interrupt_to_pager() -> io::Result<()> {
    IS_PAGED.store(true, Ordering::Relaxed);
    // It would end the program where nobody watches for it.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Set when a signal asks to stop.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Watches for the signals from now on. A second one, or a grace period during which the copy
    /// does not end, ends the program at once; a partial file keeps its partial name.
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

    /// An error where a signal asks to stop, to end what goes on.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.is_set() {
            true => Err(io::Error::other("stopped by a signal")),
            false => Ok(()),
        }
    }
}
