//! `memdump` without a subcommand: dumps the machine's memory to an image.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use memdump_acquire::manifest::{Kit, SecondLook};
use memdump_acquire::{
    Destination, Human, JobOptions, MachineSource, MapFile, Report, Source, holes_json,
};
use memdump_image::codec::Codec;
use memdump_image::format::Format;
use memdump_image::{CopyOptions, MemoryMap, Space};

use super::writing::{Attended, check_space, destination, say, say_holes};
use crate::advice::advised;
use crate::args::{DumpArgs, Excluded, ProgressStyle};
use crate::exit::{Exit, UsageError};
use crate::progress::print_json;
use crate::signals::StopFlag;
use crate::{log, options};

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<Exit> {
    log::init(args.select.verbose);
    let limits = Limits::of(args)?;
    let destination = destination(&args.output)?;
    let to_terminal = destination.is_terminal();
    if to_terminal && args.map.is_none() {
        return Err(UsageError(
            "memory is not written to a terminal: redirect it (memdump > FILE), pipe it on \
             (memdump | nc HOST PORT) or name a file (memdump -o FILE)"
                .into(),
        )
        .into());
    }
    let job = job_options(args, &destination, limits)?;
    let machine = options::open_machine(&args.select, &args.exclude, true)?;
    let space = machine.plan.map.space();
    check_space(&job, space, if space == Space::Kernel { "with -k " } else { "" })?;
    if to_terminal {
        return map_alone(args, &machine.plan.map, limits.size);
    }
    if args.kit.is_some() && machine.kit.is_none() {
        let message =
            "--kit: the files of a kit are a running machine's, and the source is an image";
        return Err(UsageError(message.into()).into());
    }
    let mut source = Source::machine(&machine);
    job.check_room(&mut source).map_err(|error| {
        advised(
            &error,
            "; name another place, take less (-s SIZE), compress it (--compress zstd), or send it off \
             the machine (memdump | zstd | …)",
        )
    })?;
    say(
        &args.write,
        format_args!(
            "{} of {} memory from {}",
            Human(source.total().min(limits.size.unwrap_or(u64::MAX))),
            machine.plan.map.space(),
            machine.name,
        ),
    );
    machine.notes.iter().for_each(|note| say(&args.write, format_args!("note: {note}")));
    machine.problems.iter().for_each(|line| say(&args.write, format_args!("warning: {line}")));
    let stop = StopFlag::install().context("cannot watch for signals")?;
    let done = job.open()?.run(source, &mut Attended::new(&args.write, &stop))?;
    if let Some(look) = done.report.second_look {
        say_look(args, look);
    }
    if let Some(kit) = &done.report.kit {
        say_kit(args, kit);
    }
    let report = done.finish(&|| stop.is_set())?;
    Ok(conclude(args, &machine, &destination, &report, limits.size))
}

/// The sizes that the arguments ask for.
#[derive(Clone, Copy)]
struct Limits {
    /// The size of a read, in bytes.
    read: usize,
    /// The number of bytes to dump. `None` means all.
    size: Option<u64>,
}

impl Limits {
    fn of(args: &DumpArgs) -> Result<Self, UsageError> {
        let buffer = |name, text: &Option<String>, example, default| {
            let max = CopyOptions::MAX_READ_SIZE as u64;
            match options::size(name, text, example)? {
                None => Ok(default),
                Some(size) if size <= max => Ok(size as usize),
                Some(size) => Err(UsageError(format!(
                    "{name} {}: {} are beyond reason for a buffer, at most 16m; try {name} {example}",
                    text.as_deref().unwrap_or_default(),
                    Human(size),
                ))),
            }
        };
        let read = buffer("-b", &args.read_size, "1m", CopyOptions::DEFAULT_READ_SIZE)?;
        // The value is only checked: holes are found to the machine's page size. See the option's help.
        buffer("-p", &args.page_size, "4k", 0)?;
        Ok(Self { read, size: options::size("-s", &args.select.size, "1g")? })
    }
}

fn job_options(
    args: &DumpArgs,
    destination: &Destination,
    limits: Limits,
) -> anyhow::Result<JobOptions> {
    let format = Format::by_name(&args.format).context("an unlisted format")?;
    tracing::info!("{} a read", Human(limits.read as u64));
    Ok(JobOptions::new(format, destination.clone())
        .codec(args.compress.as_deref().and_then(Codec::by_name))
        .overwrite(args.write.overwrite)
        .readers(args.write.readers.map(usize::from))
        .read_size(limits.read)
        .limit(limits.size)
        .no_zeros(args.exclude.contains(&Excluded::Zero))
        .manifest(options::manifest(&args.manifest, true))
        .map(args.map.clone())
        .kit(args.kit.clone())
        .second_look(args.second_look))
}

