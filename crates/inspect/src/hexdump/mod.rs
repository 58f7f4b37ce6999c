//! The hexdump: memory as lines of addresses, bytes and text, as `hexdump -C` lays them out.
//!
//! All CPUs lay out windows of memory; they are put together in the order of addresses, so that it reads as if it had been
//! done in one go: of lines that are alike one is shown and a `*`, wherever reads, windows and regions end. Not about
//! where the lines go, nor about colours (see [`Marks`]).

mod join;
mod line;
mod marks;
mod window;

use std::collections::VecDeque;
use std::io;

use memdump_image::{
    AddressSpace, Extent, ExtentSet, Facts, Hole, MemoryMap, Plan, Region, RegionKind,
};

pub use line::{Form, Layout};
pub use marks::Marks;

use crate::scan::{self, Content, Look, Part, ScanError, scan};
use join::{Joiner, Listener};
use window::{Style, Window};

/// What to show of memory, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What lines look like.
    pub layout: Layout,
    /// One line and a `*` stand for lines that are alike.
    pub squeeze: bool,
    /// Regions are told one by one ([`Event::Region`]), and a line ends where a region does. Else regions that touch are
    /// one stretch of memory.
    pub by_region: bool,
    /// The page size of the machine that the memory is of, in bytes: a power of two.
    pub page_size: u64,
    /// How it is read.
    pub scan: scan::Options,
}

/// What is told, in the order of addresses.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Whole lines, each with its end. Behind each stretch of memory stands the address where it ends.
    Lines(&'a [u8]),
    /// A region begins, or the part of it that is wanted.
    Region(&'a Region),
    /// Memory that could not be read. Holes that touch and have one cause are one.
    Hole(Hole),
    /// A part of what was asked for that lies in no region.
    Nothing(Extent),
    /// So many bytes more have been dealt with.
    Progress(u64),
}

/// Shows the memory of `map`, which is that of `space` or a part of it: the ranges in the order given, or all.
///
/// # Errors
/// When the source fails as a whole, or `listener` does.
pub fn hexdump(
    space: &dyn AddressSpace,
    map: &MemoryMap,
    ranges: Option<&[Extent]>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), ScanError> {
    let Some(ranges) = ranges else {
        return one(space, map.clone(), VecDeque::new(), options, listener);
    };
    for &range in ranges {
        let asked = ExtentSet::from_iter([range]);
        let nothing = asked.difference(&map.extents()).iter().collect();
        one(space, map.clip(&asked), nothing, options, listener)?;
    }
    Ok(())
}

/// All of a map, and between its regions what of the range lies in none.
fn one(
    space: &dyn AddressSpace,
    map: MemoryMap,
    nothing: VecDeque<Extent>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), ScanError> {
    let style = Style { layout: &options.layout, squeezes: options.squeeze };
    let plan = Plan::whole(map.clone(), options.page_size, Facts::default());
    let ground = Ground { stretches: map.extents(), map: &map, by_region: options.by_region };
    let look = Lay { style, ground: &ground };
    let mut teller =
        Teller { joiner: Joiner::new(style, listener), ground: &ground, region: None, nothing };
    let (_, result) =
        scan(space, &plan, &options.scan, &look, &mut |part, windows: Vec<Window>| {
            teller.part(part, &windows)
        });
    result?;
    teller.finish().map_err(ScanError::Deliver)
}

/// What lies where, as lines see it.
struct Ground<'a> {
    map: &'a MemoryMap,
    stretches: ExtentSet,
    by_region: bool,
}

impl Ground<'_> {
    /// Where lines are counted from at an address.
    fn grid(&self, addr: u64) -> u64 {
        match self.by_region {
            true => self.map.find(addr).map_or(addr, |region| region.extent.start()),
            false => self.stretches.find(addr).map_or(addr, Extent::start),
        }
    }

    fn kind(&self, addr: u64) -> RegionKind {
        self.map.find(addr).map_or(RegionKind::Unknown, |region| region.kind)
    }

    /// The parts of `extent` in each region; all of it where regions are not told apart.
    fn split(&self, extent: Extent) -> impl Iterator<Item = Extent> {
        let mut rest = Some(extent);
        std::iter::from_fn(move || {
            let here = rest?;
            let region = self.map.find(here.start()).filter(|_| self.by_region);
            let len = region.map_or(here.len(), |region| region.extent.end() - here.start());
            let (head, tail) = here.split_at(len);
            rest = tail;
            head
        })
    }
}

/// Lays out what was read.
struct Lay<'a> {
    style: Style<'a>,
    ground: &'a Ground<'a>,
}

impl Look for Lay<'_> {
    type Found = Vec<Window>;

    fn reach(&self) -> usize {
        0
    }

    fn look(&self, part: &Part<'_>) -> Vec<Window> {
        let Content::Bytes(window) = &part.content else { return Vec::new() };
        let bytes = &window.bytes[window.own.clone()];
        let lay_out = |extent: Extent| {
            // Both lie within the bytes that were read.
            let from = (extent.start() - part.extent.start()) as usize;
            let bytes = &bytes[from..from + extent.len() as usize];
            let addr = extent.start();
            self.style.lay_out(self.ground.kind(addr), self.ground.grid(addr), addr, bytes)
        };
        self.ground.split(part.extent).map(lay_out).collect()
    }
}

/// Tells what was laid out, and what lies between.
struct Teller<'a> {
    joiner: Joiner<'a>,
    ground: &'a Ground<'a>,
    /// The start of the region that was told last.
    region: Option<u64>,
    /// What lies in no region and has not been told.
    nothing: VecDeque<Extent>,
}

impl Teller<'_> {
    fn part(&mut self, part: &Part<'_>, windows: &[Window]) -> io::Result<()> {
        match part.content {
            Content::Bytes(_) => {
                for window in windows {
                    self.arrive(window.addr)?;
                    self.joiner.window(self.ground.kind(window.addr), window)?;
                }
            }
            Content::Zero => {
                for extent in self.ground.split(part.extent) {
                    self.arrive(extent.start())?;
                    let (kind, grid) =
                        (self.ground.kind(extent.start()), self.ground.grid(extent.start()));
                    self.joiner.zeros(kind, grid, extent)?;
                }
            }
            Content::Hole(cause) => {
                for extent in self.ground.split(part.extent) {
                    self.arrive(extent.start())?;
                    self.joiner.hole(extent, cause)?;
                }
            }
        }
        self.joiner.progress(part.extent.len())
    }

    /// What stands before an address is told first.
    fn arrive(&mut self, addr: u64) -> io::Result<()> {
        while let Some(extent) = self.nothing.pop_front_if(|extent| extent.start() < addr) {
            self.joiner.tell(Event::Nothing(extent))?;
        }
        let region = self.ground.map.find(addr).filter(|_| self.ground.by_region);
        let start = region.map(|region| region.extent.start());
        if let Some(region) = region
            && start != self.region
        {
            self.region = start;
            self.joiner.tell(Event::Region(region))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.arrive(u64::MAX)?;
        self.joiner.finish()
    }
}
