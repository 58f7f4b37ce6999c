//! The one job that takes memory to an image: a dump of the machine, a core of a process, a directory of its mappings, a
//! conversion. They differ in what the job is filled with.
//!
//! A job is opened first: the image, its manifest, its map and its kit. Every refusal comes then, before a process is paused or a
//! byte is read. Then it [runs](Job::run), once, and says what it [did](Done). An early end unwinds by dropping: what is not
//! committed never passes for whole.

mod afterwards;
mod output;
mod repack;
mod source;
mod split;
mod watch;

use std::path::{Path, PathBuf};

use memdump_image::codec::Codec;
use memdump_image::format::{Format, HoleEncoding};
use memdump_image::{CopyError, CopyOptions, Hole, Plan, Space, Summary, copy};
use memdump_live::Kit;
use memdump_sink::{Destination, Leftover, Receipt};

use crate::error::{Error, ErrorKind, Result};
use crate::human::Human;
use crate::kit::{Archive, Packed};
use crate::manifest::{
    self, Beside, ManifestOptions, Origin, RegionRecord, Sampler, SecondLook, Times, Written,
};
use crate::map_file::MapFile;
use afterwards::Afterwards;
pub use afterwards::SPLIT;
use output::Output;
pub use source::Source;
use watch::Watch;

/// The most threads that read when nothing else is said: more gain nothing with any known source.
const MAX_DEFAULT_READERS: usize = 4;
/// The most that headers and notes of a core take beside the memory, in bytes.
const CORE_MARGIN: u64 = 16 << 20;

/// Is told how far a job is, and may end it.
pub trait Monitor: Sync {
    /// Is told how many bytes there will be.
    fn begins(&mut self, _total: u64) {}

    /// Is told that so many bytes more are done, holes too.
    fn advance(&mut self, _bytes: u64) {}

    /// Is told that the copy is over.
    fn ends(&mut self) {}

    /// Returns true if the job is to stop now.
    fn wants_stop(&self) -> bool {
        false
    }
}

/// A monitor for a job that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unattended;

impl Monitor for Unattended {}

/// The image that is wanted, before anything is opened.
#[derive(Clone, Debug)]
pub struct JobOptions {
    format: &'static Format,
    codec: Option<&'static Codec>,
    place: ImagePlace,
    overwrite: bool,
    copy: CopyOptions,
    manifest: ManifestOptions,
    map: Option<PathBuf>,
    kit: Option<PathBuf>,
    second_look: Option<f64>,
    /// True if what goes to a file is hashed when the process runs on.
    hashes_afterwards: bool,
}

#[derive(Clone, Debug)]
enum ImagePlace {
    One(Destination),
    /// A file for each mapping of a process, in this directory.
    Directory {
        path: PathBuf,
        pid: u32,
    },
}

impl JobOptions {
    /// An image of `format` at `destination`, read by as many threads as the format and this machine have use for.
    pub fn new(format: &'static Format, destination: Destination) -> Self {
        Self {
            format,
            codec: None,
            place: ImagePlace::One(destination),
            overwrite: false,
            copy: CopyOptions {
                read_size: CopyOptions::DEFAULT_READ_SIZE,
                readers: default_readers(Some(format)),
                limit: None,
                no_zeros: false,
            },
            manifest: ManifestOptions::default(),
            map: None,
            kit: None,
            second_look: None,
            hashes_afterwards: false,
        }
    }

    /// A core of a process at `destination`.
    pub fn core(destination: Destination) -> Self {
        Self { hashes_afterwards: true, ..Self::new(&memdump_image::format::CORE, destination) }
    }

    /// A file for each mapping of process `pid`, `PID_mem_START.bin` with START in hexadecimal, and `PID_maps`, in a directory
    /// that is there already.
    pub fn split(directory: impl Into<PathBuf>, pid: u32) -> Self {
        let path = directory.into();
        let mut options = Self::core(Destination::file(path.clone()));
        options.place = ImagePlace::Directory { path, pid };
        options.copy.readers = default_readers(None);
        options
    }

    /// Compresses the image as a whole.
    #[must_use]
    pub fn codec(mut self, codec: Option<&'static Codec>) -> Self {
        self.codec = codec;
        self
    }

    /// Replaces files that exist, if true.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// The number of threads that read, and compress where the format does.
    #[must_use]
    pub fn readers(mut self, readers: Option<usize>) -> Self {
        self.copy.readers = readers.unwrap_or(self.copy.readers);
        self
    }

    /// The size of a read, in bytes, from 1 to [`CopyOptions::MAX_READ_SIZE`].
    #[must_use]
    pub fn read_size(mut self, bytes: usize) -> Self {
        self.copy.read_size = bytes.clamp(1, CopyOptions::MAX_READ_SIZE);
        self
    }

    /// Takes this many bytes of memory from the front, and no more.
    #[must_use]
    pub fn limit(mut self, bytes: Option<u64>) -> Self {
        self.copy.limit = bytes;
        self
    }

    /// Leaves out pages that hold nothing but zeros, if true and the format gains by it: they become holes.
    #[must_use]
    pub fn no_zeros(mut self, no_zeros: bool) -> Self {
        self.copy.no_zeros = no_zeros && !self.format.elides_zeros;
        self
    }

    /// The manifest of the image; none when not given.
    #[must_use]
    pub fn manifest(mut self, manifest: ManifestOptions) -> Self {
        self.manifest = manifest;
        self
    }

    /// A file for the [map](MapFile) of what was taken; `-` is standard error.
    #[must_use]
    pub fn map(mut self, path: Option<PathBuf>) -> Self {
        self.map = path;
        self
    }

