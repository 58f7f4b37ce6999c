//! Sizes as people write them on the command line.

/// Parses a size in bytes: decimal or `0x` hexadecimal, with an optional suffix k, m, g or t in either case,
/// or KiB, MiB, GiB or TiB. All suffixes are powers of 1024.
///
/// Returns `None` for anything else, and for a size that does not fit.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = [("k", 10), ("m", 20), ("g", 30), ("t", 40)]
        .into_iter()
        .find_map(|(unit, shift)| {
            let short = lower.strip_suffix("ib").unwrap_or(&lower);
            Some((short.strip_suffix(unit)?, shift))
        })
        .unwrap_or((&lower, 0));
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    // `from_str_radix` would accept a sign.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_mean_something() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4k", 4096),
            ("4K", 4096),
            ("1m", 1 << 20),
            ("2G", 2 << 30),
            ("3t", 3 << 40),
            ("64KiB", 64 << 10),
            ("1mib", 1 << 20),
            ("0x10000", 0x10000),
            ("0x1b", 0x1b),
            ("0x10k", 16 << 10),
            ("18446744073709551615", u64::MAX),
            ("16777215t", 16_777_215 << 40),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_that_mean_nothing() {
        for text in [
            "",
            " ",
            "k",
            "KiB",
            "-1",
            "-4096",
            "+1",
            "1.5m",
            "10x",
            "1kk",
            "4kb",
            "0x",
            "0x-1",
            "1 m",
            "1_000",
            "18446744073709551616",
            "17179869184g",
            "16777216t",
            "١",
            "ib",
            "4ib",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
