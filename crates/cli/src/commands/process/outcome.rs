//! The outcome of each process's dump: as text, as JSON, and as the index of a directory of cores.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use memdump_acquire::{Human, Report, holes_json};
use memdump_live::process::{Capture, Weight};
use serde_json::{Value, json};

use crate::args::ProcessArgs;
use crate::commands::writing::{say, say_holes};

/// The outcome of dumping one process, with the effects on the process.
pub(super) struct Outcome {
    pid: u32,
    name: String,
    file: String,
    pause: &'static str,
    paused: f64,
    /// The number of bytes written, without gaps.
    written: u64,
    swapped: u64,
    before: Option<Weight>,
    after: Option<Weight>,
    pub(super) is_complete: bool,
    json: Value,
}

impl Outcome {
    pub(super) fn new(capture: &Capture, report: &Report, file: String) -> Self {
        let mut outcome = Self {
            pid: capture.target().pid(),
            name: capture.target().name(),
            file,
            pause: capture.pause().name(),
            paused: capture.paused().as_secs_f64(),
            written: report.receipt.written.unwrap_or_default(),
            swapped: capture.swapped(),
            before: capture.before,
            after: capture.weight(),
            is_complete: report.is_complete(),
            json: Value::Null,
        };
        outcome.json = outcome.to_json(report);
        outcome
    }

    fn to_json(&self, report: &Report) -> Value {
        let summary = &report.summary;
        json!({
            "pid": self.pid,
            "name": self.name,
            "file": self.file,
            "pause": self.pause,
            "pause_seconds": self.paused,
            "seconds": summary.elapsed.as_secs_f64(),
            "bytes_written": self.written,
            "taken": summary.bytes,
            "zero": summary.zero,
            "swapped": self.swapped,
            "holes": holes_json(&report.missing),
            "unlisted_holes": summary.holes.unlisted(),
            "before": self.before,
            "after": self.after,
        })
    }

    /// Prints what was dumped, and the effects on the process.
    pub(super) fn say(&self, args: &ProcessArgs, report: &Report) {
        let write = &args.write;
        let summary = &report.summary;
        let seconds = summary.elapsed.as_secs_f64();
        say(
            write,
            format_args!(
                "process {} ({}): took {} in {seconds:.2} s ({}/s), and {} of zeros that were never \
                 touched; {} written to {}",
                self.pid,
                self.name,
                Human(summary.bytes),
                Human((summary.bytes as f64 / seconds.max(1e-9)) as u64),
                Human(summary.zero),
                Human(self.written),
                self.file,
            ),
        );
        match self.pause {
            "none" => say(
                write,
                format_args!(
                    "it was not paused: the core is of no single instant, and has no registers"
                ),
            ),
            how => say(
                write,
                format_args!("it stood still for {:.1} ms (--pause {how})", self.paused * 1e3),
            ),
        }
        if self.swapped > 0 {
            say(write, format_args!("{} of it were on swap", Human(self.swapped)));
        }
        self.say_weight(args);
        say_holes(write, &report.missing, summary, "--json");
        if !self.is_complete {
            say(write, format_args!("the core is incomplete (exit status 3)"));
        }
    }

    fn say_weight(&self, args: &ProcessArgs) {
        let (Some(before), Some(after)) = (self.before, self.after) else {
            say(&args.write, format_args!("the process has ended meanwhile"));
            return;
        };
        let pair = |before, after| match before == after {
            true => format!("{} as before", Human(after)),
            false => format!("{} before, {} after", Human(before), Human(after)),
        };
        say(
            &args.write,
            format_args!(
                "its memory: resident {}; page tables {}; swap {}",
                pair(before.resident, after.resident),
                pair(before.page_tables, after.page_tables),
                pair(before.swap, after.swap),
            ),
        );
    }
}

/// All outcomes as one JSON object.
pub(super) fn json(outcomes: &[Outcome]) -> String {
    let processes: Vec<&Value> = outcomes.iter().map(|outcome| &outcome.json).collect();
    let object = json!({
        "processes": processes,
        "peak_memory": memdump_live::peak_memory(),
    });
    format!("{object}\n")
}

/// Writes `index.json` into the directory of several cores.
pub(super) fn write_index(
    directory: &Path,
    args: &ProcessArgs,
    outcomes: &[Outcome],
) -> anyhow::Result<()> {
    let path = directory.join("index.json");
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    match args.write.overwrite {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    options
        .open(&path)
        .and_then(|mut file| file.write_all(json(outcomes).as_bytes()))
        .with_context(|| format!("cannot write {} (the cores are whole)", path.display()))
}
