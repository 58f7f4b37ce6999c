//! `memdump` without a subcommand: memory to an image.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use memdump_image::format::{Format, Holes};
use memdump_image::{
    Chunk, Content, CopyError, CopyOptions, Extent, Hole, Observer, Space, Summary, copy,
};
use memdump_sink::{Leftover, Request, Sink};

use super::select::{self, Selection};
use crate::args::DumpArgs;
use crate::exit::{Exit, UsageError};
use crate::log;
use crate::progress::{Progress, print_json};
use crate::signals::StopFlag;
use crate::size::Human;

/// More threads gain nothing with any known source.
const MAX_DEFAULT_READERS: usize = 4;
/// How many holes the summary shows one by one.
const SHOWN_HOLES: usize = 10;

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<Exit> {
    log::init(args.select.verbose);
    let options = copy_options(args)?;
    let format = Format::by_name(&args.format).context("an unlisted format")?;
    let request = Request { target: args.output.clone(), overwrite: args.overwrite };
    let to_terminal = request.kind().name == "stdout" && io::stdout().is_terminal();
    if to_terminal && args.map.is_none() {
        return Err(UsageError(
            "memory is not written to a terminal: redirect it (memdump > FILE), pipe it on \
             (memdump | nc HOST PORT) or name a file (memdump -o FILE)"
                .into(),
        )
        .into());
    }

    let selection = select::open(&args.select, true)?;
    let space = selection.plan.map.space();
    if !(format.holds)(space) {
        let fitting: Vec<&str> = memdump_image::format::FORMATS
            .iter()
            .filter(|format| (format.holds)(space))
            .map(|format| format.name)
            .collect();
        let message = format!(
            "--format {} cannot hold {space} addresses; {}use --format {}",
            format.name,
            if space == Space::Kernel { "with -k " } else { "" },
            fitting.join(" or "),
        );
        return Err(UsageError(message).into());
    }

    let mut record = MapFile::create(args.map.as_deref())?;
    if to_terminal {
        let limit = options.limit.unwrap_or(u64::MAX);
        for region in selection.plan.map.truncate(limit).regions() {
            record.extent(region.extent)?;
        }
        record.close()?;
        eprintln!("memdump: standard output is a terminal: only the map was written, no memory");
        return Ok(Exit::Complete);
    }
    Dump { args, format, request, options, selection }.run(record)
}

/// Everything that was decided before the first read.
struct Dump<'a> {
    args: &'a DumpArgs,
    format: &'static Format,
    request: Request,
    options: CopyOptions,
    selection: Selection,
}

