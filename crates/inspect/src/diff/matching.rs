//! Pairs the memory of one map with that of the other, to be compared.
//!
//! In one process, and in a machine, what stands at the same address and is of the same sort is the same memory: a heap that
//! grew, a stack that grew downwards, a mapping that was split. In another process of the same program it may have moved:
//! files are found by path and offset, heap and stack by being the only ones, and what lies right behind such a
//! mapping moved with it. Not about what the memory holds.

use std::collections::{BTreeMap, VecDeque};

use memdump_image::{Extent, ExtentSet, MemoryMap, Region, RegionKind};

/// Memory that is in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The extent in B, within one region.
    pub(super) b: Extent,
    /// The address of its first byte in A. It lies within one region there, too.
    pub(super) a: u64,
    /// Its regions, by their places in the maps.
    pub(super) regions: (usize, usize),
}

impl Segment {
    /// The extent in A.
    pub(super) fn in_a(&self) -> Option<Extent> {
        Extent::with_len(self.a, self.b.len()).ok()
    }

    /// The address in A of an address in B that lies in the segment.
    pub(super) fn to_a(self, addr: u64) -> u64 {
        self.a + (addr - self.b.start())
    }
}

/// The memory that two maps have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Matching {
    /// Ascending in B; disjoint in both.
    pub(super) segments: Vec<Segment>,
}

impl Matching {
    pub(super) fn of(a: &MemoryMap, b: &MemoryMap) -> Self {
        let mut matcher = Matcher {
            a: a.regions(),
            b: b.regions(),
            is_matched_a: vec![false; a.regions().len()],
            is_matched_b: vec![false; b.regions().len()],
            segments: Vec::new(),
        };
        // In another process the same address means nothing, as long as something better is known.
        if a.space() != b.space() {
            matcher.moved();
        }
        matcher.same_place();
        matcher.moved();
        let mut segments = matcher.segments;
        segments.sort_by_key(|segment| segment.b);
        Self { segments }
    }

    /// The segment around an address of B.
    pub(super) fn find(&self, addr: u64) -> Option<Segment> {
        let after = self.segments.partition_point(|segment| segment.b.start() <= addr);
        self.segments[..after].last().copied().filter(|segment| segment.b.contains(addr))
    }

    /// The parts of A and of B that are in both.
    pub(super) fn both(&self) -> (ExtentSet, ExtentSet) {
        let a = self.segments.iter().filter_map(Segment::in_a).collect();
        (a, self.segments.iter().map(|segment| segment.b).collect())
    }
}

struct Matcher<'a> {
    a: &'a [Region],
    b: &'a [Region],
    /// True for each region of which a part has been matched.
    is_matched_a: Vec<bool>,
    is_matched_b: Vec<bool>,
    segments: Vec<Segment>,
}

