//! The pattern that fills a page: it follows from the page's own physical address and a seed, so a page that was lost, moved,
//! shifted or taken from elsewhere cannot pass for the right one. Not random data: both sides compute it.

/// Bytes in a page, on the only architecture that the laboratory boots.
pub const PAGE: usize = 4096;

const WORDS: usize = PAGE / 8;

/// Word `index` of the page at physical address `address`.
fn word(address: u64, index: usize, seed: u64) -> u64 {
    // The finalizer of splitmix64 (Steele, Lea, Flood 2014): each input bit reaches every output bit.
    let mut z = (address + 8 * index as u64).wrapping_add(seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes the pattern of the page at physical address `address`.
pub fn fill(page: &mut [u8; PAGE], address: u64, seed: u64) {
    for (index, bytes) in page.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&word(address, index, seed).to_le_bytes());
    }
}

/// Returns true if `page` holds the pattern of physical address `address`.
pub fn holds(page: &[u8; PAGE], address: u64, seed: u64) -> bool {
    // From the last word down: almost every other page is told apart by its first comparison.
    (0..WORDS)
        .rev()
        .all(|index| page[8 * index..8 * index + 8] == word(address, index, seed).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_its_own_pattern_and_no_other() {
        let mut page = [0; PAGE];
        assert!(!holds(&page, 0x1000, 7));
        fill(&mut page, 0x1000, 7);
        assert!(holds(&page, 0x1000, 7));
        assert!(!holds(&page, 0x2000, 7), "the address is part of it");
        assert!(!holds(&page, 0x1000, 8), "the seed is part of it");
        for at in [0, 2048, PAGE - 1] {
            page[at] ^= 1;
            assert!(!holds(&page, 0x1000, 7), "one bit at {at} is seen");
            page[at] ^= 1;
        }
    }
}