impl Dump<'_> {
    fn run(mut self, map: MapFile) -> anyhow::Result<Exit> {
        match (self.options.limit, self.format.holes) {
            // What follows a hole takes its place, so the limit is counted while copying.
            (None, _) | (Some(_), Holes::LeftOut) => {}
            // Headers say beforehand what will come.
            (Some(limit), Holes::Filled | Holes::Kept) => {
                self.selection.plan.map = self.selection.plan.map.truncate(limit);
            }
        }
        let plan = &self.selection.plan;
        let expected = plan.map.total().min(self.options.limit.unwrap_or(u64::MAX));
        self.check_room(expected)?;
        self.say(format_args!(
            "{} of {} memory from {}",
            Human(expected),
            plan.map.space(),
            self.selection.source,
        ));

        for note in &self.selection.notes {
            self.say(format_args!("note: {note}"));
        }

        let stop = StopFlag::install().context("cannot watch for signals")?;
        let mut sink = (self.request.kind().open)(&self.request)?;
        let mut watch = Watch {
            stop,
            map,
            progress: Progress::new(self.args.progress, self.args.quiet, expected),
        };
        let (summary, result) = {
            let mut writer = (self.format.writer)(&mut *sink);
            copy(&*self.selection.space, plan, &mut *writer, &self.options, &mut watch)
        };
        watch.progress.clear();
        let result = result.and_then(|()| watch.map.close().map_err(CopyError::Observe));
        if let Err(error) = result {
            return Err(self.failure(error, &summary, sink));
        }
        sink.commit()?;
        let missing = self.missing(&summary)?;
        Ok(self.conclude(&summary, &missing, watch.progress.is_json()))
    }

    fn say(&self, message: std::fmt::Arguments<'_>) {
        if !self.args.quiet {
            eprintln!("memdump: {message}");
        }
    }

    /// A short disk is known before the start.
    fn check_room(&self, expected: u64) -> anyhow::Result<()> {
        let needed = match self.format.holes {
            // Gaps between regions take no room in a file.
            Holes::Filled | Holes::Kept => {
                (self.format.size)(&self.selection.plan).min(expected + (1 << 20))
            }
            Holes::LeftOut => expected,
        };
        match (self.request.kind().room)(&self.request.target) {
            Some(room) if room < needed => bail!(
                "not enough room for the image at {}: it takes {}, and {} are free; name another \
                 place, take less (-s SIZE), or send it off the machine (memdump | zstd | …)",
                self.target(),
                Human(needed),
                Human(room),
            ),
            _ => Ok(()),
        }
    }

    /// Where the image goes, for people.
    fn target(&self) -> String {
        match self.request.kind().name {
            "stdout" => "standard output".to_owned(),
            _ => Path::new(&self.request.target).display().to_string(),
        }
    }

    /// The error of a copy that ended early, and what is left of the image.
    fn failure(&self, error: CopyError, summary: &Summary, sink: Box<dyn Sink>) -> anyhow::Error {
        let target = self.target();
        let taken = Human(summary.bytes);
        let what = match error {
            CopyError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                format!("the receiver of {target} went away after {taken}")
            }
            CopyError::Write(error) => format!("cannot write to {target} after {taken}: {error}"),
            CopyError::Stopped => format!("stopped by a signal after {taken}"),
            error => format!("{error}, after {taken}"),
        };
        match sink.abort() {
            Leftover::Partial(path) => {
                anyhow::anyhow!("{what}; what was written is in {}", Path::new(&path).display())
            }
            Leftover::Nothing => anyhow::anyhow!("{what}; nothing was kept"),
            Leftover::Sent => anyhow::anyhow!("{what}; the image is not complete"),
        }
    }

    /// Memory that is not in the image: known before, met while reading, changed meanwhile.
    fn missing(&self, summary: &Summary) -> anyhow::Result<Vec<Hole>> {
        let mut missing = self.selection.omitted.clone();
        missing.extend(summary.holes.listed());
        missing.extend((self.selection.recheck)()?);
        Ok(missing)
    }

    /// Says exactly what was taken.
    fn conclude(&self, summary: &Summary, missing: &[Hole], json: bool) -> Exit {
        let incomplete = missing.iter().any(|hole| !hole.cause.is_inherent());
        let peak = memdump_live::peak_memory();
        if json {
            print_json(&serde_json::json!({
                "event": "summary",
                "source": self.selection.source,
                "format": self.format.name,
                "bytes": summary.bytes,
                "seconds": summary.elapsed.as_secs_f64(),
                "complete": !incomplete,
                "notes": self.selection.notes,
                "peak_memory": peak,
                "unlisted_holes": summary.holes.unlisted(),
                "holes": missing.iter().map(|hole| serde_json::json!({
                    "start": hole.extent.start(),
                    "end": hole.extent.end(),
                    "cause": hole.cause.name(),
                })).collect::<Vec<_>>(),
            }));
        }
        let seconds = summary.elapsed.as_secs_f64();
        let rate = Human((summary.bytes as f64 / seconds.max(1e-9)) as u64);
        self.say(format_args!(
            "took {} in {seconds:.1} s ({rate}/s), format {}; own memory {}",
            Human(summary.bytes),
            self.format.name,
            peak.map_or("unknown".to_owned(), |peak| Human(peak).to_string()),
        ));
        for hole in missing.iter().take(SHOWN_HOLES) {
            let len = Human(hole.extent.len());
            self.say(format_args!("not in it: {len} at {}: {}", hole.extent, hole.cause));
        }
        let unshown = missing.len().saturating_sub(SHOWN_HOLES) as u64 + summary.holes.unlisted();
        if unshown > 0 {
            self.say(format_args!("not in it: {unshown} more holes (--progress json lists them)"));
            for (cause, bytes) in summary.holes.by_cause() {
                self.say(format_args!("unread in all: {}: {cause}", Human(bytes)));
            }
        }
        if let Some(limit) = self.options.limit.filter(|&limit| summary.bytes < limit) {
            let limit = Human(limit);
            self.say(format_args!("warning: there is less memory than the {limit} asked for (-s)"));
        }
        self.warn_of_readers();
        if incomplete {
            self.say(format_args!("the image is incomplete (exit status 3)"));
            return Exit::Incomplete;
        }
        Exit::Complete
    }

    /// The shell makes files that others may read.
    fn warn_of_readers(&self) {
        let mode = File::open("/proc/self/fd/1").and_then(|file| file.metadata());
        if let ("stdout", Ok(metadata)) = (self.request.kind().name, mode)
            && metadata.is_file()
            && metadata.permissions().mode() & 0o077 != 0
        {
            self.say(format_args!(
                "warning: the file that the shell made can be read by others: chmod 600 it, or use \
                 -o"
            ));
        }
    }
}

fn copy_options(args: &DumpArgs) -> anyhow::Result<CopyOptions> {
    let buffer = |name, text: &Option<String>, example, default| {
        let max = CopyOptions::MAX_READ_SIZE as u64;
        match select::size(name, text, example)? {
            None => Ok(default),
            Some(size) if size <= max => Ok(size as usize),
            Some(size) => Err(UsageError(format!(
                "{name} {}: {} are beyond reason for a buffer, at most 16m; try {name} {example}",
                text.as_deref().unwrap_or_default(),
                Human(size),
            ))),
        }
    };
    let read_size = buffer("-b", &args.read_size, "1m", CopyOptions::DEFAULT_READ_SIZE)?;
    // Holes are found to the page whatever it is; see the option's help.
    buffer("-p", &args.page_size, "4k", 0)?;
    let readers = args.readers.map_or_else(default_readers, usize::from);
    let limit = select::size("-s", &args.select.size, "1g")?;
    tracing::info!("{readers} readers, {} a read", Human(read_size as u64));
    Ok(CopyOptions { read_size, readers, limit })
}

/// How many threads read when the user does not say.
pub(super) fn default_readers() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_DEFAULT_READERS))
}

/// What happens while memory is copied.
struct Watch {
    stop: StopFlag,
    map: MapFile,
    progress: Progress,
}

impl Observer for Watch {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.progress.advance(chunk.len());
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
struct MapFile {
    file: Option<File>,
    open: Option<Extent>,
}

impl MapFile {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
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

    fn extent(&mut self, extent: Extent) -> io::Result<()> {
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

    fn close(&mut self) -> io::Result<()> {
        match (&mut self.file, self.open.take()) {
            (Some(file), Some(extent)) => {
                writeln!(file, "{:#x} {:#x}", extent.start(), extent.end())
            }
            _ => Ok(()),
        }
    }
}
