//! The limits of a search with rules.

/// The longest unit, in bytes.
pub const WINDOW_LEN: u64 = 32 << 20;
/// Bytes that two neighbouring windows share.
pub const OVERLAP: u64 = 1 << 20;
/// Never touched zeros that are looked at beside other memory, in bytes.
pub const MARGIN: u64 = 4096;
/// The most matches of a pattern in a window that are kept; further ones count for nothing.
pub const MAX_MATCHES: usize = 1 << 16;
/// The most bytes that are shown before and after a match.
pub const MAX_CONTEXT: usize = 4096;

/// Lengths in bytes; smaller ones in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) window: u64,
    /// Less than half a window.
    pub(super) overlap: u64,
    pub(super) margin: u64,
    pub(super) context: u64,
}
