//! One process to one core.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::bail;
use memdump_image::codec::Codec;
use memdump_image::format::{Format, RECORD_LEN};
use memdump_image::{Chunk, CopyOptions, Hole, Observer, Output, Summary, copy};
use memdump_live::process::{Capture, Release};
use memdump_sink::Request;

use super::hashes::{Hashes, Record};
use super::index::{Outcome, Report, holes};
use crate::args::ProcessArgs;
use crate::commands::manifest::{self, Times};
use crate::commands::write::{Way, default_readers, failure};
use crate::exit::UsageError;
use crate::progress::Progress;
use crate::signals::StopFlag;
use crate::size::Human;

/// How many holes the summary shows one by one.
const SHOWN_HOLES: usize = 10;
/// What headers and notes take at most, beside the memory.
const MARGIN: u64 = 16 << 20;

/// Memory is not shown on a terminal.
pub(super) fn refuse_terminal(args: &ProcessArgs) -> Result<(), UsageError> {
    let to_stdout = args.output.as_deref() == Some("-".as_ref());
    if to_stdout && io::stdout().is_terminal() {
        let message = "memory is not written to a terminal: redirect it (memdump process PID -o - > \
                       FILE), pipe it on, or name a file (-o FILE)";
        return Err(UsageError(message.into()));
    }
    if to_stdout && args.json {
        let message = "--json and -o - both want standard output: name a file (-o FILE)";
        return Err(UsageError(message.into()));
    }
    Ok(())
}

pub(super) fn copy_options(args: &ProcessArgs) -> CopyOptions {
    let readers = args.write.readers.map_or_else(default_readers, usize::from);
    CopyOptions { read_size: CopyOptions::DEFAULT_READ_SIZE, readers, limit: None, no_zeros: false }
}

pub(super) fn say(args: &ProcessArgs, message: std::fmt::Arguments<'_>) {
    if !args.write.quiet {
        eprintln!("memdump: {message}");
    }
}

/// Copies what is held to `target`, and says what was taken.
pub(super) fn run(
    args: &ProcessArgs,
    stop: &StopFlag,
    mut capture: Capture,
    target: OsString,
) -> anyhow::Result<Report> {
    let Some(format) = Format::by_name("core") else { bail!("the format core is not built in") };
    let request = Request { target, overwrite: args.write.overwrite };
    let name = match request.kind().name {
        "stdout" => "standard output".to_owned(),
        _ => Path::new(&request.target).display().to_string(),
    };
    if args.compress.is_none()
        && let Some(room) = (request.kind().room)(&request.target)
    {
        let needed = (format.size)(&capture.plan).min(capture.to_read() + MARGIN);
        if room < needed {
            bail!(
                "not enough room for the core at {name}: it takes {}, and {} are free; name another \
                 place, take less (--heap, --range …), or compress it (--compress zstd)",
                Human(needed),
                Human(room)
            );
        }
    }

    let sink = (request.kind().open)(&request)?;
    let beside = match manifest::open(&args.manifest, &request, true) {
        Ok(beside) => beside,
        Err(error) => {
            sink.abort();
            return Err(error);
        }
    };
    let mut hashes = beside.is_some().then(|| Hashes::new(&capture.plan, &request));
    let mut way = Way::new(sink, hashes.as_ref().is_some_and(Hashes::is_on_the_way))?;
    let mut written = 0;
    let mut times = Times::begin();
    let (summary, result, omitted) = {
        let total = capture.plan.total();
        let omitted = capture.omitted.clone();
        let (space, plan, release) = capture.release();
        let mut watch = Watch {
            stop,
            progress: Progress::new(args.write.progress, args.write.quiet, total),
            release,
            omitted: &omitted,
            hashes: hashes.as_mut(),
        };
        let mut counting = Counting { output: way.output(), written: &mut written };
        let options = copy_options(args);
        let (summary, result) = match args.compress.as_deref().and_then(Codec::by_name) {
            None => {
                let mut writer = (format.writer)(&mut counting);
                copy(space, plan, &mut *writer, &options, &mut watch)
            }
            Some(codec) => codec.compress(&mut counting, |output| {
                let mut writer = (format.writer)(output);
                copy(space, plan, &mut *writer, &options, &mut watch)
            }),
        };
        watch.progress.clear();
        (summary, result, omitted)
    };
    times.end();
    let (sink, hashed) = way.finish();
    if let Err(error) = result {
        // The process runs on before anybody is told.
        drop(capture);
        if let Some(beside) = beside {
            beside.abandon();
        }
        return Err(failure(error, &summary, sink, &name, "core"));
    }
    sink.commit()?;
    let mut missing = omitted;
    missing.extend(summary.holes.listed());
    let outcome = Outcome {
        pid: capture.target().pid(),
        name: capture.target().name(),
        file: name,
        pause: capture.pause().name(),
        paused: capture.paused().as_secs_f64(),
        written,
        swapped: capture.swapped(),
        summary: &summary,
        missing: &missing,
        before: capture.before,
        after: capture.weight(),
    };
    conclude(args, &outcome);
    let mut report = outcome.report();
    if let (Some(beside), Some(hashes)) = (beside, hashes) {
        let record = Record::new(&capture, times);
        let compression = args.compress.clone();
        report.later = Some(Box::new(move |stop| {
            let hashed = hashes.of_core(&request, compression.as_deref(), hashed, stop);
            record.write(beside, hashed, &summary, &missing)
        }));
    }
    Ok(report)
}

