//! `memdump convert`: an image to an image.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::Context;
use memdump_image::codec::{CODECS, Codec};
use memdump_image::format::Format;
use memdump_image::{CopyOptions, Extent, Hole, MemoryMap, Plan, Summary, is_zero};
use memdump_sink::Request;

use super::manifest::{Written, image_file};
use super::open::{self, Opened};
use super::write::{Job, MapFile, Wanted, default_readers_for, json_holes};
use crate::args::{ConvertArgs, Excluded, ProgressStyle};
use crate::exit::{Exit, UsageError};
use crate::log;
use crate::progress::{Progress, print_json};
use crate::size::Human;

/// Bytes that are passed on at a time where nothing but the compression changes.
const PIECE_LEN: usize = 1 << 20;

pub(crate) fn run(args: &ConvertArgs) -> anyhow::Result<Exit> {
    log::init(args.verbose);
    let opened = open::open(&args.input, &args.input_options)?;
    let output = Path::new(&args.output);
    let codec = match &args.compress {
        Some(name) => Codec::by_name(name),
        None => codec_of(output.extension()),
    };
    let stem = match codec_of(output.extension()) {
        Some(_) => output.file_stem().map(Path::new),
        None => Some(output),
    };
    let by_name = stem.and_then(Path::extension).and_then(OsStr::to_str).and_then(Format::by_name);
    let format = match &args.format {
        Some(name) => Format::by_name(name).context("an unlisted format")?,
        None => by_name.unwrap_or(opened.format),
    };
    for problem in opened.problems() {
        say(args, format_args!("warning: {problem}"));
    }
    let job = Job {
        format,
        codec,
        request: Request { target: args.output.clone(), overwrite: args.write.overwrite },
        options: CopyOptions {
            read_size: CopyOptions::DEFAULT_READ_SIZE,
            readers: args.write.readers.map_or_else(|| default_readers_for(format), usize::from),
            limit: None,
            no_zeros: args.exclude.contains(&Excluded::Zero) && !format.elides_zeros,
        },
        progress: args.write.progress,
        quiet: args.write.quiet,
    };
    job.check_space(opened.map().space(), "")?;
    if job.is_to_terminal() {
        let message = "an image is not written to a terminal: redirect it, or name a file";
        return Err(UsageError(message.into()).into());
    }
    let map = select(args, opened.map())?;
    let is_whole = map.total() == opened.map().total();
    let is_sound = opened.image.problems.is_empty() && args.input_options.part.is_empty();
    if is_whole
        && is_sound
        && !args.input_options.salvage
        && args.exclude.is_empty()
        && format.name == opened.format.name
        && format.name != "raw"
    {
        return repack(&job, &opened);
    }

    let opened = opened.without(&args.exclude)?;
    let space = &*opened.image.space;
    let plan = Plan::whole(map, opened.page_size(), opened.image.facts.clone());
    let mut plan = plan.fitted(space, format.hole_encoding);
    plan.is_thinned = !args.exclude.is_empty();
    let expected = plan.total();
    job.check_room(
        &plan,
        expected,
        "take less (--range, --kind), or compress it (--compress zstd)",
    )?;
    let record = MapFile::create(args.write_map.as_deref())?;
    let (sink, beside) = job.open(&args.manifest, false)?;
    let wanted = Wanted { hashes: beside.is_some(), second_look: None };
    let done = match job.run(space, &plan, expected, record, (sink, wanted)) {
        Ok(done) => done,
        Err(error) => {
            if let Some(beside) = beside {
                beside.abandon();
            }
            return Err(error);
        }
    };
    if let (Some(beside), Some(hashed)) = (beside, done.hashed) {
        beside.write(Written {
            image: image_file(
                &job.request,
                job.format.name,
                job.codec.map(|codec| codec.name),
                hashed,
            )?,
            source: &args.input.to_string_lossy(),
            space: plan.map.space(),
            facts: &plan.facts,
            times: &done.times,
            summary: &done.summary,
            missing: done.summary.holes.listed(),
            regions: done.regions,
            second_look: None,
            process: None,
            kit: None,
        })?;
    }
    Ok(conclude(args, &job, &opened, &done.summary))
}

fn say(args: &ConvertArgs, message: std::fmt::Arguments<'_>) {
    if !args.write.quiet {
        eprintln!("memdump: {message}");
    }
}

/// The codec whose files have this suffix.
fn codec_of(suffix: Option<&OsStr>) -> Option<&'static Codec> {
    CODECS.iter().find(|codec| suffix.is_some_and(|suffix| suffix == codec.suffix))
}

