//! The one job that takes memory to an image: a dump of the machine, a core of a process, a directory of its mappings, a
//! conversion. They differ in what the job is filled with.
//!
//! A job is opened first: the image, its manifest, its map and its kit. Every refusal comes then, before a process is paused or a
//! byte is read. Then it [runs](Job::run), once, and says what it [did](Done). An early end unwinds by dropping: what is not
//! committed never passes for whole.

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
    /// Opens the image and all that is wanted beside it.
    ///
    /// # Errors
    /// When one of the files is there already, or cannot be created; then none is left.
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

/// An image that is open and waits for memory. Dropping it leaves nothing that passes for an image.
pub struct Job {
    options: JobOptions,
    map: MapFile,
    kit: Option<Archive>,
    beside: Option<Beside>,
    output: Output,
}

impl Job {
    /// Copies what `source` has, and commits the image.
    ///
    /// # Errors
    /// When the source or the image fails as a whole, or the monitor stops it. The message says how much was taken and what is
    /// left of it.
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
            // A process runs on before anybody is told.
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
/// Its manifest is not written yet where the memory is that of a process: hashing takes longer than copying, and no process that
/// was paused waits for it. [`finish`](Self::finish) hashes what is left to hash, and writes it.
#[must_use = "the manifest is written by finish"]
pub struct Done {
    /// The account of the copy.
    pub report: Report,
    pending: Option<Pending>,
}

/// The account of a copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The counts of the copy.
    pub summary: Summary,
    /// Memory that is not in the image: known before, met while reading, changed meanwhile.
    pub missing: Vec<Hole>,
    /// How much had changed when a part was read again, where that was asked for.
    pub second_look: Option<SecondLook>,
    /// The content of the analysis kit, where one was asked for.
    pub kit: Option<manifest::Kit>,
    /// What the sink said of the image.
    pub receipt: Receipt,
}

impl Report {
    /// Returns true if nothing is missing that any source could have given.
    pub fn is_complete(&self) -> bool {
        self.missing.iter().all(|hole| hole.cause.is_inherent())
            && self.summary.holes.by_cause().all(|(cause, _)| cause.is_inherent())
    }
}

/// A manifest that is still to be written.
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
    /// Writes the manifest, where one is wanted, and gives the account.
    ///
    /// # Errors
    /// When the image cannot be read again to hash it, `wants_stop` returns true meanwhile, or the manifest cannot be written. The
    /// image is whole all the same.
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
