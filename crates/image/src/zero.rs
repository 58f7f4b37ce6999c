//! A quick test for memory that holds nothing but zeros.

/// Returns true if all bytes are 0. It looks at no more than it has to: most memory that is not zero says so in its first bytes.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Without a way out in the middle, each part is compared many bytes at a time.
    bytes.chunks(256).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn one_byte_anywhere_is_seen() {
        for len in [0, 1, 255, 256, 257, 4096, 4099] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }
}
