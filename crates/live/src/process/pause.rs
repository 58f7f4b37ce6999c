//! The ways to pause a process while it is copied.

/// How a process is kept from changing its memory while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It stands still until all is copied.
    Stop,
    /// It stands still while it is forked; the copy is read.
    Snapshot,
    /// Not at all: the image is of no single instant.
    None,
}

impl Pause {
    /// The word for it in options and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Pause::Stop => "stop",
            Pause::Snapshot => "snapshot",
            Pause::None => "none",
        }
    }
}
