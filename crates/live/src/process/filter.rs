//! The mappings of a process that are taken: those that the kernel would put into a core, unless the user says
//! otherwise. Matches on parsed fields, never on text.

use globset::GlobMatcher;
use memdump_image::{Extent, ExtentSet, MemoryMap, Permissions, Region, RegionKind};

use super::regions::{Regions, first_page};

/// Longer runs that were never touched have no place in an image that has to be streamed.
const LONG_ABSENCE: u64 = 64 << 20;

/// The mappings to take. By default they are those of the kernel's own dump.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The permissions of mappings that are taken; none means any.
    pub permissions: Option<PermissionsPattern>,
    /// The classes of mappings that are taken; empty means any.
    pub classes: Vec<MappingClass>,
    /// The ranges that are taken; empty means all.
    pub ranges: Vec<Extent>,
    /// The names of mappings that are taken; empty means any.
    pub names: Vec<GlobMatcher>,
    /// No mapping whose name matches one of these.
    pub excluded: Vec<GlobMatcher>,
    /// True if only private mappings are taken.
    pub private: bool,
    /// No mapping of a file, programs and libraries among them.
    pub no_files: bool,
    /// True if memory that the process asked to leave out (MADV_DONTDUMP) is taken too.
    pub dont_dump: bool,
    /// True if not even the first page of a file is taken, by which debuggers know it.
    pub no_headers: bool,
    /// Take what this filter of the kernel names (`core(5)`), in place of the usual.
    pub coredump_filter: Option<u64>,
}

/// A class of mapping that a user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingClass {
    /// The `brk` heap.
    Heap,
    /// Stacks of all threads.
    Stack,
    /// Private memory without a file, heap and stacks among it.
    Anonymous,
    /// Files, programs and libraries among them.
    File,
    /// MAP_SHARED.
    Shared,
}

impl MappingClass {
    fn takes(self, region: &Region) -> bool {
        use RegionKind::{Anonymous, File, Heap, Library, Stack, ThreadStack};
        match self {
            MappingClass::Heap => region.kind == Heap,
            MappingClass::Stack => matches!(region.kind, Stack | ThreadStack),
            MappingClass::Anonymous => {
                matches!(region.kind, Anonymous | Heap | Stack | ThreadStack)
            }
            MappingClass::File => matches!(region.kind, File | Library),
            MappingClass::Shared => {
                permissions(region).is_some_and(|permissions| permissions.shared)
            }
        }
    }
}

/// Permissions to match: four letters as in `/proc/PID/maps`, `?` for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionsPattern([Option<char>; 4]);

impl PermissionsPattern {
    /// Reads `rw-p`, `r??p`.
    pub fn parse(text: &str) -> Option<Self> {
        const ALLOWED: [&str; 4] = ["r-?", "w-?", "x-?", "ps?"];
        let letters: Vec<char> = text.chars().collect();
        let letters: [char; 4] = letters.try_into().ok()?;
        let known = letters.iter().zip(ALLOWED).all(|(&letter, some)| some.contains(letter));
        known.then(|| Self(letters.map(|letter| (letter != '?').then_some(letter))))
    }

    fn matches(self, permissions: Permissions) -> bool {
        let letters = permissions.letters();
        self.0.iter().zip(letters).all(|(wanted, letter)| wanted.is_none_or(|w| w == letter))
    }
}

/// Bits of `/proc/PID/coredump_filter` (`core(5)`).
mod bit {
    pub(super) const ANONYMOUS_PRIVATE: u64 = 1;
    pub(super) const ANONYMOUS_SHARED: u64 = 1 << 1;
    pub(super) const FILE_PRIVATE: u64 = 1 << 2;
    pub(super) const FILE_SHARED: u64 = 1 << 3;
    pub(super) const ELF_HEADERS: u64 = 1 << 4;
    pub(super) const HUGE_PRIVATE: u64 = 1 << 5;
    pub(super) const HUGE_SHARED: u64 = 1 << 6;
    /// Every process begins with it.
    pub(super) const DEFAULT: u64 =
        ANONYMOUS_PRIVATE | ANONYMOUS_SHARED | ELF_HEADERS | HUGE_PRIVATE;
}

impl Filter {
    /// Returns true if the user asked for certain mappings, rather than for what a core has.
    fn is_choice(&self) -> bool {
        self.permissions.is_some()
            || !self.classes.is_empty()
            || !self.ranges.is_empty()
            || !self.names.is_empty()
            || self.private
            || self.no_files
    }

