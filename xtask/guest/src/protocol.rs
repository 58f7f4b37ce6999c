//! The control port: the host sends a [`Request`] as one line of JSON, the guest answers with a [`Response`] as one line of JSON,
//! followed by the bytes whose lengths the line states. Not for the image: that has a port of its own.

use serde::{Deserialize, Serialize};

/// Name of the virtio-serial port that carries requests and responses.
pub const CONTROL_PORT: &str = "lab.control";
/// Name of the virtio-serial port that carries images to a file of the host. In the guest it is [`DATA_PATH`].
pub const DATA_PORT: &str = "lab.data";
/// The path of the data port in the guest.
pub const DATA_PATH: &str = "/dev/lab-data";

/// A request of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run `command` with `sh -c` to its end; answered by [`Response::Ran`], then its stdout, then its stderr.
    Run {
        /// The text for `sh -c`.
        command: String,
        /// The user to run as; root when absent.
        uid: Option<u32>,
        /// Seconds after which the command and what it started is killed.
        limit: u64,
    },
    /// Start `lab-guest ARGUMENTS` and keep it; answered by [`Response::Held`] once it holds its memory.
    Hold {
        /// The arguments, the first of which is a holder's name.
        arguments: Vec<String>,
    },
    /// Write `mark` to the data port: what follows the image, so that the host knows that it has all of it.
    Mark {
        /// Printable text that no image ends with by chance.
        mark: String,
    },
}

/// An answer of the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// Sent once, unasked: the guest is ready.
    Ready {
        /// The kernel's release, `uname -r`.
        release: String,
    },
    /// A command ended.
    Ran(Ran),
    /// A holder holds its memory.
    Held(Held),
    /// The mark is written.
    Marked,
    /// It could not be done.
    Failed {
        /// The error, causes included.
        reason: String,
    },
}

/// The end of a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit status as a shell states it: 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// True if the limit of time ended it.
    pub timed_out: bool,
    /// Wall time in microseconds.
    pub micros: u64,
    /// The largest resident set of one process among the shell and what it waited for, in KiB.
    pub peak_kib: u64,
    /// Bytes of its standard output, which follow.
    pub stdout: usize,
    /// Bytes of its standard error, which follow those.
    pub stderr: usize,
}

/// The memory of a holder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Physical addresses of what is held: half-open runs in bytes, ascending.
    pub runs: Vec<(u64, u64)>,
}

impl Held {
    /// Gathers page frame numbers into runs.
    pub fn of_frames(mut frames: Vec<u64>, page: u64) -> Self {
        frames.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for frame in frames {
            match runs.last_mut() {
                Some(last) if last.1 == frame * page => last.1 += page,
                _ => runs.push((frame * page, (frame + 1) * page)),
            }
        }
        Self { runs }
    }
}
