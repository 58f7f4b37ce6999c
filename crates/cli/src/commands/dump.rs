//! `memdump` without a subcommand: memory to an image.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use memdump_image::codec::Codec;
use memdump_image::format::{Format, HoleEncoding};
use memdump_image::manifest::SecondLook;
use memdump_image::{CopyOptions, Hole, Space, Summary};
use memdump_sink::Request;

use super::kit::{Archive, Packed};
use super::manifest::{Written, image_file};
use super::select::{self, Selection};
use super::write::{Job, MapFile, Wanted, default_readers_for, json_holes};
use crate::args::{DumpArgs, Excluded, ProgressStyle};
use crate::exit::{Exit, UsageError};
use crate::log;
use crate::progress::print_json;
use crate::size::Human;

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<Exit> {
    log::init(args.select.verbose);
    let format = Format::by_name(&args.format).context("an unlisted format")?;
    let options = copy_options(args, format)?;
    let job = Job {
        format,
        codec: args.compress.as_deref().and_then(Codec::by_name),
        request: Request { target: args.output.clone(), overwrite: args.write.overwrite },
        options,
        progress: args.write.progress,
        quiet: args.write.quiet,
    };
    let to_terminal = job.is_to_terminal();
    if to_terminal && args.map.is_none() {
        return Err(UsageError(
            "memory is not written to a terminal: redirect it (memdump > FILE), pipe it on \
             (memdump | nc HOST PORT) or name a file (memdump -o FILE)"
                .into(),
        )
        .into());
    }

    let mut selection = select::open(&args.select, &args.exclude, true)?;
    let space = selection.plan.map.space();
    job.check_space(space, if space == Space::Kernel { "with -k " } else { "" })?;

    let mut record = MapFile::create(args.map.as_deref())?;
    if to_terminal {
        let limit = job.options.limit.unwrap_or(u64::MAX);
        for region in selection.plan.map.truncate(limit).regions() {
            record.extent(region.extent)?;
        }
        record.close()?;
        eprintln!("memdump: standard output is a terminal: only the map was written, no memory");
        return Ok(Exit::Complete);
    }
    selection.plan = selection.plan.fitted(&*selection.space, format.hole_encoding);
    Dump { args, job, selection }.run(record)
}

/// Everything that was decided before the first read.
struct Dump<'a> {
    args: &'a DumpArgs,
    job: Job,
    selection: Selection,
}

