//! Cuts a plan into blocks to read.

use std::collections::VecDeque;
use std::io;

use super::error::CopyError;
use crate::{AddressSpace, Extent, Plan, Presence, ReadError, Run, View};

/// Runs that are read together, into one buffer.
#[derive(Clone, Debug)]
pub struct Block {
    /// Ascending, never empty.
    pub runs: Vec<Run>,
    /// From the first address to the last, what lies between runs too.
    pub span: Extent,
}

/// Blocks in the order of the plan. None has more than `block_len` bytes to read or more than
/// `MAX_RUNS` (1,024) runs. A run that is cut is cut at multiples of `block_len`, which keeps reads
/// aligned; only runs that fit whole share a block.
pub struct Blocks<'a> {
    space: &'a dyn AddressSpace,
    extents: Box<dyn Iterator<Item = Extent> + Send + 'a>,
    /// The part of the present extent that has not been surveyed yet.
    rest: Option<Extent>,
    surveyed: VecDeque<Run>,
    block_len: u64,
}

/// As many pieces of memory as one `process_vm_readv` takes (IOV_MAX).
const MAX_RUNS: usize = 1024;

impl<'a> Blocks<'a> {
    /// The blocks of `plan`, with at most `block_len` bytes to read in each, at least 1.
    pub fn new(space: &'a dyn AddressSpace, plan: &'a Plan, block_len: u64) -> Self {
        // The extents are few beside the memory; to have them frees the copy from the plan's sets.
        let extents: Vec<Extent> = plan.extents().collect();
        let extents = Box::new(extents.into_iter());
        Self { space, extents, rest: None, surveyed: VecDeque::new(), block_len }
    }

    /// The blocks of a view, in ascending order, with at most `block_len` bytes to read in each, at least 1.
    pub fn of_view(view: &View<'a>, block_len: u64) -> Self {
        let extents: Vec<Extent> = view.pieces().collect();
        let extents = Box::new(extents.into_iter());
        Self { space: view.space(), extents, rest: None, surveyed: VecDeque::new(), block_len }
    }

    /// The blocks of `extent`, which lies within a region, as of a plan that names it alone.
    pub fn of_extent(space: &'a dyn AddressSpace, extent: Extent, block_len: u64) -> Self {
        let extents = Box::new(std::iter::once(extent));
        Self { space, extents, rest: None, surveyed: VecDeque::new(), block_len }
    }

    /// The next run, which stays there; none at the end.
    fn peek(&mut self) -> Result<Option<Run>, CopyError> {
        while self.surveyed.is_empty() {
            let Some(extent) = self.rest.take().or_else(|| self.extents.next()) else {
                return Ok(None);
            };
            let runs = match self.space.survey(extent) {
                Ok(runs) => runs,
                Err(ReadError::Fault { cause, .. }) => {
                    vec![Run { extent, presence: Presence::Nothing(cause) }]
                }
                Err(ReadError::Io(source)) => {
                    return Err(CopyError::Read { addr: extent.start(), source });
                }
            };
            let end = match runs.last() {
                Some(run) if extent.covers(run.extent) => run.extent.end(),
                _ => {
                    let source = io::Error::other("the source surveyed nothing and said no error");
                    return Err(CopyError::Read { addr: extent.start(), source });
                }
            };
            self.rest = Extent::half_open(end, extent.end()).ok();
            self.surveyed.extend(runs);
        }
        Ok(self.surveyed.front().copied())
    }

