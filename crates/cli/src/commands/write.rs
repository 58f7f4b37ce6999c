//! What the commands that write an image share: the refusal of terminals and short disks, the copy with its progress, and what is
//! said when it fails or ends.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use memdump_image::codec::Codec;
use memdump_image::format::{FORMATS, Format, HoleEncoding};
use memdump_image::manifest::{RegionHasher, RegionRecord, Sampler, SecondLook};
use memdump_image::{
    AddressSpace, Chunk, Content, CopyError, CopyOptions, Extent, Hole, Observer, Output, Plan,
    Space, Summary, copy,
};
use memdump_sink::{Hashed, Hashing, Leftover, Request, Sink};

use super::manifest::{self, Beside, Times};
use crate::args::{ManifestArgs, ProgressStyle};
use crate::exit::UsageError;
use crate::progress::Progress;
use crate::signals::StopFlag;
use crate::size::Human;

/// More threads gain nothing with any known source.
const MAX_DEFAULT_READERS: usize = 4;
/// How many holes the summary shows one by one.
const SHOWN_HOLES: usize = 10;

/// An image to be written.
pub(super) struct Job {
    pub(super) format: &'static Format,
    /// What it is compressed with as a whole.
    pub(super) codec: Option<&'static Codec>,
    pub(super) request: Request,
    pub(super) options: CopyOptions,
    pub(super) progress: ProgressStyle,
    pub(super) quiet: bool,
}

impl Job {
    /// Refuses a format that cannot hold such addresses.
    pub(super) fn check_space(&self, space: Space, option: &str) -> Result<(), UsageError> {
        if (self.format.holds)(space) {
            return Ok(());
        }
        let fitting = FORMATS.iter().filter(|format| (format.holds)(space));
        let fitting: Vec<&str> = fitting.map(|format| format.name).collect();
        Err(UsageError(format!(
            "--format {} cannot hold {space} addresses; {option}use --format {}",
            self.format.name,
            fitting.join(" or "),
        )))
    }

    /// Whether it would go to a terminal, where no image belongs.
    pub(super) fn is_to_terminal(&self) -> bool {
        self.request.kind().name == "stdout" && io::stdout().is_terminal()
    }

    /// Where the image goes, for people.
    pub(super) fn target(&self) -> String {
        match self.request.kind().name {
            "stdout" => "standard output".to_owned(),
            _ => Path::new(&self.request.target).display().to_string(),
        }
    }

    /// A short disk is known before the start, unless it only turns out how much is left to take. `expected` bytes of memory are
    /// taken, and `advice` says how to take less.
    pub(super) fn check_room(
        &self,
        plan: &Plan,
        expected: u64,
        advice: &str,
    ) -> anyhow::Result<()> {
        if self.codec.is_some() || self.format.compresses || plan.is_thinned {
            return Ok(());
        }
        let needed = match self.format.hole_encoding {
            // Gaps between regions take no room in a file.
            HoleEncoding::Filled | HoleEncoding::Gaps | HoleEncoding::Kept => {
                (self.format.size)(plan).min(expected + (1 << 20))
            }
            HoleEncoding::LeftOut => expected,
        };
        match (self.request.kind().room)(&self.request.target) {
            Some(room) if room < needed => bail!(
                "not enough room for the image at {}: it takes {}, and {} are free; name another \
                 place, {advice}",
                self.target(),
                Human(needed),
                Human(room),
            ),
            _ => Ok(()),
        }
    }

    /// Begins the image, and what is wanted beside it.
    pub(super) fn open(
        &self,
        args: &ManifestArgs,
        by_default: bool,
    ) -> anyhow::Result<(Box<dyn Sink>, Option<Beside>)> {
        let sink = (self.request.kind().open)(&self.request)?;
        match manifest::open(args, &self.request, by_default) {
            Ok(beside) => Ok((sink, beside)),
            Err(error) => {
                sink.abort();
                Err(error)
            }
        }
    }

