//! A source that is read until nobody wants it any more: a block may take seconds where reads are small or slow, and a copy that was
//! asked to stop does not wait for it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{AddressSpace, Extent, MemoryMap, ReadError, Run};

/// See the module.
pub(super) struct Until<'a> {
    space: &'a dyn AddressSpace,
    over: AtomicBool,
}

impl<'a> Until<'a> {
    pub(super) fn new(space: &'a dyn AddressSpace) -> Self {
        Self { space, over: AtomicBool::new(false) }
    }

    /// From now on every read fails.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> io::Result<()> {
        match self.over.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the copy is over")),
            false => Ok(()),
        }
    }
}

impl AddressSpace for Until<'_> {
    fn map(&self) -> &MemoryMap {
        self.space.map()
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.goes_on()?;
        self.space.read_at(addr, buf)
    }

    fn survey(&self, extent: Extent) -> Result<Vec<Run>, ReadError> {
        self.space.survey(extent)
    }

    fn survey_is_final(&self) -> bool {
        self.space.survey_is_final()
    }

    fn read_runs(&self, runs: &[Run], buf: &mut [u8]) -> Result<usize, ReadError> {
        self.goes_on()?;
        self.space.read_runs(runs, buf)
    }
}
