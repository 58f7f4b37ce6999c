//! Patterns, and how people write them.

use memdump_image::ExtentSet;
use regex::bytes::{Regex, RegexBuilder};

/// Something to search for.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The name in results: the text that was given.
    pub name: String,
    /// The bytes that it matches.
    pub what: What,
    /// The alignment, at least 1: it is found only at multiples of it.
    pub align: u64,
}

/// The bytes that a pattern matches.
#[derive(Clone, Debug)]
pub enum What {
    /// Bytes, wherever they stand.
    Bytes(Vec<u8>),
    /// Bytes, ignoring the case of ASCII letters.
    AnyCase(Vec<u8>),
    /// Bytes under a mask of the same length.
    Masked {
        /// The bytes; 0 where the mask is.
        bytes: Vec<u8>,
        /// The bits of them that count.
        mask: Vec<u8>,
    },
    /// A regular expression. Its matches do not overlap, and the leftmost wins.
    Regex(Regex),
    /// A little-endian number that is an address in a set.
    PointerTo {
        /// The addresses.
        to: ExtentSet,
        /// The length of the number in bytes, 4 or 8.
        width: usize,
    },
}

/// The reason why something is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("{0:?} is empty: it would be everywhere")]
    Empty(String),
    /// It is longer than [`Pattern::MAX_LEN`].
    #[error("the pattern that begins {0:?} is longer than {max} bytes", max = Pattern::MAX_LEN)]
    Long(String),
    /// It is not hexadecimal.
    #[error(
        "{0:?} is no bytes in hexadecimal: write two digits for each, ? for any, as in '7f 45 ?? 4?'"
    )]
    Hex(String),
    /// No byte of it is known completely.
    #[error("{0:?}: at least one byte has to be known whole")]
    Vague(String),
    /// It is not a number, or does not fit.
    #[error("{text:?} is no whole number that fits {width} bytes: decimal, or hexadecimal with 0x")]
    Number {
        /// The text.
        text: String,
        /// The length in bytes.
        width: usize,
    },
    /// It is not a regular expression.
    #[error("{0}")]
    Regex(String),
}

impl Pattern {
    /// The longest pattern of bytes, in bytes.
    pub const MAX_LEN: usize = 4096;
    /// The longest match of an expression, in bytes, that is always found complete. Longer ones may be cut where a block
    /// of memory ends.
    pub const MAX_REGEX_MATCH: usize = 64 << 10;

    /// A pattern at any address.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(name: &str, what: What) -> Result<Self, PatternError> {
        match what.len() {
            Some(0) => Err(PatternError::Empty(name.into())),
            Some(len) if len > Self::MAX_LEN => {
                Err(PatternError::Long(name.chars().take(40).collect()))
            }
            _ => Ok(Self { name: name.into(), what, align: 1 }),
        }
    }

    /// Bytes in hexadecimal, with or without spaces; `?` is any digit.
    ///
    /// # Errors
    /// When it is something else, or no byte is known completely.
    pub fn hex(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError::Hex(text.into());
        let mut digits = Vec::new();
        for digit in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            digits.push(match digit {
                b'?' => (0, 0),
                digit => (char::from(digit).to_digit(16).ok_or_else(wrong)? as u8, 15),
            });
        }
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(wrong()) };
        let join = |of: fn(&(u8, u8)) -> u8| -> Vec<u8> {
            pairs.iter().map(|[high, low]| of(high) << 4 | of(low)).collect()
        };
        let (bytes, mask) = (join(|digit| digit.0), join(|digit| digit.1));
        if mask.iter().all(|&mask| mask == 0xff) {
            return Self::new(text, What::Bytes(bytes));
        }
        if !mask.contains(&0xff) {
            return Err(PatternError::Vague(text.into()));
        }
        Self::new(text, What::Masked { bytes, mask })
    }

    /// A regular expression of bytes: `.` is any byte except the line feed, `\xff` a byte, classes are those of ASCII.
    ///
    /// # Errors
    /// When it is not one.
    pub fn regex(text: &str, any_case: bool) -> Result<Self, PatternError> {
        let regex = RegexBuilder::new(text).unicode(false).case_insensitive(any_case).build();
        let regex = regex.map_err(|error| PatternError::Regex(error.to_string()))?;
        Self::new(text, What::Regex(regex))
    }

    /// An integer of `width` bytes, 1, 2, 4 or 8; negative ones as two's complement.
    ///
    /// # Errors
    /// When it is not a number, or does not fit.
    pub fn integer(text: &str, width: usize, big_endian: bool) -> Result<Self, PatternError> {
        let wrong = || PatternError::Number { text: text.into(), width };
        let value = parse_integer(text).ok_or_else(wrong)?;
        let bits = 8 * width as u32;
        let fits = (-(1_i128 << (bits - 1))..1_i128 << bits).contains(&value);
        if !fits {
            return Err(wrong());
        }
        let mut bytes = value.to_le_bytes()[..width].to_vec();
        if big_endian {
            bytes.reverse();
        }
        Self::new(text, What::Bytes(bytes))
    }
}

/// A decimal number or, with `0x`, a hexadecimal one.
pub fn parse_integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    Some(sign * i128::from(u64::from_str_radix(digits, radix).ok()?))
}

impl What {
    /// The length of a match, if all matches have the same.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            What::Bytes(bytes) | What::AnyCase(bytes) | What::Masked { bytes, .. } => {
                Some(bytes.len())
            }
            What::PointerTo { width, .. } => Some(*width),
            What::Regex(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        let what = |text| Pattern::hex(text).map(|pattern| pattern.what);
        assert!(matches!(what("7f454C46"), Ok(What::Bytes(bytes)) if bytes == b"\x7fELF"));
        let Ok(What::Masked { bytes, mask }) = what("7f ?? 4? ?6") else { panic!() };
        assert_eq!((bytes, mask), (vec![0x7f, 0, 0x40, 6], vec![0xff, 0, 0xf0, 0x0f]));
        for wrong in ["7", "7f4", "xy", "0x7f", "??", "4? ?6", "", "é7"] {
            assert!(Pattern::hex(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn integers() {
        let bytes = |text, width, big| match Pattern::integer(text, width, big).map(|p| p.what) {
            Ok(What::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        assert_eq!(bytes("0x12345678", 4, false), Some(vec![0x78, 0x56, 0x34, 0x12]));
        assert_eq!(bytes("258", 2, true), Some(vec![1, 2]));
        assert_eq!(bytes("-1", 8, false), Some(vec![0xff; 8]));
        assert_eq!(bytes("-128", 1, false), Some(vec![0x80]));
        assert_eq!(bytes("18446744073709551615", 8, false), Some(vec![0xff; 8]));
        for (wrong, width) in
            [("256", 1), ("-129", 1), ("18446744073709551616", 8), ("x", 4), ("+1", 4), ("0x", 4)]
        {
            assert_eq!(bytes(wrong, width, false), None, "{wrong}");
        }
    }
}