impl Matcher<'_> {
    fn add(&mut self, regions: (usize, usize), b: Extent, a: u64) {
        self.is_matched_a[regions.0] = true;
        self.is_matched_b[regions.1] = true;
        self.segments.push(Segment { b, a, regions });
    }

    /// Matches memory at the same address and of the same kind.
    fn same_place(&mut self) {
        let (before_a, before_b) = (self.is_matched_a.clone(), self.is_matched_b.clone());
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (self.a.get(i), self.b.get(j)) {
            if let Some(both) = a.extent.intersection(b.extent)
                && !before_a[i]
                && !before_b[j]
                && is_alike(a, b)
                && is_same_file_place(a, b, b.extent.start().wrapping_sub(a.extent.start()))
            {
                self.add((i, j), both, both.start());
            }
            if a.extent.end() <= b.extent.end() { i += 1 } else { j += 1 }
        }
    }

    /// Matches memory that is the same for another reason than its address.
    fn moved(&mut self) {
        self.by_key(file_key, |a, b| (a.start(), b.start()));
        let alone = |kind: RegionKind| move |region: &Region| (region.kind == kind).then_some(());
        self.by_key_alone(alone(RegionKind::Heap), |a, b| (a.start(), b.start()));
        self.by_key_alone(alone(RegionKind::Stack), |a, b| {
            let len = a.len().min(b.len());
            (a.end() - len, b.end() - len)
        });
        let special =
            |region: &Region| (region.kind == RegionKind::Special).then(|| region.label.clone());
        self.by_key(special, |a, b| (a.start(), b.start()));
        self.neighbours();
    }

    /// The regions of the same key, one by one in the order of addresses. `place` says from where on they are the same.
    fn by_key<K: Ord>(
        &mut self,
        key: impl Fn(&Region) -> Option<K>,
        place: impl Fn(Extent, Extent) -> (u64, u64),
    ) {
        let mut there: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
        for (index, region) in self.a.iter().enumerate() {
            if let Some(key) = key(region).filter(|_| !self.is_matched_a[index]) {
                there.entry(key).or_default().push_back(index);
            }
        }
        for j in 0..self.b.len() {
            let found = key(&self.b[j]).filter(|_| !self.is_matched_b[j]);
            let same = found.and_then(|key| there.get_mut(&key)?.pop_front());
            if let Some(i) = same {
                let (a, b) = (self.a[i].extent, self.b[j].extent);
                let (from_a, from_b) = place(a, b);
                if let Ok(both) = Extent::with_len(from_b, a.len().min(b.len())) {
                    self.add((i, j), both, from_a);
                }
            }
        }
    }

    /// As [`by_key`](Self::by_key), where there is one such region in each.
    fn by_key_alone<K: Ord>(
        &mut self,
        key: impl Fn(&Region) -> Option<K>,
        place: impl Fn(Extent, Extent) -> (u64, u64),
    ) {
        let count = |regions: &[Region]| regions.iter().filter_map(&key).count();
        if count(self.a) == 1 && count(self.b) == 1 {
            self.by_key(key, place);
        }
    }

    /// Matches what lies right behind a mapping that moved, such as the zeros behind a library's data: it moved with it.
    fn neighbours(&mut self) {
        let mut places: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        for segment in &self.segments {
            places.insert(
                segment.regions.1,
                (segment.regions.0, segment.b.start().wrapping_sub(segment.a)),
            );
        }
        for j in 1..self.b.len() {
            let (before, region) = (&self.b[j - 1], &self.b[j]);
            let Some(&(i, shift)) = places.get(&(j - 1)) else { continue };
            let start = region.extent.start().wrapping_sub(shift);
            let touches =
                before.extent.end() == region.extent.start() && self.a[i].extent.end() == start;
            let next = self.a.get(i + 1).filter(|next| next.extent.start() == start);
            if let Some(next) = next
                && touches
                && shift != 0
                && !self.is_matched_b[j]
                && !self.is_matched_a[i + 1]
                && is_alike(next, region)
            {
                let len = next.extent.len().min(region.extent.len());
                if let Ok(both) = Extent::with_len(region.extent.start(), len) {
                    self.add((i + 1, j), both, start);
                    places.insert(j, (i + 1, shift));
                }
            }
        }
    }
}

/// The identity of a mapped part of a file: path, offset and permissions.
fn file_key(region: &Region) -> Option<(Vec<u8>, u64, [char; 4])> {
    let mapping = region.mapping.as_ref()?;
    let backing = mapping.backing.as_ref()?;
    Some((backing.path.clone(), backing.offset, mapping.permissions.letters()))
}

/// Returns true if two regions may be the same memory, by their kinds.
fn is_alike(a: &Region, b: &Region) -> bool {
    let class = |kind: RegionKind| match kind {
        // What a look at a running process takes for a thread's stack depends on what the thread does.
        RegionKind::ThreadStack => RegionKind::Anonymous,
        // A file becomes a library when a part of it is mapped to be executed.
        RegionKind::Library => RegionKind::File,
        kind => kind,
    };
    let (a, b) = (class(a.kind), class(b.kind));
    a == b || a == RegionKind::Unknown || b == RegionKind::Unknown
}

