//! What an image has no content for, found out before anything of it is read.
//!
//! Not about memory that turns out to be unreadable: that is the copy's.

use memdump_image::format::{Format, Holes};
use memdump_image::{AddressSpace, Extent, ExtentSet, Hole, HoleList, MemoryMap, Plan, Presence};

/// Gaps that are made of holes at most, the longest of them: readers look through an ELF image's segments one by one, and many count
/// them in 16 bits.
const MAX_GAPS: usize = 60_000;

/// What there is content for.
pub(super) struct Present {
    pub(super) absent: ExtentSet,
    /// The same with the causes.
    pub(super) holes: HoleList,
}

/// Finds out what of `map` there is content for, without reading memory.
pub(super) fn survey(space: &dyn AddressSpace, map: &MemoryMap) -> Present {
    let mut absent = Vec::new();
    let mut holes = HoleList::default();
    each_hole(space, map, |hole| {
        absent.push(hole.extent);
        holes.add(hole);
    });
    Present { absent: absent.into_iter().collect(), holes }
}

/// Takes out of `plan` what `space`, an image, has no content for, where an image of `format` says so by gaps between its regions.
/// Gives what was taken out.
pub(super) fn take_out_gaps(
    space: &dyn AddressSpace,
    plan: &mut Plan,
    format: &Format,
) -> Vec<Hole> {
    if format.holes != Holes::Gaps {
        return Vec::new();
    }
    let gaps = gaps(space, &plan.map);
    plan.map = plan.map.subtract(&gaps.iter().map(|gap| gap.extent).collect());
    gaps
}

/// Holes that are worth a gap: all, or of very many the longest.
fn gaps(space: &dyn AddressSpace, map: &MemoryMap) -> Vec<Hole> {
    let mut gaps: Vec<Hole> = Vec::new();
    let mut shortest = 1;
    let mut thin_out = |gaps: &mut Vec<Hole>| loop {
        gaps.retain(|gap| gap.extent.len() >= shortest);
        if gaps.len() <= MAX_GAPS {
            break;
        }
        shortest *= 2;
    };
    each_hole(space, map, |hole| match gaps.last_mut() {
        Some(last) if last.extent.end() == hole.extent.start() && last.cause == hole.cause => {
            last.extent = last.extent.hull(hole.extent);
        }
        _ => {
            if gaps.len() > 2 * MAX_GAPS {
                thin_out(&mut gaps);
            }
            gaps.push(hole);
        }
    });
    thin_out(&mut gaps);
    gaps
}

fn each_hole(space: &dyn AddressSpace, map: &MemoryMap, mut found: impl FnMut(Hole)) {
    for region in map.regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let Ok(runs) = space.survey(here) else { break };
            for run in &runs {
                if let Presence::Nothing(cause) = run.presence {
                    found(Hole { extent: run.extent, cause });
                }
            }
            let end = runs.last().map_or(here.end(), |run| run.extent.end());
            rest = Extent::half_open(end, here.end()).ok();
        }
    }
}
