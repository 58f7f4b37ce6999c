//! The mappings that a running process still has. A page that is in no page table may be one that was never touched, which is a page of
//! zeros, or one that is gone since the mappings were listed: they look the same there. So the mappings are asked again, after the
//! page table was: what is mapped then was not gone before.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use memdump_image::{Cause, Extent, ExtentSet, Presence, Run};
use rustix::io::Errno;

use crate::proc::maps::parse_maps;
use crate::sys::procmap;

/// If mappings cannot be asked one by one (before Linux 6.11), all are listed again, as long as that takes at most this
/// share of the time; with tens of thousands of them it would else take nearly all of it. What is unmapped between two lists
/// passes for zeros.
const SHARE: u32 = 10;

/// The mappings of a process as it goes on.
pub(super) struct StillMapped {
    maps: File,
    path: PathBuf,
    since: Instant,
    /// None where one mapping can be asked for.
    lists: Mutex<Option<Lists>>,
}

/// The mappings as they were when they were listed last.
#[derive(Default)]
struct Lists {
    latest: Option<ExtentSet>,
    /// The time that all listing took.
    took: Duration,
}

impl StillMapped {
    /// Of the process with this directory in `/proc`.
    ///
    /// # Errors
    /// When its mappings cannot be opened.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("maps");
        let maps = File::open(&path)?;
        let by_list = match procmap::mapping_from(&maps, 0) {
            Err(error) => Errno::from_io_error(&error) == Some(Errno::NOTTY),
            Ok(_) => false,
        };
        let lists = Mutex::new(by_list.then(Lists::default));
        Ok(Self { maps, path, since: Instant::now(), lists })
    }

    /// The runs of `extent`, whose pages were not in the page table: zeros where it is mapped now, nothing elsewhere.
    ///
    /// # Errors
    /// When the mappings cannot be read; ESRCH when the process has ended.
    pub(super) fn survey(&self, extent: Extent) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        let mut at = extent.start();
        let nothing = Presence::Nothing(Cause::Unmapped);
        for mapped in self.mapped(extent)? {
            let gap = Extent::half_open(at, mapped.start());
            runs.extend(gap.map(|extent| Run { extent, presence: nothing }));
            runs.push(Run { extent: mapped, presence: Presence::Zero });
            at = mapped.end();
        }
        let gap = Extent::half_open(at, extent.end());
        runs.extend(gap.map(|extent| Run { extent, presence: nothing }));
        Ok(runs)
    }

    /// The parts of `extent` that are mapped now.
    fn mapped(&self, extent: Extent) -> io::Result<Vec<Extent>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lists) = lists.as_mut() else {
            return self.ask(extent);
        };
        if lists.latest.is_none() || lists.took * SHARE <= self.since.elapsed() {
            let started = Instant::now();
            let maps = parse_maps(&fs::read(&self.path)?);
            lists.latest = Some(maps.into_iter().map(|vma| vma.extent).collect());
            lists.took += started.elapsed();
        }
        Ok(lists.latest.iter().flat_map(|latest| latest.within(extent)).collect())
    }

    fn ask(&self, extent: Extent) -> io::Result<Vec<Extent>> {
        let mut found: Vec<Extent> = Vec::new();
        let mut rest = Some(extent);
        while let Some(here) = rest {
            let Some(mapping) = procmap::mapping_from(&self.maps, here.start())? else { break };
            let Some(part) = mapping.intersection(here) else { break };
            found.push(part);
            rest = Extent::half_open(part.end(), extent.end()).ok();
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn zeros_where_it_is_listed_and_nothing_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let line = |range: &str| format!("{range} rw-p 00000000 00:00 0 \n");
        let text = line("1000-3000") + &line("3000-4000") + &line("6000-7000");
        fs::write(folder.path().join("maps"), text).unwrap();
        // An ordinary file knows nothing of the question, as an older kernel.
        let mapped = StillMapped::open(folder.path()).unwrap();
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

    #[test]
    fn what_is_asked_is_what_is_listed() {
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // When it has answered it maps nothing more.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let folder = PathBuf::from(format!("/proc/{}", child.id()));
        let user = Extent::half_open(0, 1 << 47).unwrap();
        let asked = StillMapped::open(&folder).unwrap();
        let by_list = StillMapped {
            lists: Mutex::new(Some(Lists::default())),
            ..StillMapped::open(&folder).unwrap()
        };
        let mapped =
            |still: &StillMapped| still.mapped(user).unwrap().into_iter().collect::<ExtentSet>();
        assert_eq!(mapped(&asked), mapped(&by_list));
        assert!(!mapped(&asked).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = asked.survey(user);
        assert!(gone.is_err() || asked.lists.lock().unwrap().is_some(), "{gone:?}");
    }
}