    /// Copies what the plan names, and commits the image. `expected` is for the progress.
    pub(super) fn run(
        &self,
        space: &dyn AddressSpace,
        plan: &Plan,
        expected: u64,
        map: MapFile,
        (sink, wanted): (Box<dyn Sink>, Wanted),
    ) -> anyhow::Result<Done> {
        let stop = StopFlag::install().context("cannot watch for signals")?;
        let progress = Progress::new(self.progress, self.quiet, expected);
        let regions = wanted.hashes.then(|| RegionHasher::new(plan.map.clone()));
        let sampler = wanted
            .second_look
            .map(|percent| Sampler::new(percent, plan.page_size, u64::from(std::process::id())));
        let mut watch = Watch { stop, map, progress, regions, sampler };
        let mut output = Way::new(sink, wanted.hashes)?;
        let mut times = Times::begin();
        let (summary, result) = match self.codec {
            None => {
                let mut writer = (self.format.writer)(output.output());
                copy(space, plan, &mut *writer, &self.options, &mut watch)
            }
            Some(codec) => codec.compress(output.output(), |output| {
                let mut writer = (self.format.writer)(output);
                copy(space, plan, &mut *writer, &self.options, &mut watch)
            }),
        };
        times.end();
        watch.progress.clear();
        let (sink, hashed) = output.finish();
        let result = result.and_then(|()| watch.map.close().map_err(CopyError::Observe));
        if let Err(error) = result {
            return Err(failure(error, &summary, sink, &self.target(), "image"));
        }
        sink.commit()?;
        let cut = self.options.limit.is_some_and(|limit| summary.bytes >= limit);
        let regions = watch.regions.map(|hasher| hasher.finish(cut)).unwrap_or_default();
        let second_look = watch.sampler.map(|sampler| sampler.look(space));
        Ok(Done { summary, times, hashed, regions, second_look })
    }

    pub(super) fn say(&self, message: std::fmt::Arguments<'_>) {
        if !self.quiet {
            eprintln!("memdump: {message}");
        }
    }

    /// Lists memory that is not in the image; what was left out because that was asked for, by its use alone.
    pub(super) fn say_holes(&self, missing: &[Hole], summary: &Summary) {
        let missing: Vec<_> = missing.iter().filter(|hole| !hole.cause.is_excluded()).collect();
        for hole in missing.iter().take(SHOWN_HOLES) {
            let len = Human(hole.extent.len());
            self.say(format_args!("not in it: {len} at {}: {}", hole.extent, hole.cause));
        }
        let unshown = missing.len().saturating_sub(SHOWN_HOLES) as u64 + summary.holes.unlisted();
        if unshown > 0 {
            self.say(format_args!("not in it: {unshown} more holes (--progress json lists them)"));
        }
        for (cause, bytes) in summary.holes.by_cause() {
            if cause.is_excluded() || unshown > 0 {
                self.say(format_args!("not in it, in all: {}: {cause}", Human(bytes)));
            }
        }
    }
}

/// What is wanted of a copy beside the image.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Hashes of the file and of each region.
    pub(super) hashes: bool,
    /// Read again about so many of a hundred pages.
    pub(super) second_look: Option<f64>,
}

/// What a copy did.
pub(super) struct Done {
    pub(super) summary: Summary,
    pub(super) times: Times,
    pub(super) hashed: Option<Hashed>,
    pub(super) regions: Vec<RegionRecord>,
    pub(super) second_look: Option<SecondLook>,
}

/// Where bytes go, hashed on the way or not.
pub(super) enum Way {
    Plain(Box<dyn Sink>),
    Hashed(Hashing),
}

impl Way {
    pub(super) fn new(sink: Box<dyn Sink>, hashed: bool) -> anyhow::Result<Self> {
        Ok(match hashed {
            true => Way::Hashed(Hashing::new(sink).context("cannot start a thread to hash")?),
            false => Way::Plain(sink),
        })
    }

    /// Gives the sink back, and what is known of what was written.
    pub(super) fn finish(self) -> (Box<dyn Sink>, Option<Hashed>) {
        match self {
            Way::Plain(sink) => (sink, None),
            Way::Hashed(hashing) => {
                let (sink, hashed) = hashing.finish();
                (sink, Some(hashed))
            }
        }
    }

