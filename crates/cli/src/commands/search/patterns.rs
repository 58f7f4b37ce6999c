//! From the words of the command line to patterns.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use memdump_image::{Extent, ExtentSet, MemoryMap};
use memdump_inspect::search::{Pattern, PatternError, What, parse_integer};
use memdump_inspect::text::Encoding;

use crate::args::PatternArgs;
use crate::exit::UsageError;

/// The largest file of patterns, in bytes.
const MAX_FILE_LEN: u64 = 64 << 20;

/// All patterns. Regions are those of `map`.
pub(super) fn all(args: &PatternArgs, map: &MemoryMap) -> anyhow::Result<Vec<Pattern>> {
    let mut patterns = fixed(args)?;
    for name in &args.pointer_to {
        patterns.push(pointer(args, name, regions(name, map)?)?);
    }
    Ok(patterns)
}

/// Those that need no target.
pub(super) fn fixed(args: &PatternArgs) -> anyhow::Result<Vec<Pattern>> {
    let mut patterns = Vec::new();
    for text in &args.texts {
        patterns.extend(texts(args, text)?);
    }
    for hex in &args.hex {
        patterns.push(Pattern::hex(hex).map_err(|error| wrong("--hex", &error))?);
    }
    for regex in &args.regex {
        let pattern = Pattern::regex(regex, args.ignore_case);
        patterns.push(pattern.map_err(|error| wrong("--regex", &error))?);
    }
    for number in &args.int {
        patterns.push(integer(args, number)?);
    }
    for text in &args.pointer {
        let Some(to) = addresses(text) else {
            let message = format!(
                "--pointer {text}: write an address in hexadecimal, as in 7f12a0001230, or a range, \
                 START-END"
            );
            return Err(UsageError(message).into());
        };
        patterns.push(pointer(args, text, [to].into_iter().collect())?);
    }
    for path in &args.file {
        let found = file(args, path).map_err(|error| UsageError(format!("{error:#}")))?;
        patterns.extend(found);
    }
    if patterns.is_empty() && args.pointer_to.is_empty() {
        let message = "there is nothing to search for: name a text, or --hex, --regex, --int, --pointer, \
                       --pointer-to, --file, --yara";
        return Err(UsageError(message.into()).into());
    }
    if let Some(align) = args.align {
        patterns.iter_mut().for_each(|pattern| pattern.align = align);
    }
    Ok(patterns)
}

fn wrong(option: &str, error: &PatternError) -> UsageError {
    UsageError(format!("{option}: {error}"))
}

/// A text in each encoding, which is part of its name then; those in which it is the same bytes count once.
fn texts(args: &PatternArgs, text: &str) -> anyhow::Result<Vec<Pattern>> {
    let mut known: Vec<Vec<u8>> = Vec::new();
    let mut patterns = Vec::new();
    for &encoding in &args.encoding {
        let encoding = Encoding::from(encoding);
        let Some(bytes) = encoding.encode(text) else {
            let name = encoding.name();
            let message =
                format!("{text:?} has characters that {name} does not have: leave that out of -e");
            return Err(UsageError(message).into());
        };
        if known.contains(&bytes) {
            continue;
        }
        known.push(bytes.clone());
        let what = if args.ignore_case { What::AnyCase(bytes) } else { What::Bytes(bytes) };
        let name = match args.encoding.len() {
            1 => text.to_owned(),
            _ => format!("{text} ({})", encoding.name()),
        };
        patterns.push(Pattern::new(&name, what).map_err(|error| wrong("TEXT", &error))?);
    }
    Ok(patterns)
}

/// `--width`, which clap has checked.
fn width(args: &PatternArgs) -> Option<usize> {
    args.width.as_ref().and_then(|width| width.parse().ok())
}

fn integer(args: &PatternArgs, text: &str) -> Result<Pattern, UsageError> {
    let fits_4 = parse_integer(text)
        .is_some_and(|value| (i128::from(i32::MIN)..=i128::from(u32::MAX)).contains(&value));
    let width = width(args).unwrap_or(if fits_4 { 4 } else { 8 });
    Pattern::integer(text, width, args.big_endian).map_err(|error| wrong("--int", &error))
}

fn pointer(args: &PatternArgs, name: &str, to: ExtentSet) -> Result<Pattern, UsageError> {
    let width = width(args).unwrap_or(8);
    if !matches!(width, 4 | 8) || args.big_endian {
        let message = "pointers have --width 4 or 8, and their lowest byte first";
        return Err(UsageError(message.into()));
    }
    let pattern = Pattern::new(name, What::PointerTo { to, width });
    let align = args.align.unwrap_or(width as u64);
    pattern.map(|pattern| Pattern { align, ..pattern }).map_err(|error| wrong("--pointer", &error))
}

/// `ADDR` or `START-END`.
fn addresses(text: &str) -> Option<Extent> {
    let number = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        digits.starts_with(|first: char| first.is_ascii_hexdigit()).then_some(())?;
        u64::from_str_radix(digits, 16).ok()
    };
    match text.split_once('-') {
        Some((start, end)) => Extent::half_open(number(start)?, number(end)?).ok(),
        None => Extent::with_len(number(text)?, 1).ok(),
    }
}

/// The regions of a name or a kind.
fn regions(name: &str, map: &MemoryMap) -> anyhow::Result<ExtentSet> {
    let glob = memdump_live::process::glob(name);
    let is_meant = |region: &&memdump_image::Region| {
        region.label == name
            || region.kind.name() == name
            || glob.as_ref().is_ok_and(|glob| {
                !region.label.is_empty() && glob.is_match(&region.label)
                    || region.label.rsplit('/').next().is_some_and(|last| glob.is_match(last))
            })
    };
    let meant: ExtentSet = map.regions().iter().filter(is_meant).map(|r| r.extent).collect();
    if meant.is_empty() {
        let message = format!(
            "--pointer-to {name}: no region has that name or kind: `memdump map` and `memdump info` list \
             them; a range is --pointer START-END"
        );
        return Err(UsageError(message).into());
    }
    Ok(meant)
}

/// The patterns of a file.
fn file(args: &PatternArgs, path: &Path) -> anyhow::Result<Vec<Pattern>> {
    let shown = path.display();
    let mut text = String::new();
    let opened = File::open(path).with_context(|| format!("cannot open the patterns {shown}"))?;
    opened
        .take(MAX_FILE_LEN + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the patterns {shown}"))?;
    if text.len() as u64 > MAX_FILE_LEN {
        bail!("the patterns {shown} are more than 64 MiB: split the file");
    }
    let mut patterns = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |error: String| UsageError(format!("{shown}, line {number}: {error}"));
        let found = match line.split_once(':') {
            Some(("hex", hex)) => Pattern::hex(hex).map(|pattern| vec![pattern]),
            Some(("regex", regex)) => {
                Pattern::regex(regex, args.ignore_case).map(|pattern| vec![pattern])
            }
            Some(("text", text)) => Ok(texts(args, text).map_err(|e| at(e.to_string()))?),
            _ => Ok(texts(args, line).map_err(|e| at(e.to_string()))?),
        };
        patterns.extend(found.map_err(|error| at(error.to_string()))?);
    }
    if patterns.is_empty() {
        bail!("there are no patterns in {shown}: write one in each line");
    }
    Ok(patterns)
}
