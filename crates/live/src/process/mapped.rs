//! What a running process still has mapped. A page that is in no page table may be one that was never touched, which is a page of
//! zeros, or one that is gone since the mappings were listed: they look the same there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use memdump_image::{Cause, Extent, ExtentSet, Presence, Run};

use crate::proc::maps::parse_maps;

/// The list is read again when it is older than this many times what it takes to read, so that reading it takes at most
/// so small a share of the time.
const PATIENCE: u32 = 10;

/// The mappings of a process as it goes on.
pub(super) struct StillMapped {
    path: PathBuf,
    latest: Mutex<Option<Listed>>,
}

/// The mappings as they were.
struct Listed {
    extents: ExtentSet,
    at: Instant,
    took: Duration,
}

impl StillMapped {
    /// Of the process with this folder in `/proc`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join("maps"), latest: Mutex::default() }
    }

    /// What `extent`, of which no page is in the page table, is: zeros where it is mapped, nothing elsewhere.
    ///
    /// # Errors
    /// When the mappings cannot be read.
    pub(super) fn survey(&self, extent: Extent) -> io::Result<Vec<Run>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_none_or(|listed| listed.at.elapsed() > listed.took * PATIENCE) {
            *latest = Some(self.list()?);
        }
        let mut runs = Vec::new();
        let mut at = extent.start();
        let nothing = Presence::Nothing(Cause::Unmapped);
        for mapped in latest.iter().flat_map(|listed| listed.extents.within(extent)) {
            let gap = Extent::half_open(at, mapped.start());
            runs.extend(gap.map(|extent| Run { extent, presence: nothing }));
            runs.push(Run { extent: mapped, presence: Presence::Zero });
            at = mapped.end();
        }
        let gap = Extent::half_open(at, extent.end());
        runs.extend(gap.map(|extent| Run { extent, presence: nothing }));
        Ok(runs)
    }

    fn list(&self) -> io::Result<Listed> {
        let at = Instant::now();
        let maps = parse_maps(&fs::read(&self.path)?);
        let extents = maps.into_iter().map(|vma| vma.extent).collect();
        Ok(Listed { extents, at, took: at.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_where_it_is_mapped_and_nothing_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let line = |range: &str| format!("{range} rw-p 00000000 00:00 0 \n");
        let text = line("1000-3000") + &line("3000-4000") + &line("6000-7000");
        fs::write(folder.path().join("maps"), text).unwrap();
        let mapped = StillMapped::new(folder.path());
        let survey = |start, end| {
            let runs = mapped.survey(Extent::half_open(start, end).unwrap()).unwrap();
            runs.into_iter()
                .map(|run| (run.extent.start(), run.presence == Presence::Zero))
                .collect::<Vec<_>>()
        };
        assert_eq!(survey(0x1000, 0x4000), [(0x1000, true)]);
        assert_eq!(
            survey(0x3000, 0x8000),
            [(0x3000, true), (0x4000, false), (0x6000, true), (0x7000, false)]
        );
        assert_eq!(survey(0x8000, 0x9000), [(0x8000, false)]);
    }
}