/// Returns false if both are of a file and are not the same place of the same file; B is `shift` further up.
fn is_same_file_place(a: &Region, b: &Region, shift: u64) -> bool {
    let backing = |region: &Region| region.mapping.as_ref().and_then(|m| m.backing.clone());
    match (backing(a), backing(b)) {
        (Some(a), Some(b)) => a.path == b.path && b.offset.wrapping_sub(a.offset) == shift,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use memdump_image::{Backing, Mapping, Permissions, Space};

    use super::*;

    fn region(start: u64, end: u64, kind: RegionKind) -> Region {
        let permissions = Permissions::parse(b"rw-p").unwrap();
        Region {
            mapping: Some(Mapping { permissions, backing: None }),
            ..Region::new(Extent::half_open(start, end).unwrap(), kind)
        }
    }

    fn file(start: u64, end: u64, path: &str, offset: u64) -> Region {
        let mut file = region(start, end, RegionKind::Library);
        let backing = Backing { path: path.into(), offset, device: (1, 2), inode: 3 };
        file.mapping.as_mut().unwrap().backing = Some(backing);
        file
    }

    /// Start in A, start and end in B.
    fn matched(pids: (u32, u32), a: Vec<Region>, b: Vec<Region>) -> Vec<(u64, u64, u64)> {
        let a = MemoryMap::new(Space::Process(pids.0), a).unwrap();
        let b = MemoryMap::new(Space::Process(pids.1), b).unwrap();
        let matching = Matching::of(&a, &b);
        matching.segments.iter().map(|s| (s.a, s.b.start(), s.b.end())).collect()
    }

    use RegionKind::{Anonymous, Heap, Stack, ThreadStack, Unknown};

    #[test]
    fn what_grew_is_still_the_same() {
        let a = vec![region(0x1000, 0x3000, Heap), region(0xa000, 0xb000, Stack)];
        let b = vec![region(0x1000, 0x6000, Heap), region(0x8000, 0xb000, Stack)];
        assert_eq!(matched((1, 1), a, b), [(0x1000, 0x1000, 0x3000), (0xa000, 0xa000, 0xb000)]);
    }

    #[test]
    fn a_mapping_that_was_split_is_the_same() {
        let a = vec![region(0x1000, 0x9000, Anonymous)];
        let b = vec![region(0x1000, 0x4000, ThreadStack), region(0x4000, 0xa000, Unknown)];
        assert_eq!(matched((1, 1), a, b), [(0x1000, 0x1000, 0x4000), (0x4000, 0x4000, 0x9000)]);
    }

    #[test]
    fn another_file_at_the_same_place_is_not_the_same() {
        let a = vec![file(0x1000, 0x2000, "/a", 0), file(0x2000, 0x3000, "/c", 0)];
        let b = vec![file(0x1000, 0x2000, "/b", 0), file(0x2000, 0x3000, "/c", 0x1000)];
        assert_eq!(matched((1, 1), a, b), []);
    }

    #[test]
    fn another_process_of_the_program_has_it_elsewhere() {
        let a = vec![
            file(0x1000, 0x2000, "/bin/x", 0),
            file(0x2000, 0x3000, "/bin/x", 0x1000),
            region(0x3000, 0x5000, Anonymous),
            region(0x8000, 0x9000, Heap),
            region(0x4_0000, 0x4_2000, Anonymous),
            region(0xf_0000, 0xf_2000, Stack),
        ];
        let b = vec![
            file(0x3000, 0x4000, "/bin/x", 0),
            file(0x4000, 0x5000, "/bin/x", 0x1000),
            region(0x5000, 0x7000, Anonymous),
            region(0x8800, 0xb000, Heap),
            region(0xe_0000, 0xe_8000, Stack),
        ];
        assert_eq!(
            matched((1, 2), a, b),
            [
                (0x1000, 0x3000, 0x4000),
                (0x2000, 0x4000, 0x5000),
                (0x3000, 0x5000, 0x7000),
                (0x8000, 0x8800, 0x9800),
                (0xf_0000, 0xe_6000, 0xe_8000),
            ]
        );
    }
}