    /// The extents that are left out of a map by what was asked for, whatever it is a map of: a region that has no mapping
    /// has no permissions and is not private. Without a choice nothing is.
    pub fn left_out_of(&self, map: &MemoryMap) -> ExtentSet {
        let ranges: ExtentSet = self.ranges.iter().copied().collect();
        let taken = map.regions().iter().filter(|region| {
            let is_excluded = self.excluded.iter().any(|glob| glob.is_match(&region.label));
            let is_only_ranged = region.mapping.is_none() && self.is_only_ranged();
            !is_excluded && (!self.is_choice() || is_only_ranged || self.chooses(region))
        });
        let taken: ExtentSet = taken.map(|region| region.extent).collect();
        let taken = if ranges.is_empty() { taken } else { taken.intersection(&ranges) };
        map.extents().difference(&taken)
    }

    /// Returns true if what was asked for can be told of memory that is not a process's.
    fn is_only_ranged(&self) -> bool {
        !Filter { ranges: Vec::new(), ..self.clone() }.is_choice()
    }

    /// The extents that are left out of the mappings of a process. `absence` gives the long runs of a mapping that
    /// were never touched.
    pub(super) fn left_out(
        &self,
        regions: &Regions,
        page_size: u64,
        mut absence: impl FnMut(&Region) -> ExtentSet,
    ) -> ExtentSet {
        let mut taken = Vec::new();
        for region in regions.map.regions() {
            match self.amount(region, regions) {
                Amount::Nothing => {}
                Amount::FirstPage => taken.push(first_page(region.extent, page_size)),
                Amount::All => {
                    let all: ExtentSet = [region.extent].into_iter().collect();
                    let all = match self.ranges.is_empty() {
                        true => all,
                        false => all.intersection(&self.ranges.iter().copied().collect()),
                    };
                    taken.extend(all.difference(&absence(region)).iter());
                }
            }
        }
        regions.map.extents().difference(&taken.into_iter().collect())
    }

    fn amount(&self, region: &Region, regions: &Regions) -> Amount {
        let flags = regions.flags(region.extent.start());
        let is_excluded = self.excluded.iter().any(|glob| glob.is_match(&region.label));
        if flags.device || is_excluded || region.label == "[vsyscall]" {
            return Amount::Nothing;
        }
        if flags.dont_dump && !self.dont_dump {
            return Amount::Nothing;
        }
        let Some(mapping) = &region.mapping else { return Amount::All };
        // The first page of a program or library tells a debugger which one it is (build id).
        let tells = match &mapping.backing {
            Some(backing)
                if backing.offset == 0 && mapping.permissions.read && !self.no_headers =>
            {
                Amount::FirstPage
            }
            _ => Amount::Nothing,
        };
        if self.is_choice() {
            return if self.chooses(region) { Amount::All } else { tells };
        }
        let filter = self.coredump_filter.unwrap_or(bit::DEFAULT);
        let has = |bit| filter & bit != 0;
        let tells = if has(bit::ELF_HEADERS) { tells } else { Amount::Nothing };
        let shared = mapping.permissions.shared;
        let usage = regions.usage.get(&region.extent.start());
        let all_if = |wanted| if wanted { Amount::All } else { tells };
        match region.kind {
            RegionKind::Special => Amount::All,
            _ if flags.huge && shared => all_if(has(bit::HUGE_SHARED)),
            _ if flags.huge => all_if(has(bit::HUGE_PRIVATE)),
            RegionKind::Shared => all_if(has(bit::ANONYMOUS_SHARED)),
            _ if shared => all_if(has(bit::FILE_SHARED)),
            RegionKind::File | RegionKind::Library => {
                // Written pages are the process's own. Where smaps does not know, they may be there.
                let is_written = usage.map_or(mapping.permissions.write, |u| u.anonymous > 0);
                let written = is_written && has(bit::ANONYMOUS_PRIVATE);
                all_if(written || has(bit::FILE_PRIVATE))
            }
            _ => all_if(has(bit::ANONYMOUS_PRIVATE)),
        }
    }

    fn chooses(&self, region: &Region) -> bool {
        let Some(permissions) = permissions(region) else { return false };
        let is_file = matches!(region.kind, RegionKind::File | RegionKind::Library);
        let any = |empty, found| empty || found;
        self.permissions.is_none_or(|pattern| pattern.matches(permissions))
            && any(self.classes.is_empty(), self.classes.iter().any(|class| class.takes(region)))
            && any(
                self.ranges.is_empty(),
                self.ranges.iter().any(|range| range.intersection(region.extent).is_some()),
            )
            && any(
                self.names.is_empty(),
                self.names.iter().any(|glob| glob.is_match(&region.label)),
            )
            && !(self.private && permissions.shared)
            && !(self.no_files && is_file)
    }
}

/// The part of a mapping that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Nothing,
    FirstPage,
    All,
}

fn permissions(region: &Region) -> Option<Permissions> {
    region.mapping.as_ref().map(|mapping| mapping.permissions)
}

/// Returns true if an unpopulated run of zeros is so long that it is left out.
pub(super) fn is_long_absence(extent: Extent) -> bool {
    extent.len() >= LONG_ABSENCE
}

