//! Numbers of bytes in a form for people.

use std::fmt;

/// A number of bytes, shown with a binary unit: `1023.6 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Human(pub u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Human(bytes) = *self;
        let text = match ["KiB", "MiB", "GiB", "TiB", "PiB"]
            .into_iter()
            .zip([10, 20, 30, 40, 50])
            .rev()
            .find(|(_, shift)| bytes >> shift > 0)
        {
            Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
            None => format!("{bytes} bytes"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (3072, "3.0 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(Human(bytes).to_string(), text);
        }
    }
}