    pub(super) fn output(&mut self) -> &mut dyn Output {
        match self {
            Way::Plain(sink) => &mut **sink,
            Way::Hashed(hashing) => hashing,
        }
    }
}

/// The error of a copy that ended early, and what is left of the image, which is called `kind`.
pub(super) fn failure(
    error: CopyError,
    summary: &Summary,
    sink: Box<dyn Sink>,
    target: &str,
    kind: &str,
) -> anyhow::Error {
    let taken = Human(summary.bytes);
    let what = match error {
        CopyError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            format!("the receiver of {target} went away after {taken}")
        }
        CopyError::Write(error) => format!("cannot write to {target} after {taken}: {error}"),
        CopyError::Stopped => format!("stopped by a signal after {taken}"),
        CopyError::Observe(error) => format!("{error}, after {taken}"),
        error => format!("{error}, after {taken}"),
    };
    match sink.abort() {
        Leftover::Partial(path) => {
            anyhow::anyhow!("{what}; what was written is in {}", Path::new(&path).display())
        }
        Leftover::Nothing => anyhow::anyhow!("{what}; nothing was kept"),
        Leftover::Sent => anyhow::anyhow!("{what}; the {kind} is not complete"),
    }
}

/// Holes as programs want them.
pub(super) fn json_holes(holes: &[Hole]) -> serde_json::Value {
    let hole = |hole: &Hole| {
        serde_json::json!({
            "start": hole.extent.start(),
            "end": hole.extent.end(),
            "cause": hole.cause.name(),
        })
    };
    holes.iter().map(hole).collect()
}

/// How many threads read when the user does not say.
pub(super) fn default_readers() -> usize {
    cpus().min(MAX_DEFAULT_READERS)
}

/// How many threads read for a writer of `format`, and compress if it does, when the user does not say.
pub(super) fn default_readers_for(format: &Format) -> usize {
    if format.compresses { cpus().min(CopyOptions::MAX_USEFUL_READERS) } else { default_readers() }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What happens while memory is copied.
struct Watch {
    stop: StopFlag,
    map: MapFile,
    progress: Progress,
    regions: Option<RegionHasher>,
    sampler: Option<Sampler>,
}

impl Observer for Watch {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.progress.advance(chunk.len());
        if let Some(regions) = &mut self.regions {
            regions.chunk(chunk);
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.chunk(chunk);
        }
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        match chunk.content {
            Content::Bytes(_) | Content::Zero { .. } => self.map.extent(extent),
            Content::Hole { cause, .. } => {
                tracing::info!("hole: {} at {extent}: {cause}", Human(extent.len()));
                Ok(())
            }
        }
    }

    fn wants_stop(&self) -> bool {
        self.stop.is_set()
    }
}

/// The map of what was taken: a line `0xSTART 0xEND` for each run of addresses, END the first
/// beyond. Each line is written as its run ends, so that a run that is killed leaves the truth.
pub(super) struct MapFile {
    file: Option<File>,
    open: Option<Extent>,
}

impl MapFile {
    pub(super) fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = match path {
            None => None,
            Some(path) if path == "-" || path == "/dev/stderr" => {
                let stderr = io::stderr().as_fd().try_clone_to_owned();
                Some(stderr.context("cannot write the map to standard error")?.into())
            }
            Some(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(path)
                    .with_context(|| format!("cannot write the map to {}", path.display()))?;
                Some(file)
            }
        };
        Ok(Self { file, open: None })
    }

    pub(super) fn extent(&mut self, extent: Extent) -> io::Result<()> {
        match self.open {
            Some(open) if open.end() == extent.start() => {
                self.open = Extent::half_open(open.start(), extent.end()).ok();
                Ok(())
            }
            _ => {
                self.close()?;
                self.open = Some(extent);
                Ok(())
            }
        }
    }

    pub(super) fn close(&mut self) -> io::Result<()> {
        match (&mut self.file, self.open.take()) {
            (Some(file), Some(extent)) => {
                writeln!(file, "{:#x} {:#x}", extent.start(), extent.end()).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot write the map: {error}"))
                })
            }
            _ => Ok(()),
        }
    }
}
