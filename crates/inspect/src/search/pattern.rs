//! What can be searched for, and how people write it.

use memdump_image::ExtentSet;
use regex::bytes::{Regex, RegexBuilder};

/// Something to search for.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What it is called in results: as it was given.
    pub name: String,
    /// What it is.
    pub what: What,
    /// Only at addresses that are multiples of this, at least 1.
    pub align: u64,
}

/// What a pattern is.
#[derive(Clone, Debug)]
pub enum What {
    /// Bytes: at every address at which they stand.
    Bytes(Vec<u8>),
    /// Bytes of which letters of ASCII may be of either case.
    AnyCase(Vec<u8>),
    /// Bytes that count as far as the mask says, of the same length.
    Masked {
        /// The bytes; 0 where the mask is.
        bytes: Vec<u8>,
        /// The bits of them that count.
        mask: Vec<u8>,
    },
    /// An expression: matches do not overlap, and the leftmost comes first.
    Regex(Regex),
    /// A number of so many bytes, 4 or 8, the lowest first, that is an address in the set.
    PointerTo {
        /// The addresses.
        to: ExtentSet,
        /// Bytes of the number.
        width: usize,
    },
}

/// Why something cannot be searched for. It says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There are no bytes in it.
    #[error("{0:?} is empty: it would be everywhere")]
    Empty(String),
    /// It is longer than [`Pattern::MAX_LEN`].
    #[error("the pattern that begins {0:?} is longer than {max} bytes", max = Pattern::MAX_LEN)]
    Long(String),
    /// It is no bytes in hexadecimal.
    #[error(
        "{0:?} is no bytes in hexadecimal: write two digits for each, ? for any, as in '7f 45 ?? 4?'"
    )]
    Hex(String),
    /// No byte of it is known whole.
    #[error("{0:?}: at least one byte has to be known whole")]
    Vague(String),
    /// It is no number that fits.
    #[error("{text:?} is no whole number that fits {width} bytes: decimal, or hexadecimal with 0x")]
    Number {
        /// What was given.
        text: String,
        /// Bytes.
        width: usize,
    },
    /// It is no regular expression.
    #[error("{0}")]
    Regex(String),
}

impl Pattern {
    /// The longest pattern of bytes, in bytes.
    pub const MAX_LEN: usize = 4096;
    /// The longest match of an expression that is found whole wherever it lies, in bytes. Longer ones may come in parts,
    /// cut where one read of memory ended.
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

    /// Bytes in hexadecimal, spaces between them or not; `?` is any digit.
    ///
    /// # Errors
    /// When it is something else, or says of no byte what it is.
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

    /// A regular expression of bytes: `.` is any but the line feed, `\xff` a byte, classes are those of
    /// ASCII.
    ///
    /// # Errors
    /// When it is none.
    pub fn regex(text: &str, any_case: bool) -> Result<Self, PatternError> {
        let regex = RegexBuilder::new(text).unicode(false).case_insensitive(any_case).build();
        let regex = regex.map_err(|error| PatternError::Regex(error.to_string()))?;
        Self::new(text, What::Regex(regex))
    }

    /// A whole number of `width` bytes, 1, 2, 4 or 8; negative ones as two's complement.
    ///
    /// # Errors
    /// When it is none, or does not fit.
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
    /// Bytes of a match, where all have as many.
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
