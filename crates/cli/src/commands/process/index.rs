//! What was taken of each process: for programs, and for the folder of several cores.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use memdump_image::{Hole, Summary};
use memdump_live::process::Weight;
use serde_json::{Value, json};

use super::hashes::Later;
use crate::args::ProcessArgs;

/// What was taken of a process.
pub(super) struct Report {
    pub(super) is_complete: bool,
    pub(super) json: Value,
    /// What is still to be done.
    pub(super) later: Option<Later>,
}

/// What is known of a dump when it is over.
pub(super) struct Outcome<'a> {
    pub(super) pid: u32,
    pub(super) name: String,
    pub(super) file: String,
    pub(super) pause: &'static str,
    pub(super) paused: f64,
    /// Bytes that were written, gaps not counted.
    pub(super) written: u64,
    pub(super) swapped: u64,
    pub(super) summary: &'a Summary,
    pub(super) missing: &'a [Hole],
    pub(super) before: Option<Weight>,
    pub(super) after: Option<Weight>,
}

impl Outcome<'_> {
    pub(super) fn report(&self) -> Report {
        let summary = self.summary;
        Report {
            is_complete: self.missing.iter().all(|hole| hole.cause.is_inherent()),
            json: json!({
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
                "holes": holes(self.missing),
                "unlisted_holes": summary.holes.unlisted(),
                "before": self.before,
                "after": self.after,
            }),
            later: None,
        }
    }
}

/// Holes for programs.
pub(super) fn holes(holes: &[Hole]) -> Vec<Value> {
    let hole = |hole: &Hole| {
        json!({
            "start": hole.extent.start(),
            "end": hole.extent.end(),
            "cause": hole.cause.name(),
        })
    };
    holes.iter().map(hole).collect()
}

/// All reports as one object.
pub(super) fn json(reports: &[Report]) -> String {
    let processes: Vec<&Value> = reports.iter().map(|report| &report.json).collect();
    let object = json!({
        "processes": processes,
        "peak_memory": memdump_live::peak_memory(),
    });
    format!("{object}\n")
}

/// Writes `index.json` into the folder of several cores.
pub(super) fn write(folder: &Path, args: &ProcessArgs, reports: &[Report]) -> anyhow::Result<()> {
    let path = folder.join("index.json");
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    match args.write.overwrite {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    options
        .open(&path)
        .and_then(|mut file| file.write_all(json(reports).as_bytes()))
        .with_context(|| format!("cannot write {} (the cores are whole)", path.display()))
}
