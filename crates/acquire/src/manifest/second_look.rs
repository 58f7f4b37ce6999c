//! An estimate of how much memory changed while it was copied: a sample of pages is read again at the end.

use serde::{Deserialize, Serialize};

use memdump_image::{AddressSpace, Chunk, Content};

/// The largest number of pages in a sample.
const MAX_PAGES: usize = 1 << 20;

/// The result of reading a sample of pages again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondLook {
    /// The number of pages that were read again.
    pub pages: u64,
    /// The number of these pages that had changed.
    pub changed: u64,
    /// The number of these pages that could not be read again.
    pub unreadable: u64,
}

/// A random sample of the pages that are copied.
pub struct Sampler {
    page_size: u64,
    /// The bound for the sample: a page is in it if its mixed page number is not above this.
    below: u64,
    seed: u64,
    pages: Vec<(u64, [u8; 8])>,
}

impl Sampler {
    /// A sample of about `percent` (0 to 100) of all pages. `seed` decides which pages those are.
    pub fn new(percent: f64, page_size: u64, seed: u64) -> Self {
        let below = (percent.clamp(0.0, 100.0) / 100.0 * u64::MAX as f64) as u64;
        Self { page_size, below, seed, pages: Vec::new() }
    }

    /// Adds the pages of a chunk of the copy to the sample.
    pub fn chunk(&mut self, chunk: &Chunk<'_>) {
        let Content::Bytes(bytes) = chunk.content else { return };
        let page_size = self.page_size as usize;
        let skip = (chunk.addr.next_multiple_of(self.page_size) - chunk.addr) as usize;
        let pages = bytes.get(skip..).unwrap_or_default().chunks_exact(page_size);
        for (page, addr) in pages.zip((chunk.addr + skip as u64..).step_by(page_size)) {
            let is_chosen = mix((addr / self.page_size) ^ self.seed) <= self.below;
            if is_chosen && self.below > 0 && self.pages.len() < MAX_PAGES {
                self.pages.push((addr, digest(page)));
            }
        }
    }

    /// Reads the pages of the sample again, and counts those that changed.
    pub fn look(self, space: &dyn AddressSpace) -> SecondLook {
        let mut look = SecondLook::default();
        let mut page = vec![0; self.page_size as usize];
        for (addr, before) in &self.pages {
            look.pages += 1;
            if space.read_exact(*addr, &mut page).is_err() {
                look.unreadable += 1;
            } else if digest(&page) != *before {
                look.changed += 1;
            }
        }
        look
    }
}

fn digest(page: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(page);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The finalizer of MurmurHash3 (`fmix64`): each bit depends on all.
fn mix(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ value >> 33
}

#[cfg(test)]
mod tests {
    use super::*;
    use memdump_image::{Extent, MemoryMap, ReadError, Region, RegionKind, Space};

    struct Memory(MemoryMap, Vec<u8>);

    impl AddressSpace for Memory {
        fn map(&self) -> &MemoryMap {
            &self.0
        }

        fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
            let from = &self.1[addr as usize..];
            let len = buf.len().min(from.len());
            buf[..len].copy_from_slice(&from[..len]);
            Ok(len)
        }
    }

    #[test]
    fn what_changed_is_counted() {
        const PAGES: usize = 1000;
        let whole = Extent::half_open(0, PAGES as u64 * 4096).unwrap();
        let map =
            MemoryMap::new(Space::Physical, vec![Region::new(whole, RegionKind::Ram)]).unwrap();
        let mut memory = Memory(map, vec![5; PAGES * 4096]);
        let sample = |percent, memory: &Memory| {
            let mut sampler = Sampler::new(percent, 4096, 99);
            sampler.chunk(&Chunk { addr: 0, content: Content::Bytes(&memory.1) });
            sampler
        };
        let (all, some, none) =
            (sample(100.0, &memory), sample(10.0, &memory), sample(0.0, &memory));
        for page in (0..PAGES).step_by(4) {
            memory.1[page * 4096 + 17] = 6;
        }
        assert_eq!(all.look(&memory), SecondLook { pages: 1000, changed: 250, unreadable: 0 });
        let some = some.look(&memory);
        assert!((60..140).contains(&some.pages) && (10..50).contains(&some.changed), "{some:?}");
        assert_eq!(none.look(&memory), SecondLook::default());
    }
}
