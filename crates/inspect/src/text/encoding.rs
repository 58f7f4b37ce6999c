//! The encodings of strings.

use super::runs::{Class, Ends, Run, byte_runs, utf8_runs, wide_runs};
use crate::scan::Window;

/// The encoding of characters in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// A byte each, of ASCII (`-e s` of `strings(1)`).
    Ascii,
    /// A byte each, all above 127 too (`-e S`).
    Latin,
    /// UTF-8, which `strings(1)` does not know.
    Utf8,
    /// Two bytes, the low one first (`-e l`).
    Utf16Le,
    /// Two bytes, the high one first (`-e b`).
    Utf16Be,
    /// Four bytes, the lowest first (`-e L`).
    Utf32Le,
    /// Four bytes, the highest first (`-e B`).
    Utf32Be,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Encoding; 7] = [
        Encoding::Ascii,
        Encoding::Latin,
        Encoding::Utf8,
        Encoding::Utf16Le,
        Encoding::Utf16Be,
        Encoding::Utf32Le,
        Encoding::Utf32Be,
    ];

    /// The letter for it in `strings(1)`, or a word if there is none.
    pub fn letter(self) -> &'static str {
        match self {
            Encoding::Ascii => "s",
            Encoding::Latin => "S",
            Encoding::Utf8 => "utf8",
            Encoding::Utf16Le => "l",
            Encoding::Utf16Be => "b",
            Encoding::Utf32Le => "L",
            Encoding::Utf32Be => "B",
        }
    }

    /// The name shown to people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Ascii => "ascii",
            Encoding::Latin => "latin1",
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16Le => "utf-16le",
            Encoding::Utf16Be => "utf-16be",
            Encoding::Utf32Le => "utf-32le",
            Encoding::Utf32Be => "utf-32be",
        }
    }

    /// `text` in this encoding; none if it lacks one of the characters.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        let units = |bytes: fn(char) -> Option<Vec<u8>>| -> Option<Vec<u8>> {
            Some(text.chars().map(bytes).collect::<Option<Vec<_>>>()?.concat())
        };
        match self {
            Encoding::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
            Encoding::Latin => units(|c| u8::try_from(u32::from(c)).ok().map(|byte| vec![byte])),
            Encoding::Utf8 => Some(text.as_bytes().to_vec()),
            Encoding::Utf16Le => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            Encoding::Utf16Be => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            Encoding::Utf32Le => units(|c| Some(u32::from(c).to_le_bytes().to_vec())),
            Encoding::Utf32Be => units(|c| Some(u32::from(c).to_be_bytes().to_vec())),
        }
    }

    /// The characters of `raw`, whole characters of this encoding.
    pub(super) fn text<'a>(self, raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let (width, low) = match self {
            Encoding::Ascii | Encoding::Latin | Encoding::Utf8 => return raw,
            Encoding::Utf16Le => (2, 0),
            Encoding::Utf16Be => (2, 1),
            Encoding::Utf32Le => (4, 0),
            Encoding::Utf32Be => (4, 3),
        };
        scratch.clear();
        scratch.extend(raw.chunks_exact(width).map(|unit| unit[low]));
        scratch
    }

    /// Characters in `text`, as [`text`](Self::text) gave it.
    pub(super) fn count(self, text: &[u8]) -> usize {
        match self {
            // Bytes that go on in a character are none of their own.
            Encoding::Utf8 => text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count(),
            _ => text.len(),
        }
    }

    /// Calls `each` with the runs of at least `min_len` characters that begin and end in the window,
    /// ascending.
    pub(super) fn runs(
        self,
        window: &Window<'_>,
        min_len: usize,
        each: &mut dyn FnMut(Run),
    ) -> Ends {
        match self {
            Encoding::Ascii => byte_runs(window, Class::Ascii, min_len, each),
            Encoding::Latin => byte_runs(window, Class::Latin, min_len, each),
            Encoding::Utf8 => utf8_runs(window, min_len, each),
            Encoding::Utf16Le => wide_runs::<2, true>(window, min_len, each),
            Encoding::Utf16Be => wide_runs::<2, false>(window, min_len, each),
            Encoding::Utf32Le => wide_runs::<4, true>(window, min_len, each),
            Encoding::Utf32Be => wide_runs::<4, false>(window, min_len, each),
        }
    }
}
