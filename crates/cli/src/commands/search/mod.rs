//! `memdump search`: where patterns are in a target.

mod hits;
mod lines;
mod patterns;
#[cfg(feature = "yara")]
mod rules;

use memdump_inspect::search::{Event, Options, Pattern, Search, What};

use self::hits::Hits;
use self::lines::Hit;
use super::look;
use super::target;
use crate::args::SearchArgs;
use crate::exit::{Exit, UsageError};
use crate::log;

pub(crate) fn run(args: &SearchArgs) -> anyhow::Result<Exit> {
    log::init(args.target.of.verbose);
    look::run(|| match args.what.yara.is_empty() {
        true => with_patterns(args),
        false => rules::run(args),
    })
}

/// A build that leaves YARA out.
#[cfg(not(feature = "yara"))]
mod rules {
    use crate::args::SearchArgs;
    use crate::exit::{Exit, UsageError};

    pub(super) fn run(_: &SearchArgs) -> anyhow::Result<Exit> {
        let message = "--yara: this memdump was built without YARA: build it with \
                       `cargo build --release -p memdump --features yara`";
        Err(UsageError(message.into()).into())
    }
}

fn with_patterns(args: &SearchArgs) -> anyhow::Result<Exit> {
    // Wrong patterns are told of before anything is opened.
    patterns::fixed(&args.what)?;
    let stop = look::watch()?;
    let target = target::open(&args.target.target, &args.target.of, &args.target.file)?;
    let patterns = patterns::all(&args.what, target.map())?;
    let context = if args.count { 0 } else { usize::from(args.context) };
    let search = Search::new(&patterns)
        .map_err(|error| UsageError(format!("these patterns cannot be searched for: {error}")))?;
    look::introduce(&target, args.show.quiet);
    let mut counts = vec![0_u64; patterns.len()];
    let mut hits = Hits::new(args, &target, &stop, patterns.len() > 1);
    let options = Options::default().context(context).scan(look::options(args.threads));
    let result = search.run(&target.view(), &options, &mut |event| match event {
        Event::Match(place) => {
            counts[place.pattern] += 1;
            let Pattern { name, what, .. } = &patterns[place.pattern];
            hits.add(&Hit {
                addr: place.addr,
                rule: None,
                pattern: Some(name),
                is_pointer: matches!(what, What::PointerTo { .. }),
                before: place.before,
                bytes: place.bytes,
                after: place.after,
            })
        }
        Event::Progress(bytes) => hits.advance(bytes),
    });
    let summary = hits.done(result)?;
    hits.conclude(&summary, || counted(args, &patterns, &counts))
}

fn counted(args: &SearchArgs, patterns: &[Pattern], counts: &[u64]) -> String {
    let pairs = || counts.iter().zip(patterns);
    match (args.show.json, patterns) {
        (true, _) => pairs()
            .map(|(count, pattern)| {
                format!("{}\n", serde_json::json!({"pattern": pattern.name, "count": count}))
            })
            .collect(),
        (false, [_]) => format!("{}\n", counts[0]),
        (false, _) => pairs()
            .map(|(count, pattern)| {
                format!("{count:>10}  {}\n", lines::name(None, Some(&pattern.name)))
            })
            .collect(),
    }
}
