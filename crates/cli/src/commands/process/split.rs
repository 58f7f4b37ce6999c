//! One process to a file for each mapping: `PID_mem_START.bin`, START in hexadecimal as in the maps,
//! and `PID_maps`. Position in a file is address less START; zeros stand where nothing could be read.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memdump_image::format::{HoleEncoding, ImageWriter};
use memdump_image::{Chunk, Content, Extent, Plan, copy};
use memdump_live::process::Capture;
use memdump_sink::{Request, Sink, SinkError};

use super::hashes::{Hashes, Record};
use super::index::{Outcome, Report};
use super::one::{Watch, conclude, copy_options};
use crate::args::ProcessArgs;
use crate::commands::manifest::{self, Times};
use crate::progress::Progress;
use crate::signals::StopFlag;

pub(super) fn run(
    args: &ProcessArgs,
    stop: &StopFlag,
    mut capture: Capture,
    folder: &Path,
) -> anyhow::Result<Report> {
    let pid = capture.target().pid();
    let maps = capture.target().maps_text()?;
    let request = |name: String| Request {
        target: folder.join(name).into(),
        overwrite: args.write.overwrite,
    };
    let maps_request = request(format!("{pid}_maps"));
    let mut sink = (maps_request.kind().open)(&maps_request)?;
    sink.write_all(&maps).with_context(|| format!("cannot write {pid}_maps"))?;
    sink.commit()?;

    let beside = manifest::open_in(&args.manifest, folder, &pid.to_string(), args.write.overwrite)?;
    let mut hashes = beside.is_some().then(|| Hashes::new(&capture.plan, &maps_request));
    let mut names = vec![format!("{pid}_maps")];
    names.extend(capture.plan.extents().map(|extent| name(pid, extent)));
    let mut times = Times::begin();
    let (summary, result, omitted, written) = {
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
        let mut writer = Split {
            folder,
            pid,
            overwrite: args.write.overwrite,
            ahead: Vec::new(),
            open: None,
            written: 0,
        };
        let (summary, result) = copy(space, plan, &mut writer, &copy_options(args), &mut watch);
        watch.progress.clear();
        (summary, result, omitted, writer.written)
    };
    times.end();
    if let Err(error) = result {
        drop(capture);
        if let Some(beside) = beside {
            beside.abandon();
        }
        return Err(anyhow::anyhow!("{error}; what is whole is in {}", folder.display()));
    }
    let mut missing = omitted;
    missing.extend(summary.holes.listed());
    let outcome = Outcome {
        pid,
        name: capture.target().name(),
        file: folder.display().to_string(),
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
        let folder = folder.to_owned();
        report.later = Some(Box::new(move |stop| {
            let hashed = hashes.of_files(&folder, names, stop);
            record.write(beside, hashed, &summary, &missing)
        }));
    }
    Ok(report)
}

/// The file of an extent.
fn name(pid: u32, extent: Extent) -> String {
    format!("{pid}_mem_{:x}.bin", extent.start())
}

/// Writes a file for each extent of the plan.
struct Split<'a> {
    folder: &'a Path,
    pid: u32,
    overwrite: bool,
    /// Extents that have not been begun, the next one last.
    ahead: Vec<Extent>,
    open: Option<(Extent, Box<dyn Sink>)>,
    written: u64,
}

impl Split<'_> {
    /// Ends the open file, and begins that of the next extent; whether there is one.
    fn next(&mut self) -> Result<bool, SinkError> {
        if let Some((rest, mut sink)) = self.open.take() {
            sink.zeros(rest.len()).map_err(|error| self.failed(error))?;
            sink.commit()?;
        }
        let Some(extent) = self.ahead.pop() else { return Ok(false) };
        let target: PathBuf = self.folder.join(name(self.pid, extent));
        let request = Request { target: target.into(), overwrite: self.overwrite };
        self.open = Some((extent, (request.kind().open)(&request)?));
        Ok(true)
    }

    fn failed(&self, error: io::Error) -> SinkError {
        SinkError::new("write to", self.folder, error)
    }
}

impl ImageWriter for Split<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Filled
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.ahead = plan.extents().collect();
        self.ahead.reverse();
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        loop {
            if let Some((rest, sink)) = &mut self.open
                && rest.covers(extent)
            {
                sink.zeros(extent.start() - rest.start())?;
                match chunk.content {
                    Content::Bytes(bytes) => {
                        sink.write_all(bytes)?;
                        self.written += bytes.len() as u64;
                    }
                    Content::Zero { len } | Content::Hole { len, .. } => sink.zeros(len)?,
                }
                match Extent::half_open(extent.end(), rest.end()) {
                    Ok(after) => *rest = after,
                    Err(_) => {
                        if let Some((_, sink)) = self.open.take() {
                            sink.commit().map_err(io::Error::other)?;
                        }
                    }
                }
                return Ok(());
            }
            if !self.next().map_err(io::Error::other)? {
                return Err(io::Error::other(format!(
                    "memory at {extent} is not part of the plan"
                )));
            }
        }
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        while self.next().map_err(io::Error::other)? {}
        Ok(())
    }
}
