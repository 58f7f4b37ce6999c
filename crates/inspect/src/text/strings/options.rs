//! The options of a search for strings.

use super::collect::{Collect, Lister};
use crate::scan;
use crate::text::encoding::Encoding;

/// The options of [`find`](super::find): which strings are wanted, and what becomes of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options<C = Lister> {
    /// The encodings to look for: at least one, each once.
    pub encodings: Vec<Encoding>,
    /// The fewest characters of a string, from 1 to [`MAX_MIN_LEN`](Options::MAX_MIN_LEN).
    pub min_len: usize,
    /// True if a long string may come in several parts. Otherwise it is cut, and so it is if several encodings are
    /// wanted, whose strings have to be put in order.
    pub in_parts: bool,
    /// The collector: it says what becomes of the strings.
    pub collect: C,
    /// The options of the scan.
    pub scan: scan::Options,
}

impl Default for Options {
    /// Strings of ASCII, of at least four characters, as `strings(1)` finds them.
    fn default() -> Self {
        Self {
            encodings: vec![Encoding::Ascii],
            min_len: 4,
            in_parts: false,
            collect: Lister,
            scan: scan::Options::default(),
        }
    }
}

impl Options {
    /// The largest `min_len`: so many characters are kept of a string that may still turn out to be too short.
    pub const MAX_MIN_LEN: usize = 1 << 20;
    /// The longest text of a string that does not come in parts, in bytes. A longer one is cut.
    pub const MAX_KEPT: usize = 1 << 20;
}

impl<C: Collect> Options<C> {
    /// Sets the encodings; each counts once.
    #[must_use]
    pub fn encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        self.encodings = encodings.into_iter().collect();
        self.encodings.sort_unstable();
        self.encodings.dedup();
        self
    }

    /// Sets the fewest characters of a string.
    #[must_use]
    pub fn min_len(mut self, min_len: usize) -> Self {
        self.min_len = min_len;
        self
    }

    /// Says if long strings may come in several parts.
    #[must_use]
    pub fn in_parts(mut self, in_parts: bool) -> Self {
        self.in_parts = in_parts;
        self
    }

    /// Sets the options of the scan.
    #[must_use]
    pub fn scan(mut self, scan: scan::Options) -> Self {
        self.scan = scan;
        self
    }

    /// Sets what becomes of the strings.
    #[must_use]
    pub fn collect<D: Collect>(self, collect: D) -> Options<D> {
        let Self { encodings, min_len, in_parts, scan, .. } = self;
        Options { encodings, min_len, in_parts, collect, scan }
    }
}
