//! `memdump convert`: writes an image in another format, or a part of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::Context;
use memdump_acquire::{Human, InputImage, JobOptions, Report, Source, holes_json};
use memdump_image::codec::{CODECS, Codec};
use memdump_image::format::Format;
use memdump_image::{Extent, MemoryMap};

use super::writing::{Attended, check_space, destination, say, say_holes};
use crate::advice::advised;
use crate::args::{ConvertArgs, Excluded, ProgressStyle};
use crate::exit::{Exit, UsageError};
use crate::progress::print_json;
use crate::signals::StopFlag;
use crate::{log, options};

pub(crate) fn run(args: &ConvertArgs) -> anyhow::Result<Exit> {
    log::init(args.verbose);
    let image = InputImage::open(&args.input, &options::input(&args.input_options))?;
    let (format, codec) = layout(args, &image)?;
    for problem in image.problems() {
        say(&args.write, format_args!("warning: {problem}"));
    }
    let destination = destination(&args.output)?;
    let job = JobOptions::new(format, destination.clone())
        .codec(codec)
        .overwrite(args.write.overwrite)
        .readers(args.write.readers.map(usize::from))
        .no_zeros(args.exclude.contains(&Excluded::Zero));
    check_space(&job, image.map().space(), "")?;
    if destination.is_terminal() {
        let message = "an image is not written to a terminal: redirect it, or name a file";
        return Err(UsageError(message.into()).into());
    }
    let map = select(args, image.map())?;
    let stop = StopFlag::install().context("cannot watch for signals")?;
    let mut attended = Attended::new(&args.write, &stop);
    if is_repacked(args, &image, &map, format) {
        job.open()?.repack(&image, &mut attended)?;
        let how = codec.map_or("without compression", |codec| codec.name);
        say(&args.write, format_args!("{destination}: the same {} image, {how}", format.name));
        return Ok(Exit::Complete);
    }

    let image = image.without(options::exclude(&args.exclude))?;
    let mut plan = image.plan();
    plan.map = map;
    plan.is_thinned = !args.exclude.is_empty();
    let mut source = Source::planned(&image, plan);
    let job = job.manifest(options::manifest(&args.manifest, false)).map(args.write_map.clone());
    job.check_room(&mut source).map_err(|error| {
        advised(
            &error,
            "; name another place, take less (--range, --kind), or compress it (--compress zstd)",
        )
    })?;
    let done = job.open()?.run(source, &mut attended)?;
    let report = done.finish(&|| stop.is_set())?;
    Ok(conclude(args, &image, (format, codec), &report))
}

/// The format and compression of the new image: from the arguments, else from its suffix, else those of the old image.
fn layout(
    args: &ConvertArgs,
    image: &InputImage,
) -> anyhow::Result<(&'static Format, Option<&'static Codec>)> {
    let output = Path::new(&args.output);
    let codec_by_name = codec_of(output.extension());
    let codec = match &args.compress {
        Some(name) => Codec::by_name(name),
        None => codec_by_name,
    };
    let stem = match codec_by_name {
        Some(_) => output.file_stem().map(Path::new),
        None => Some(output),
    };
    let by_name = stem.and_then(Path::extension).and_then(OsStr::to_str).and_then(Format::by_name);
    let format = match &args.format {
        Some(name) => Format::by_name(name).context("an unlisted format")?,
        None => by_name.unwrap_or(image.format),
    };
    Ok((format, codec))
}

/// The codec whose files have this suffix.
fn codec_of(suffix: Option<&OsStr>) -> Option<&'static Codec> {
    CODECS.iter().find(|codec| suffix.is_some_and(|suffix| suffix == codec.suffix))
}

/// Returns true if only the compression changes.
fn is_repacked(args: &ConvertArgs, image: &InputImage, map: &MemoryMap, format: &Format) -> bool {
    let is_whole = map.total() == image.map().total();
    let is_valid = image.image.problems.is_empty() && args.input_options.part.is_empty();
    is_whole
        && is_valid
        && !args.input_options.salvage
        && args.exclude.is_empty()
        && format.name == image.format.name
        && format.name != "raw"
}

/// The part of the image that the arguments select.
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

/// Prints what was converted, and what is missing.
fn conclude(
    args: &ConvertArgs,
    image: &InputImage,
    (format, codec): (&Format, Option<&Codec>),
    report: &Report,
) -> Exit {
    let Report { summary, missing, .. } = report;
    let problems = image.problems();
    let is_incomplete = !problems.is_empty() || !report.is_complete();
    if args.write.progress == ProgressStyle::Json {
        print_json(&serde_json::json!({
            "event": "summary",
            "from": image.format.name,
            "format": format.name,
            "compression": codec.map(|codec| codec.name),
            "bytes": summary.bytes,
            "zero": summary.zero,
            "seconds": summary.elapsed.as_secs_f64(),
            "complete": !is_incomplete,
            "problems": problems,
            "unlisted_holes": summary.holes.unlisted(),
            "holes": holes_json(missing),
        }));
    }
    let seconds = summary.elapsed.as_secs_f64();
    let rate = Human((summary.bytes as f64 / seconds.max(1e-9)) as u64);
    say(
        &args.write,
        format_args!(
            "converted {} from {} to {} in {seconds:.1} s ({rate}/s)",
            Human(summary.bytes + summary.zero),
            image.format.name,
            format.name,
        ),
    );
    say_holes(&args.write, missing, summary, "--progress json");
    if is_incomplete {
        say(&args.write, format_args!("the image is incomplete (exit status 3)"));
        return Exit::Incomplete;
    }
    Exit::Complete
}