/// What of the image is asked for.
fn select(args: &ConvertArgs, map: &MemoryMap) -> anyhow::Result<MemoryMap> {
    let mut wanted = map.clone();
    if !args.range.is_empty() {
        wanted = wanted.clip(&args.range.iter().copied().collect());
    }
    if !args.kind.is_empty() {
        let of_kind = wanted
            .regions()
            .iter()
            .filter(|region| args.kind.iter().any(|kind| kind == region.kind.name()));
        wanted = wanted.clip(&of_kind.map(|region| region.extent).collect());
    }
    if wanted.regions().is_empty() {
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for region in map.regions() {
            *kinds.entry(region.kind.name()).or_default() += region.extent.len();
        }
        let kinds: Vec<_> =
            kinds.iter().map(|(kind, len)| format!("{kind} ({})", Human(*len))).collect();
        let whole = map.regions().first().zip(map.regions().last());
        let whole = whole.and_then(|(first, last)| {
            Extent::half_open(first.extent.start(), last.extent.end()).ok()
        });
        let whole = whole.map_or("nothing".to_owned(), |whole| whole.to_string());
        return Err(UsageError(format!(
            "nothing of the image is in what was asked for: it has {whole}, kinds {}",
            kinds.join(", ")
        ))
        .into());
    }
    Ok(wanted)
}

/// The same image with another compression, or none: not a byte of it changes.
fn repack(job: &Job, opened: &Opened) -> anyhow::Result<Exit> {
    let file = &*opened.file;
    let size = file.size().context("cannot read the image; --salvage takes what is whole of it")?;
    let mut sink = (job.request.kind().open)(&job.request)?;
    let mut progress = Progress::new(job.progress, job.quiet, size);
    let mut pass = |output: &mut dyn memdump_image::Output| -> anyhow::Result<()> {
        let mut piece = vec![0; PIECE_LEN];
        let mut at = 0;
        while at < size {
            let now = piece.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
            let piece = &mut piece[..now];
            file.read_exact_at(at, piece).with_context(|| {
                format!(
                    "cannot read the image at offset {at:#x}; --salvage takes what is whole of it"
                )
            })?;
            match is_zero(piece) {
                true => output.zeros(now as u64),
                false => output.write_all(piece),
            }
            .with_context(|| format!("cannot write to {}", job.target()))?;
            at += now as u64;
            progress.advance(now as u64);
        }
        Ok(())
    };
    let result = match job.codec {
        None => pass(&mut *sink),
        Some(codec) => {
            let mut passed = Ok(());
            let (_, result) = codec.compress(&mut *sink, |output| {
                passed = pass(output);
                (Summary::default(), Ok(()))
            });
            passed.and_then(|()| Ok(result?))
        }
    };
    progress.clear();
    if let Err(error) = result {
        sink.abort();
        return Err(error);
    }
    sink.commit()?;
    let how = job.codec.map_or("without compression", |codec| codec.name);
    job.say(format_args!("{}: the same {} image, {how}", job.target(), job.format.name));
    Ok(Exit::Complete)
}

fn conclude(args: &ConvertArgs, job: &Job, opened: &Opened, summary: &Summary) -> Exit {
    let holes: &[Hole] = summary.holes.listed();
    let problems = opened.problems();
    let incomplete =
        !problems.is_empty() || summary.holes.by_cause().any(|(cause, _)| !cause.is_inherent());
    if args.write.progress == ProgressStyle::Json {
        print_json(&serde_json::json!({
            "event": "summary",
            "from": opened.format.name,
            "format": job.format.name,
            "compression": job.codec.map(|codec| codec.name),
            "bytes": summary.bytes,
            "zero": summary.zero,
            "seconds": summary.elapsed.as_secs_f64(),
            "complete": !incomplete,
            "problems": problems,
            "unlisted_holes": summary.holes.unlisted(),
            "holes": json_holes(holes),
        }));
    }
    let seconds = summary.elapsed.as_secs_f64();
    let rate = Human((summary.bytes as f64 / seconds.max(1e-9)) as u64);
    job.say(format_args!(
        "converted {} from {} to {} in {seconds:.1} s ({rate}/s)",
        Human(summary.bytes + summary.zero),
        opened.format.name,
        job.format.name,
    ));
    job.say_holes(holes, summary);
    if incomplete {
        job.say(format_args!("the image is incomplete (exit status 3)"));
        return Exit::Incomplete;
    }
    Exit::Complete
}
