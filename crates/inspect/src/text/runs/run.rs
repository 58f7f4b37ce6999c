//! A run of characters, and the runs that others continue.

/// A run of characters in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) struct Run {
    /// The index of its first byte.
    pub(in crate::text) start: usize,
    /// The index beyond its last byte.
    pub(in crate::text) end: usize,
}

/// The runs at the two ends of a window's own bytes, which other windows continue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::text) struct Ends {
    /// The run that continues one of the window before. It is empty if a character reaches over the border and no other
    /// follows it.
    pub(in crate::text) head: Option<Run>,
    /// The run that goes on in the next window: the head if it fills this window, the last run otherwise.
    pub(in crate::text) open: Option<Run>,
}
