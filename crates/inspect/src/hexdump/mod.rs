//! The hexdump: memory as lines of addresses, bytes and text, as `hexdump -C` lays them out.
//!
//! All CPUs lay out windows of memory; they are put together in the order of addresses, so that it reads as if it had been
//! done in one go: of lines that are alike one is shown and a `*`, wherever reads, windows and regions end. Colours are
//! [`Marks`]; the lines go to the caller.

mod event;
mod join;
mod line;
mod marks;
mod window;

use std::collections::VecDeque;
use std::io;

use memdump_image::{Extent, ExtentSet, MemoryMap, RegionKind, View};

pub use event::{Event, Options, Sink};
pub use line::{Form, Layout};
pub use marks::Marks;

use crate::scan::{Content, Flow, Look, Part, ScanError, Summary, scan};
use join::Joiner;
use window::{Style, Window};

/// Shows the memory of `view`: the ranges in the order given, or all of it.
///
/// # Errors
/// When the source fails as a whole, or `sink` does.
pub fn hexdump(
    view: &View<'_>,
    ranges: Option<&[Extent]>,
    options: &Options,
    sink: Sink<'_>,
) -> Result<Summary, ScanError> {
    let mut all = Summary::default();
    let Some(ranges) = ranges else {
        let _ = one(view, VecDeque::new(), options, &mut all, sink)?;
        return Ok(all);
    };
    for &range in ranges {
        let wanted = ExtentSet::from_iter([range]);
        let nothing = wanted.difference(view.extents()).iter().collect();
        if one(&view.clone().within(&wanted), nothing, options, &mut all, sink)?.is_stop() {
            break;
        }
    }
    Ok(all)
}

/// Shows all of a view, and between its regions the extents that lie in none.
fn one(
    view: &View<'_>,
    nothing: VecDeque<Extent>,
    options: &Options,
    all: &mut Summary,
    sink: Sink<'_>,
) -> Result<Flow, ScanError> {
    let style = Style { layout: &options.layout, squeezes: options.squeeze };
    let map = view.map();
    let ground = Ground { stretches: view.extents(), map: &map, by_region: options.by_region };
    let look = Lay { style, ground: &ground };
    let mut teller =
        Teller { joiner: Joiner::new(style, sink), ground: &ground, region: None, nothing };
    let seen = scan(view, &options.scan, &look, &mut |part, windows: Vec<Window>| {
        teller.part(part, &windows)
    })?;
    all.add(&seen);
    teller.finish().map_err(ScanError::Deliver)
}

/// The regions and stretches of memory, for the layout of lines.
struct Ground<'a> {
    map: &'a MemoryMap,
    stretches: &'a ExtentSet,
    by_region: bool,
}

impl Ground<'_> {
    /// The address that lines are counted from at `addr`.
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

/// Sends the lines, and what lies between them.
struct Teller<'a> {
    joiner: Joiner<'a>,
    ground: &'a Ground<'a>,
    /// The start of the region that was sent last.
    region: Option<u64>,
    /// The extents that lie in no region and have not been sent.
    nothing: VecDeque<Extent>,
}

impl Teller<'_> {
    fn part(&mut self, part: &Part<'_>, windows: &[Window]) -> io::Result<Flow> {
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
        self.joiner.progress(part.extent.len())?;
        Ok(self.joiner.flow())
    }

    /// Sends what stands before an address.
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

    fn finish(&mut self) -> io::Result<Flow> {
        self.arrive(u64::MAX)?;
        self.joiner.finish()?;
        Ok(self.joiner.flow())
    }
}
