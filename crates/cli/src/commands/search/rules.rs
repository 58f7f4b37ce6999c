//! `memdump search --yara`: where rules of YARA are in a target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use memdump_inspect::yara::{Event, MAX_MATCHES, Options, Rules, Source};

use super::super::{look, target};
use super::hits::Hits;
use super::lines::{self, Hit};
use crate::args::SearchArgs;
use crate::exit::{Exit, UsageError};

/// The largest file of rules, in bytes.
const MAX_FILE_LEN: u64 = 64 << 20;

pub(super) fn run(args: &SearchArgs) -> anyhow::Result<Exit> {
    // Wrong rules are told of before anything is opened.
    let rules = compile(&args.what.yara).map_err(|error| UsageError(format!("{error:#}")))?;
    let stop = look::watch()?;
    let target = target::open(&args.target.target, &args.target.of, &args.target.file)?;
    look::introduce(&target, args.show.quiet);
    rules.notes.iter().filter(|_| !args.show.quiet).for_each(|note| eprintln!("memdump: {note}"));
    rules.warnings.iter().for_each(|warning| tracing::info!("{warning}"));
    let context = if args.count { 0 } else { usize::from(args.context) };
    let mut options = Options::default().context(context);
    options = args.threads.map_or(options, |threads| options.threads(threads.into()));
    let mut counts: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    let mut hits = Hits::new(args, &target, &stop, true);
    let result = rules.run(&target.view(), &options, &mut |event| match event {
        Event::Match(place) => {
            if args.count {
                let name = (place.rule.to_owned(), place.pattern.map(str::to_owned));
                *counts.entry(name).or_default() += 1;
            }
            hits.add(&Hit {
                addr: place.addr,
                rule: Some(place.rule),
                pattern: place.pattern,
                is_pointer: false,
                before: place.before,
                bytes: place.bytes,
                after: place.after,
            })
        }
        Event::Progress(bytes) => hits.advance(bytes),
    });
    let report = hits.done(result)?;
    for (rule, pattern) in &report.abundant {
        eprintln!(
            "memdump: {rule}:{pattern} has {MAX_MATCHES} matches or more within 32 MiB: further ones there \
             are not told of"
        );
    }
    hits.conclude(&report.summary, || counted(args, &counts))
}

/// Of each rule that was found, its patterns that were.
fn counted(args: &SearchArgs, counts: &BTreeMap<(String, Option<String>), u64>) -> String {
    let line = |((rule, pattern), count): (&(String, Option<String>), &u64)| match args.show.json {
        true => {
            let line = serde_json::json!({"rule": rule, "pattern": pattern, "count": count});
            format!("{line}\n")
        }
        false => format!("{count:>10}  {}\n", lines::name(Some(rule), pattern.as_deref())),
    };
    counts.iter().map(line).collect()
}

fn compile(paths: &[PathBuf]) -> anyhow::Result<Rules> {
    let sources: Vec<Source> = paths.iter().map(|path| source(path)).collect::<Result<_, _>>()?;
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Rules::compile(&sources)
        .with_context(|| format!("--yara {}: these rules are wrong", names.join(", ")))
}

fn source(path: &Path) -> anyhow::Result<Source> {
    let shown = path.display();
    let opened = File::open(path).with_context(|| format!("cannot open the rules {shown}"))?;
    let mut text = Vec::new();
    opened
        .take(MAX_FILE_LEN + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read the rules {shown}"))?;
    if text.len() as u64 > MAX_FILE_LEN {
        bail!("the rules {shown} are more than 64 MiB: split the file");
    }
    if text.starts_with(b"YARA") {
        bail!("{shown} has compiled rules: name the text that they were made of");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    Ok(Source { name: shown.to_string(), text, folder })
}