    fn next_block(&mut self) -> Result<Option<Block>, CopyError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut room = self.block_len;
        while runs.len() < MAX_RUNS
            && let Some(run) = self.peek()?
        {
            let is_next_pass =
                runs.last().is_some_and(|last| last.extent.end() > run.extent.start());
            if is_next_pass {
                break;
            }
            self.surveyed.pop_front();
            if !run.presence.is_readable() || run.extent.len() <= room {
                runs.push(run);
                if run.presence.is_readable() {
                    room -= run.extent.len();
                }
                continue;
            }
            if !runs.is_empty() {
                self.surveyed.push_front(run);
                break;
            }
            let to_border = self.block_len - run.extent.start() % self.block_len;
            let (head, tail) = run.extent.split_at(to_border);
            let part = |extent| Run { extent, ..run };
            runs.extend(head.map(part));
            if let Some(tail) = tail {
                self.surveyed.push_front(part(tail));
            }
            break;
        }
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(None) };
        let span = Extent::half_open(first.extent.start(), last.extent.end());
        Ok(Some(Block { span: span.unwrap_or(first.extent), runs }))
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, CopyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_block().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExtentSet, Facts, MemoryMap, Region, RegionKind, Space};
    use proptest::prelude::*;

    /// Surveys in short answers; every third page is zero.
    struct Surveyed(MemoryMap);

    impl AddressSpace for Surveyed {
        fn map(&self) -> &MemoryMap {
            &self.0
        }

        fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
            Ok(buf.len())
        }

        fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
            let mut runs = Vec::new();
            let mut at = extent.start();
            while at < extent.end() && runs.len() < 5 {
                let end = extent.end().min((at / 100 + 1) * 100);
                let zero = (at / 100).is_multiple_of(3);
                let presence = if zero { Presence::Zero } else { Presence::Memory };
                runs.push(Run { extent: Extent::half_open(at, end).unwrap(), presence });
                at = end;
            }
            Ok(runs)
        }
    }

    proptest! {
        #[test]
        fn blocks_cover_the_plan_once(
            ranges in prop::collection::vec((1u64..5000, 1u64..5000), 0..6),
            first in (0u64..20_000, 1u64..5000),
            left_out in (0u64..20_000, 1u64..5000),
            block_len in 1u64..3000,
        ) {
            let mut at = 0;
            let regions: Vec<Region> = ranges.iter().map(|&(gap, len)| {
                let extent = Extent::with_len(at + gap, len).unwrap();
                at = extent.end();
                Region::new(extent, RegionKind::Ram)
            }).collect();
            let map = MemoryMap::new(Space::Physical, regions).unwrap();
            let set = |(start, len)| ExtentSet::from_iter(Extent::with_len(start, len));
            let mut plan = Plan::whole(map.clone(), 4096, Facts::default());
            (plan.first, plan.left_out) = (set(first), set(left_out));
            let space = Surveyed(map);
            let blocks: Vec<Block> =
                Blocks::new(&space, &plan, block_len).map(Result::unwrap).collect();
            let wanted = plan.map.extents().difference(&plan.left_out);
            let runs: Vec<Run> = blocks.iter().flat_map(|block| block.runs.clone()).collect();
            prop_assert_eq!(runs.iter().map(|run| run.extent.len()).sum::<u64>(), wanted.total());
            prop_assert_eq!(runs.iter().map(|run| run.extent).collect::<ExtentSet>(), wanted.clone());
            let view = View::new(&space, 4096).without(&plan.left_out);
            let of_view = Blocks::of_view(&view, block_len).flat_map(|block| block.unwrap().runs);
            prop_assert_eq!(of_view.map(|run| run.extent).collect::<ExtentSet>(), wanted);
            let mut ascending = plan.clone();
            ascending.first = ExtentSet::default();
            prop_assert!(view.pieces().eq(ascending.extents()));
            let early = plan.extents().take_while(|extent| plan.first.covers(*extent));
            let early: u64 = early.map(Extent::len).sum();
            prop_assert_eq!(early, plan.map.extents().difference(&plan.left_out)
                .intersection(&plan.first).total());
            for block in &blocks {
                let readable = block.runs.iter().filter(|run| run.presence.is_readable());
                prop_assert!(readable.map(|run| run.extent.len()).sum::<u64>() <= block_len);
                let mut pairs = block.runs.array_windows();
                let ascends = pairs.all(|[a, b]| a.extent.end() <= b.extent.start());
                prop_assert!(ascends);

            }
        }
    }
}