impl Dump<'_> {
    fn run(mut self, map: MapFile) -> anyhow::Result<Exit> {
        match (self.job.options.limit, self.job.format.hole_encoding) {
            // What follows a hole takes its place, so the limit is counted while copying.
            (None, _) | (Some(_), HoleEncoding::LeftOut) => {}
            // Headers say beforehand what will come.
            (Some(limit), HoleEncoding::Filled | HoleEncoding::Gaps | HoleEncoding::Kept) => {
                self.selection.plan.map = self.selection.plan.map.truncate(limit);
            }
        }
        let plan = &self.selection.plan;
        let expected = plan.map.total().min(self.job.options.limit.unwrap_or(u64::MAX));
        let advice = "take less (-s SIZE), compress it (--compress zstd), or send it off the machine (memdump | zstd | …)";
        self.job.check_room(plan, expected, advice)?;
        self.job.say(format_args!(
            "{} of {} memory from {}",
            Human(expected),
            plan.map.space(),
            self.selection.source,
        ));

        for note in &self.selection.notes {
            self.job.say(format_args!("note: {note}"));
        }

        for problem in &self.selection.problems {
            self.job.say(format_args!("warning: {problem}"));
        }

        let archive = self.open_kit()?;
        let (sink, beside) = match self.job.open(&self.args.manifest, true) {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(archive) = archive {
                    archive.abandon();
                }
                return Err(error);
            }
        };
        let wanted = Wanted { hashes: beside.is_some(), second_look: self.args.second_look };
        let done = match self.job.run(&*self.selection.space, plan, expected, map, (sink, wanted)) {
            Ok(done) => done,
            Err(error) => {
                if let Some(beside) = beside {
                    beside.abandon();
                }
                if let Some(archive) = archive {
                    archive.abandon();
                }
                return Err(error);
            }
        };
        let missing = self.missing(&done.summary)?;
        if let Some(look) = done.second_look {
            self.say_look(look);
        }
        let kit = archive.map(|archive| self.write_kit(archive, done.times.start_seconds()));
        let kit = match kit.transpose() {
            Ok(kit) => kit,
            Err(error) => {
                if let Some(beside) = beside {
                    beside.abandon();
                }
                return Err(error);
            }
        };
        if let (Some(beside), Some(hashed)) = (beside, done.hashed) {
            let Job { request, format, codec, .. } = &self.job;
            beside.write(Written {
                image: image_file(request, format.name, codec.map(|codec| codec.name), hashed)?,
                source: &self.selection.source,
                space: plan.map.space(),
                facts: &plan.facts,
                times: &done.times,
                summary: &done.summary,
                missing: &missing,
                regions: done.regions,
                second_look: done.second_look,
                process: None,
                kit,
            })?;
        }
        Ok(self.conclude(&done.summary, &missing))
    }

    /// Opens the analysis kit, where one is wanted.
    fn open_kit(&self) -> anyhow::Result<Option<Archive>> {
        let Some(path) = &self.args.kit else { return Ok(None) };
        if self.selection.kit.is_none() {
            let message =
                "--kit: the files of a kit are a running machine's, and the source is an image";
            return Err(UsageError(message.into()).into());
        }
        Archive::open(path, self.args.write.overwrite).map(Some)
    }

    /// Fills it, and says what is in it.
    fn write_kit(&self, archive: Archive, time: u64) -> anyhow::Result<Packed> {
        let items = self.selection.kit.iter().flat_map(memdump_live::Kit::items);
        let packed = archive.write(items, time, &self.job.request.target)?;
        let kit = &packed.kit;
        let missing: Vec<_> = kit.files.iter().filter(|file| file.missing.is_some()).collect();
        self.job.say(format_args!(
            "kit {}: {} files, {}",
            kit.archive.name,
            kit.files.len() - missing.len(),
            Human(kit.archive.size),
        ));
        for file in missing {
            let reason = file.missing.as_deref().unwrap_or_default();
            self.job.say(format_args!("not in the kit: {}: {reason}", file.name));
        }
        for file in &kit.files {
            if let Some(note) = &file.note {
                self.job.say(format_args!("in the kit: {}: {note}", file.name));
            }
        }
        Ok(packed)
    }

    /// How far the memory changed while it was copied.
    fn say_look(&self, look: SecondLook) {
        let SecondLook { pages, changed, unreadable } = look;
        let share = changed as f64 / pages.max(1) as f64 * 100.0;
        self.job.say(format_args!(
            "of {pages} pages that were read again, {changed} had changed ({share:.1} %), {unreadable} \
             could not be read any more"
        ));
    }

    /// Memory that is not in the image: known before, met while reading, changed meanwhile.
    fn missing(&self, summary: &Summary) -> anyhow::Result<Vec<Hole>> {
        let mut missing = self.selection.omitted.clone();
        missing.extend(summary.holes.listed());
        missing.extend((self.selection.recheck)()?);
        Ok(missing)
    }

    /// Says exactly what was taken.
    fn conclude(&self, summary: &Summary, missing: &[Hole]) -> Exit {
        let incomplete = !self.selection.problems.is_empty()
            || missing.iter().any(|hole| !hole.cause.is_inherent());
        let peak = memdump_live::peak_memory();
        if self.args.write.progress == ProgressStyle::Json {
            print_json(&serde_json::json!({
                "event": "summary",
                "source": self.selection.source,
                "format": self.job.format.name,
                "bytes": summary.bytes,
                "seconds": summary.elapsed.as_secs_f64(),
                "complete": !incomplete,
                "notes": self.selection.notes,
                "problems": self.selection.problems,
                "peak_memory": peak,
                "unlisted_holes": summary.holes.unlisted(),
                "holes": json_holes(missing),
            }));
        }
        let seconds = summary.elapsed.as_secs_f64();
        let rate = Human((summary.bytes as f64 / seconds.max(1e-9)) as u64);
        self.job.say(format_args!(
            "took {} in {seconds:.1} s ({rate}/s), format {}; own memory {}",
            Human(summary.bytes),
            self.job.format.name,
            peak.map_or("unknown".to_owned(), |peak| Human(peak).to_string()),
        ));
        self.job.say_holes(missing, summary);
        if let Some(limit) = self.job.options.limit.filter(|&limit| summary.bytes < limit) {
            let limit = Human(limit);
            self.job
                .say(format_args!("warning: there is less memory than the {limit} asked for (-s)"));
        }
        self.warn_of_readers();
        if incomplete {
            self.job.say(format_args!("the image is incomplete (exit status 3)"));
            return Exit::Incomplete;
        }
        Exit::Complete
    }

    /// The shell makes files that others may read.
    fn warn_of_readers(&self) {
        let mode = File::open("/proc/self/fd/1").and_then(|file| file.metadata());
        if let ("stdout", Ok(metadata)) = (self.job.request.kind().name, mode)
            && metadata.is_file()
            && metadata.permissions().mode() & 0o077 != 0
        {
            self.job.say(format_args!(
                "warning: the file that the shell made can be read by others: chmod 600 it, or use \
                 -o"
            ));
        }
    }
}

fn copy_options(args: &DumpArgs, format: &Format) -> anyhow::Result<CopyOptions> {
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
    let readers = args.write.readers.map_or_else(|| default_readers_for(format), usize::from);
    let limit = select::size("-s", &args.select.size, "1g")?;
    tracing::info!("{readers} readers, {} a read", Human(read_size as u64));
    let no_zeros = args.exclude.contains(&Excluded::Zero) && !format.elides_zeros;
    Ok(CopyOptions { read_size, readers, limit, no_zeros })
}
