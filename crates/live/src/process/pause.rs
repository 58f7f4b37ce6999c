//! The ways to pause a process while it is copied.

/// The way to keep a process from changing its memory while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Paused until all is copied.
    Stop,
    /// Paused while it is forked; the copy is read.
    Snapshot,
    /// Not paused: the image is not of a single instant.
    None,
}

impl Pause {
    /// Its name in options and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Pause::Stop => "stop",
            Pause::Snapshot => "snapshot",
            Pause::None => "none",
        }
    }
}
