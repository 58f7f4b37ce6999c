//! Hashes of regions, computed while the regions are copied.

use std::collections::BTreeMap;

use super::RegionRecord;
use memdump_image::{Chunk, Content, Extent, MemoryMap};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A hasher of each region of a map, fed with the chunks of a copy. Holes, and memory that no chunk covers, count as zeros.
pub struct RegionHasher {
    map: MemoryMap,
    /// The regions that were begun, by their start addresses: the hasher, and the address that it has reached.
    open: BTreeMap<u64, (blake3::Hasher, u64)>,
    done: BTreeMap<u64, blake3::Hash>,
}

impl RegionHasher {
    /// A hasher of the regions of `map`.
    pub fn new(map: MemoryMap) -> Self {
        Self { map, open: BTreeMap::new(), done: BTreeMap::new() }
    }

    /// Adds the next chunk. The chunks of one region must come in address order.
    pub fn chunk(&mut self, chunk: &Chunk<'_>) {
        let Some(region) = self.map.find(chunk.addr) else { return };
        let (start, end) = (region.extent.start(), region.extent.end());
        let entry = self.open.entry(start).or_insert_with(|| (blake3::Hasher::new(), start));
        let (hasher, at) = entry;
        zeros(hasher, chunk.addr.saturating_sub(*at));
        match chunk.content {
            Content::Bytes(bytes) => drop(hasher.update(bytes)),
            Content::Zero { len } | Content::Hole { len, .. } => zeros(hasher, len),
        }
        *at = chunk.addr + chunk.len();
        if *at >= end {
            self.done.insert(start, hasher.finalize());
            self.open.remove(&start);
        }
    }

    /// Returns the regions with their hashes. If the copy was `cut` short, memory that it did not reach is left out.
    pub fn finish(mut self, cut: bool) -> Vec<RegionRecord> {
        let mut records = Vec::with_capacity(self.map.regions().len());
        for region in self.map.regions() {
            let (start, end) = (region.extent.start(), region.extent.end());
            if let Some(hash) = self.done.get(&start) {
                records.push(RegionRecord::new(region, Some(*hash)));
                continue;
            }
            let (mut hasher, at) =
                self.open.remove(&start).unwrap_or_else(|| (blake3::Hasher::new(), start));
            let reached = if cut { at } else { end };
            zeros(&mut hasher, reached - at);
            let part = Extent::half_open(start, reached).ok().and_then(|part| region.clip(part));
            records.extend(part.map(|part| RegionRecord::new(&part, Some(hasher.finalize()))));
        }
        records
    }
}

/// Hashes `len` zeros.
pub(super) fn zeros(hasher: &mut blake3::Hasher, mut len: u64) {
    while len > 0 {
        let now = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..now as usize]);
        len -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memdump_image::{Cause, Region, RegionKind, Space};

    #[test]
    fn holes_and_what_does_not_come_are_zeros() {
        let region =
            |start, end| Region::new(Extent::half_open(start, end).unwrap(), RegionKind::Ram);
        let map = MemoryMap::new(Space::Physical, vec![region(0, 100), region(200, 300)]).unwrap();
        let chunks = [
            Chunk { addr: 10, content: Content::Bytes(&[1; 20]) },
            Chunk { addr: 30, content: Content::Hole { len: 10, cause: Cause::Device } },
            Chunk { addr: 40, content: Content::Bytes(&[2; 60]) },
            Chunk { addr: 200, content: Content::Bytes(&[3; 50]) },
        ];
        let hash = |cut| {
            let mut hasher = RegionHasher::new(map.clone());
            chunks.iter().for_each(|chunk| hasher.chunk(chunk));
            hasher.finish(cut)
        };
        let hex = |bytes: &[u8]| Some(blake3::hash(bytes).to_hex().to_string());
        let first = [vec![0; 10], vec![1; 20], vec![0; 10], vec![2; 60]].concat();
        let whole = hash(false);
        assert_eq!(whole[0].blake3, hex(&first));
        assert_eq!(whole[1].blake3, hex(&[vec![3; 50], vec![0; 50]].concat()));
        let cut = hash(true);
        assert_eq!((cut[1].end, &cut[1].blake3), (250, &hex(&[3; 50])));
    }
}