/// Says exactly what was taken, and what it cost the process.
pub(super) fn conclude(args: &ProcessArgs, outcome: &Outcome<'_>) {
    let Outcome { pid, name, file, pause, paused, summary, missing, .. } = outcome;
    let seconds = summary.elapsed.as_secs_f64();
    say(
        args,
        format_args!(
            "process {pid} ({name}): took {} in {seconds:.2} s ({}/s), and {} of zeros that were never \
             touched; {} written to {file}",
            Human(summary.bytes),
            Human((summary.bytes as f64 / seconds.max(1e-9)) as u64),
            Human(summary.zero),
            Human(outcome.written),
        ),
    );
    match *pause {
        "none" => say(
            args,
            format_args!(
                "it was not paused: the core is of no single instant, and has no registers"
            ),
        ),
        how => say(args, format_args!("it stood still for {:.1} ms (--pause {how})", paused * 1e3)),
    }
    if outcome.swapped > 0 {
        say(args, format_args!("{} of it were on swap", Human(outcome.swapped)));
    }
    if let (Some(before), Some(after)) = (outcome.before, outcome.after) {
        let pair = |before, after| match before == after {
            true => format!("{} as before", Human(after)),
            false => format!("{} before, {} after", Human(before), Human(after)),
        };
        say(
            args,
            format_args!(
                "its memory: resident {}; page tables {}; swap {}",
                pair(before.resident, after.resident),
                pair(before.page_tables, after.page_tables),
                pair(before.swap, after.swap),
            ),
        );
    } else {
        say(args, format_args!("the process has ended meanwhile"));
    }
    for hole in missing.iter().take(SHOWN_HOLES) {
        let len = Human(hole.extent.len());
        say(args, format_args!("not in it: {len} at {}: {}", hole.extent, hole.cause));
    }
    let unshown = missing.len().saturating_sub(SHOWN_HOLES) as u64 + summary.holes.unlisted();
    if unshown > 0 {
        say(args, format_args!("not in it: {unshown} more holes (--json lists them)"));
        for (cause, bytes) in summary.holes.by_cause() {
            say(args, format_args!("unread in all: {}: {cause}", Human(bytes)));
        }
    }
    if missing.iter().any(|hole| !hole.cause.is_inherent()) {
        say(args, format_args!("the core is incomplete (exit status 3)"));
    }
}

/// What happens while memory is copied.
pub(super) struct Watch<'a> {
    pub(super) stop: &'a StopFlag,
    pub(super) progress: Progress,
    pub(super) release: Release<'a>,
    pub(super) omitted: &'a [Hole],
    /// Where a manifest is wanted.
    pub(super) hashes: Option<&'a mut Hashes>,
}

impl Observer for Watch<'_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.progress.advance(chunk.len());
        if let Some(hashes) = &mut self.hashes {
            hashes.chunk(chunk);
        }
        Ok(())
    }

    fn wants_stop(&self) -> bool {
        self.stop.is_set()
    }

    fn first_taken(&mut self) -> io::Result<()> {
        self.release.first_taken().map_err(io::Error::other)
    }

    fn all_taken(&mut self, summary: &Summary) -> io::Result<String> {
        self.release.all_taken().map_err(io::Error::other)?;
        Ok(record(summary, &self.release, self.omitted))
    }
}

/// The record that the core keeps of how it was made; of many holes, the first.
fn record(summary: &Summary, release: &Release<'_>, omitted: &[Hole]) -> String {
    let mut missing = omitted.to_vec();
    missing.extend(summary.holes.listed());
    let all = missing.len() as u64 + summary.holes.unlisted();
    loop {
        let record = serde_json::json!({
            "tool": concat!("memdump ", env!("CARGO_PKG_VERSION")),
            "pause": release.pause().name(),
            "pause_seconds": release.paused().as_secs_f64(),
            "consistent": release.pause() != memdump_live::process::Pause::None,
            "started": release.started(),
            "seconds": summary.elapsed.as_secs_f64(),
            "taken": summary.bytes,
            "zero": summary.zero,
            "holes": holes(&missing),
            "unlisted_holes": all - missing.len() as u64,
        });
        let record = record.to_string();
        if record.len() <= RECORD_LEN || missing.is_empty() {
            return record;
        }
        missing.truncate(missing.len() / 2);
    }
}

/// Counts what goes to an output.
struct Counting<'a> {
    output: &'a mut dyn Output,
    written: &'a mut u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        *self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Output for Counting<'_> {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.output.zeros(len)
    }
}