    /// An archive of what symbols can be made from later; only of a running machine.
    #[must_use]
    pub fn kit(mut self, path: Option<PathBuf>) -> Self {
        self.kit = path;
        self
    }

    /// Reads about so many of a hundred pages again at the end, to see how many changed meanwhile.
    #[must_use]
    pub fn second_look(mut self, percent: Option<f64>) -> Self {
        self.second_look = percent;
        self
    }

    /// Refuses a format that cannot hold addresses of `space`.
    ///
    /// # Errors
    /// [`ErrorKind::WrongFormat`].
    pub fn check_space(&self, space: Space) -> Result<()> {
        if (self.format.holds)(space) {
            return Ok(());
        }
        let message = format!("format {} cannot hold {space} addresses", self.format.name);
        Err(Error::new(ErrorKind::WrongFormat, message))
    }

    /// Decides what of `source` an image like this has, before anything is opened: what is known to be missing becomes a gap
    /// where the format has gaps, and a limit cuts off what lies behind it.
    pub fn fit(&self, source: &mut Source<'_>) {
        source.plan = source.plan.clone().fitted(source.space, self.format.hole_encoding);
        // What follows a hole takes its place where holes are left out, so the limit is counted while copying. Elsewhere headers
        // say beforehand what will come.
        if let Some(limit) = self.copy.limit
            && self.format.hole_encoding != HoleEncoding::LeftOut
        {
            source.plan.map = source.plan.map.truncate(limit);
        }
    }

    /// Refuses a place with less room than the image of `source` takes, as far as both are known before the copy. The source is
    /// [fitted](Self::fit) first.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoom`].
    pub fn check_room(&self, source: &mut Source<'_>) -> Result<()> {
        self.fit(source);
        let plan = &source.plan;
        let taken = self.expected(plan);
        // How much an exclusion leaves to take turns out only while it is taken.
        if self.format.compresses || plan.is_thinned {
            return Ok(());
        }
        let needed = match self.format.hole_encoding {
            HoleEncoding::LeftOut => taken,
            // Gaps between regions take no room in a file.
            _ => (self.format.size)(plan).min(taken.saturating_add(1 << 20)),
        };
        self.refuse_less_room_than(needed, "image")
    }

    /// Returns true if it is known how much room the place has, and how much an image takes.
    pub fn knows_room(&self) -> bool {
        match &self.place {
            ImagePlace::One(destination) => self.codec.is_none() && destination.room().is_some(),
            ImagePlace::Directory { .. } => false,
        }
    }

    /// Refuses a place with less room than the core of a process takes. `to_read` are the bytes of `plan` that it has in memory
    /// or on swap; what it never touched takes no room.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoom`].
    pub fn check_room_for_process(&self, plan: &Plan, to_read: u64) -> Result<()> {
        if let ImagePlace::Directory { .. } = self.place {
            return Ok(());
        }
        let needed = (self.format.size)(plan).min(to_read.saturating_add(CORE_MARGIN));
        self.refuse_less_room_than(needed, "core")
    }

    /// The number of bytes that a copy deals with at most.
    fn expected(&self, plan: &Plan) -> u64 {
        plan.total().min(self.copy.limit.unwrap_or(u64::MAX))
    }

    fn refuse_less_room_than(&self, needed: u64, kind: &str) -> Result<()> {
        let ImagePlace::One(destination) = &self.place else { return Ok(()) };
        match destination.room() {
            Some(room) if self.codec.is_none() && room < needed => Err(Error::new(
                ErrorKind::NoRoom,
                format!(
                    "not enough room for the {kind} at {destination}: it takes {}, and {} are free",
                    Human(needed),
                    Human(room)
                ),
            )),
            _ => Ok(()),
        }
    }

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
}

/// The number of threads that read when nothing else is said, for a writer of `format`.
pub fn default_readers(format: Option<&Format>) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    match format.is_some_and(|format| format.compresses) {
        true => cpus.min(CopyOptions::MAX_USEFUL_READERS),
        false => cpus.min(MAX_DEFAULT_READERS),
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
        let (space, plan) = (source.space, source.plan.clone());
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

impl JobOptions {
    fn write_kit(&self, archive: Archive, kit: Option<&Kit>, times: Times) -> Result<Packed> {
        let image = match &self.place {
            ImagePlace::One(destination) => destination.path(),
            ImagePlace::Directory { path, .. } => Some(path.as_path()),
        };
        archive.write(kit.into_iter().flat_map(Kit::items), times.start_seconds(), image)
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

/// What is left of an image after an early end, for people.
fn remains(leftover: Leftover, kind: &str) -> String {
    match leftover {
        Leftover::Partial(path) => {
            format!("what was written is in {}", Path::new(&path).display())
        }
        Leftover::Nothing => "nothing was kept".to_owned(),
        Leftover::Sent => format!("the {kind} is not complete"),
    }
}

/// The error of a copy that ended early.
fn early_end(error: CopyError, summary: &Summary, place: &str, remains: &str) -> Error {
    let taken = Human(summary.bytes);
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    let (kind, what) = match &error {
        CopyError::Write(error) if broken(error) => {
            (ErrorKind::Failed, format!("the receiver of {place} went away after {taken}"))
        }
        CopyError::Write(error) => {
            (ErrorKind::Failed, format!("cannot write to {place} after {taken}: {error}"))
        }
        CopyError::Stopped => (ErrorKind::Stopped, format!("stopped by a signal after {taken}")),
        CopyError::Observe(error) => (ErrorKind::Failed, format!("{error}, after {taken}")),
        error => (ErrorKind::Failed, format!("{error}, after {taken}")),
    };
    Error::new(kind, format!("{what}; {remains}"))
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string()).because(error)
    }
}
