//! The one job that copies memory to an image: a dump of the machine, a core of a process, a directory of its mappings, or a
//! conversion. These differ only in their options and source.
//!
//! Opening a job opens all its files: the image, its manifest, its map and its kit. Everything that can be refused is refused
//! then, before a process is paused or a byte is read. Then the job [runs](Job::run), once, and returns what was [done](Done). An
//! early end cleans up by dropping the files. A file that was not committed never looks complete.

mod afterwards;
mod ending;
mod monitor;
mod options;
mod output;
mod repack;
mod source;
mod split;
mod watch;

use memdump_image::{CopyError, Hole, Summary, copy};
use memdump_live::Kit;
use memdump_sink::Receipt;

use crate::error::{Error, Result};
use crate::kit::{Archive, Packed};
use crate::manifest::{self, Beside, Origin, RegionRecord, Sampler, SecondLook, Times, Written};
use crate::map_file::MapFile;
use afterwards::Afterwards;
pub use afterwards::SPLIT;
pub use monitor::{Monitor, Unattended};
use options::ImagePlace;
pub use options::{JobOptions, default_readers};
use output::Output;
pub use source::Source;
use watch::Watch;

impl JobOptions {
    /// Opens the image and all files beside it.
    ///
    /// # Errors
    /// If one of the files exists already, or cannot be created. No file is left then.
    pub fn open(self) -> Result<Job> {
        let map = MapFile::create(self.map.as_deref())?;
        let kit = self.kit.as_deref().map(|path| Archive::open(path, self.overwrite));
        let kit = kit.transpose()?;
        let (output, beside) = match &self.place {
            ImagePlace::One(destination) => {
                let beside = || Beside::open(&self.manifest, destination, self.overwrite);
                Output::open(&self, destination, beside)?
            }
            ImagePlace::Directory { path, pid } => {
                let split = split::Split::open(path, *pid, self.overwrite)?;
                let name = pid.to_string();
                let beside = Beside::open_in(&self.manifest, path, &name, self.overwrite)?;
                (Output::Split(split), beside)
            }
        };
        Ok(Job { options: self, map, kit, beside, output })
    }

    fn write_kit(&self, archive: Archive, kit: Option<&Kit>, times: Times) -> Result<Packed> {
        let image = match &self.place {
            ImagePlace::One(destination) => destination.path(),
            ImagePlace::Directory { path, .. } => Some(path.as_path()),
        };
        archive.write(kit.into_iter().flat_map(Kit::items), times.start_seconds(), image)
    }
}

/// An image that is open and waits for memory. If it is dropped, no file remains that looks like a complete image.
pub struct Job {
    options: JobOptions,
    map: MapFile,
    kit: Option<Archive>,
    beside: Option<Beside>,
    output: Output,
}

impl Job {
    /// Copies the memory of `source`, and commits the image.
    ///
    /// # Errors
    /// If the source or the image fails as a whole, or the monitor stops the job. The message says how much was copied and which
    /// file is left.
    pub fn run(self, mut source: Source<'_>, monitor: &mut dyn Monitor) -> Result<Done> {
        let Self { options, map, kit, beside, mut output } = self;
        if kit.is_some() && source.kit.is_none() {
            let message = "the files of a kit are a running machine's, and the source is none";
            return Err(Error::request(message));
        }
        options.fit(&mut source);
        let (space, plan) = (source.space, source.take_plan());
        if let Output::Split(split) = &mut output {
            split.write_maps(&source.maps_text()?)?;
        }
        let mut afterwards = match &beside {
            Some(_) => Some(Afterwards::new(&plan, &output, options.hashes_afterwards)),
            None => None,
        };
        let sampler = options
            .second_look
            .map(|percent| Sampler::new(percent, plan.page_size, u64::from(std::process::id())));
        monitor.begins(options.expected(&plan));
        let mut watch = Watch { monitor, map, hashes: afterwards.as_mut(), sampler, source };
        let mut times = Times::begin();
        let (summary, result) = {
            let mut writer = output.writer(options.format);
            copy(space, &plan, &mut *writer, &options.copy, &mut watch)
        };
        times.end();
        watch.monitor.ends();
        let Watch { mut map, mut source, sampler, .. } = watch;
        let result = result.and_then(|()| map.close().map_err(CopyError::Observe));
        if let Err(error) = result {
            // The process runs on before the error is reported.
            source.let_go();
            return Err(output.failed(error, &summary));
        }
        let receipt = output.commit(&summary)?;
        let second_look = sampler.map(|sampler| sampler.look(space));
        let mut missing = std::mem::take(&mut source.omitted);
        missing.extend(summary.holes.listed());
        missing.extend(source.changed_since()?);
        let kit = kit.map(|kit| options.write_kit(kit, source.kit, times)).transpose()?;
        let is_cut = options.copy.limit.is_some_and(|limit| summary.bytes >= limit);
        let kit_record = kit.as_ref().map(|packed| packed.kit.clone());
        let pending = beside.zip(afterwards).map(|(beside, hashes)| Pending {
            beside,
            hashes,
            is_cut,
            origin: source.origin(&plan),
            times,
            kit,
            options,
        });
        Ok(Done {
            report: Report { summary, missing, second_look, kit: kit_record, receipt },
            pending,
        })
    }
}

/// A job whose image is committed.
///
/// If the memory is that of a process, the manifest is not written yet: hashing takes longer than copying, and must not prolong
/// the pause. [`finish`](Self::finish) computes the remaining hashes, and writes the manifest.
#[must_use = "the manifest is written by finish"]
pub struct Done {
    /// The report of the copy.
    pub report: Report,
    pending: Option<Pending>,
}

/// The report of a copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The counts of the copy.
    pub summary: Summary,
    /// The memory that is not in the image: known before the copy, found while reading, or changed during the copy.
    pub missing: Vec<Hole>,
    /// The result of reading a sample of pages again, if that was asked for.
    pub second_look: Option<SecondLook>,
    /// The content of the analysis kit, if one was asked for.
    pub kit: Option<manifest::Kit>,
    /// The receipt of the sink for the image.
    pub receipt: Receipt,
}

impl Report {
    /// Returns true if nothing is missing that any source could have provided.
    pub fn is_complete(&self) -> bool {
        self.missing.iter().all(|hole| hole.cause.is_inherent())
            && self.summary.holes.by_cause().all(|(cause, _)| cause.is_inherent())
    }
}

/// A manifest that is not written yet.
struct Pending {
    beside: Beside,
    hashes: Afterwards,
    /// True if the copy ended at its limit.
    is_cut: bool,
    origin: Origin,
    times: Times,
    kit: Option<Packed>,
    options: JobOptions,
}

impl Done {
    /// Writes the manifest, if one was asked for, and returns the report.
    ///
    /// # Errors
    /// If the image cannot be read again to hash it, `wants_stop` returns true, or the manifest cannot be written. The image is
    /// complete in any case.
    pub fn finish(self, wants_stop: &(dyn Fn() -> bool + Sync)) -> Result<Report> {
        let Self { report, pending } = self;
        let Some(Pending { beside, hashes, is_cut, origin, times, kit, options }) = pending else {
            return Ok(report);
        };
        let (image, regions): (_, Vec<RegionRecord>) =
            hashes.finish(&options, report.receipt.sent.as_ref(), is_cut, wants_stop)?;
        beside.write(Written {
            origin: &origin,
            times: &times,
            image,
            summary: &report.summary,
            missing: &report.missing,
            regions,
            second_look: report.second_look,
            kit,
        })?;
        Ok(report)
    }
}