/// Writes only the map, when standard output is a terminal.
fn map_alone(args: &DumpArgs, map: &MemoryMap, limit: Option<u64>) -> anyhow::Result<Exit> {
    let mut record = MapFile::create(args.map.as_deref())?;
    for region in map.truncate(limit.unwrap_or(u64::MAX)).regions() {
        record.extent(region.extent)?;
    }
    record.close()?;
    eprintln!("memdump: standard output is a terminal: only the map was written, no memory");
    Ok(Exit::Complete)
}

/// Prints what is in the kit.
fn say_kit(args: &DumpArgs, kit: &Kit) {
    let missing: Vec<_> = kit.files.iter().filter(|file| file.missing.is_some()).collect();
    say(
        &args.write,
        format_args!(
            "kit {}: {} files, {}",
            kit.archive.name,
            kit.files.len() - missing.len(),
            Human(kit.archive.size),
        ),
    );
    for file in missing {
        let reason = file.missing.as_deref().unwrap_or_default();
        say(&args.write, format_args!("not in the kit: {}: {reason}", file.name));
    }
    for file in &kit.files {
        if let Some(note) = &file.note {
            say(&args.write, format_args!("in the kit: {}: {note}", file.name));
        }
    }
}

/// Prints how much memory changed while it was copied.
fn say_look(args: &DumpArgs, look: SecondLook) {
    let SecondLook { pages, changed, unreadable } = look;
    let share = changed as f64 / pages.max(1) as f64 * 100.0;
    say(
        &args.write,
        format_args!(
            "of {pages} pages that were read again, {changed} had changed ({share:.1} %), {unreadable} \
             could not be read any more"
        ),
    );
}

/// Prints what was dumped, and what is missing.
fn conclude(
    args: &DumpArgs,
    machine: &MachineSource,
    destination: &Destination,
    report: &Report,
    limit: Option<u64>,
) -> Exit {
    let Report { summary, missing, .. } = report;
    let is_incomplete = !machine.problems.is_empty() || !report.is_complete();
    let peak = memdump_live::peak_memory();
    if args.write.progress == ProgressStyle::Json {
        print_json(&serde_json::json!({
            "event": "summary",
            "source": machine.name,
            "format": args.format,
            "bytes": summary.bytes,
            "seconds": summary.elapsed.as_secs_f64(),
            "complete": !is_incomplete,
            "notes": machine.notes,
            "problems": machine.problems,
            "peak_memory": peak,
            "unlisted_holes": summary.holes.unlisted(),
            "holes": holes_json(missing),
        }));
    }
    let seconds = summary.elapsed.as_secs_f64();
    let rate = Human((summary.bytes as f64 / seconds.max(1e-9)) as u64);
    say(
        &args.write,
        format_args!(
            "took {} in {seconds:.1} s ({rate}/s), format {}; own memory {}",
            Human(summary.bytes),
            args.format,
            peak.map_or("unknown".to_owned(), |peak| Human(peak).to_string()),
        ),
    );
    say_holes(&args.write, missing, summary, "--progress json");
    if let Some(limit) = limit.filter(|&limit| summary.bytes < limit) {
        let limit = Human(limit);
        say(
            &args.write,
            format_args!("warning: there is less memory than the {limit} asked for (-s)"),
        );
    }
    warn_of_readers(args, destination);
    if is_incomplete {
        say(&args.write, format_args!("the image is incomplete (exit status 3)"));
        return Exit::Incomplete;
    }
    Exit::Complete
}

/// Warns that other users may read the image, when the shell created the file.
fn warn_of_readers(args: &DumpArgs, destination: &Destination) {
    let mode = File::open("/proc/self/fd/1").and_then(|file| file.metadata());
    if let (true, Ok(metadata)) = (destination.is_stdout(), mode)
        && metadata.is_file()
        && metadata.permissions().mode() & 0o077 != 0
    {
        say(
            &args.write,
            format_args!(
                "warning: the file that the shell made can be read by others: chmod 600 it, or use \
                 -o"
            ),
        );
    }
}