/// A pattern for paths and names: `*` does not cross a `/`, `**` does.
///
/// # Errors
/// A description of the problem, if the pattern is not valid.
pub fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::proc::maps::{Usage, VmFlags, parse_maps};

    const MAPS: &[u8] = b"10000-20000 r-xp 00000000 fe:01 9 /opt/lib.solid/program\n\
        20000-24000 rw-p 00010000 fe:01 9 /opt/lib.solid/program\n\
        30000-40000 rw-p 00000000 00:00 0 [heap]\n\
        50000-60000 rw-p 00000000 00:00 0 \n\
        60000-70000 rw-s 00000000 00:01 5 /memfd:x (deleted)\n\
        70000-80000 rw-s 00000000 fe:01 6 /var/lib/data\n\
        80000-90000 r--p 00000000 fe:01 8 /usr/share/locale\n\
        a0000-b0000 rw-p 00000000 00:00 0 [anon:secret]\n";

    fn regions() -> Regions {
        let written = Usage { anonymous: 4096, ..Usage::default() };
        let dont_dump = VmFlags { dont_dump: true, ..VmFlags::default() };
        let usage = BTreeMap::from([
            (0x10000, Usage::default()),
            (0x20000, written),
            (0x80000, Usage::default()),
            (0xa0000, Usage { flags: dont_dump, ..Usage::default() }),
        ]);
        Regions::new(1, parse_maps(MAPS), usage, &[]).unwrap()
    }

    /// The starts and sizes of what is taken.
    fn taken(filter: &Filter) -> Vec<(u64, u64)> {
        let regions = regions();
        let left_out = filter.left_out(&regions, 4096, |_| ExtentSet::default());
        let taken = regions.map.extents().difference(&left_out);
        let pieces = regions.map.regions().iter().flat_map(|region| taken.within(region.extent));
        pieces.map(|extent| (extent.start(), extent.len())).collect()
    }

    fn glob(text: &str) -> GlobMatcher {
        globset::Glob::new(text).unwrap().compile_matcher()
    }

    #[test]
    fn without_a_choice_it_is_what_the_kernel_takes() {
        let first_pages = [(0x10000, 0x1000), (0x70000, 0x1000), (0x80000, 0x1000)];
        let mut expected = vec![(0x20000, 0x4000), (0x30000, 0x10000), (0x50000, 0x10000)];
        expected.push((0x60000, 0x10000));
        expected.extend(first_pages);
        expected.sort_unstable();
        assert_eq!(taken(&Filter::default()), expected);
        let all = Filter { coredump_filter: Some(0x7f), dont_dump: true, ..Filter::default() };
        assert_eq!(taken(&all).iter().map(|(_, len)| len).sum::<u64>(), 0x74000);
    }

    #[test]
    fn the_shells_filter_is_one_of_fields() {
        let recipe = Filter {
            permissions: PermissionsPattern::parse("rw-p"),
            private: true,
            no_files: true,
            ..Filter::default()
        };
        let whole: Vec<(u64, u64)> = taken(&recipe).into_iter().filter(|t| t.1 > 4096).collect();
        assert_eq!(whole, [(0x30000, 0x10000), (0x50000, 0x10000)]);
    }

    #[test]
    fn names_ranges_and_sorts() {
        let named = Filter { names: vec![glob("/opt/**")], ..Filter::default() };
        let whole: Vec<u64> = taken(&named).iter().filter(|t| t.1 > 4096).map(|t| t.0).collect();
        assert_eq!(whole, [0x10000, 0x20000]);
        let range = Extent::half_open(0x38000, 0x58000).unwrap();
        let ranged = Filter { ranges: vec![range], ..Filter::default() };
        let whole: Vec<(u64, u64)> = taken(&ranged).into_iter().filter(|t| t.1 > 4096).collect();
        assert_eq!(whole, [(0x38000, 0x8000), (0x50000, 0x8000)]);
        let heap = Filter { classes: vec![MappingClass::Heap], ..Filter::default() };
        let whole: Vec<u64> = taken(&heap).iter().filter(|t| t.1 > 4096).map(|t| t.0).collect();
        assert_eq!(whole, [0x30000]);
        let excluded = Filter { excluded: vec![glob("[[]heap]")], ..Filter::default() };
        assert!(taken(&excluded).iter().all(|&(start, _)| start != 0x30000));
    }

    #[test]
    fn only_permissions_are_permissions() {
        assert!(PermissionsPattern::parse("rw-p").is_some());
        assert!(PermissionsPattern::parse("r??s").is_some());
        for wrong in ["rw-", "rwxpp", "wr-p", "rw-x", ""] {
            assert!(PermissionsPattern::parse(wrong).is_none(), "{wrong}");
        }
    }
}
