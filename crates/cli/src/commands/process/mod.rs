//! `memdump process`: the memory of processes to cores, or to a file for each mapping.

mod hashes;
mod index;
pub(super) mod listing;
mod one;
pub(super) mod options;
mod split;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memdump_image::codec::Codec;
use memdump_live::process::{Capture, Group, Process, hold_all};

use super::print;
use crate::args::{GroupArgs, ProcessArgs};
use crate::exit::{Exit, UsageError};
use crate::log;
use crate::signals::StopFlag;

/// The folder that the cores of several processes go to when none is named.
const FOLDER: &str = "cores";

pub(crate) fn run(args: &ProcessArgs) -> anyhow::Result<Exit> {
    log::init(args.verbose);
    let group = group(&args.group);
    let is_alone = matches!(&group, Group::Pids(pids) if pids.len() == 1);
    let folder = match (is_alone, &args.split, &args.output) {
        (_, Some(folder), _) => Some(folder.clone()),
        (false, None, Some(output)) if output == "-" => {
            let message = "several cores do not fit into one stream: name a folder (-o DIR)";
            return Err(UsageError(message.into()).into());
        }
        (false, None, output) => Some(output.clone().unwrap_or(FOLDER.into()).into()),
        (true, None, _) => None,
    };
    if let (Some(folder), Some(_)) = (&folder, &args.manifest.manifest) {
        let folder = folder.display();
        return Err(UsageError(format!(
            "--manifest names one file: leave it out, and {folder} gets a manifest of each process"
        ))
        .into());
    }
    one::refuse_terminal(args)?;
    let targets = memdump_live::process::list_all(&group)?;
    if let Some(folder) = &folder {
        make_folder(folder)?;
    }
    let stop = StopFlag::install().context("cannot watch for signals")?;
    // Of several, the first one's `coredump_filter` is for all.
    let options = options::options(args, targets.first().map_or(0, Process::pid));
    let held = hold_all(&group, args.pause.into())?;
    let captures: Vec<Capture> =
        held.into_iter().map(|held| held.capture(&options)).collect::<Result<_, _>>()?;
    let mut reports = Vec::new();
    let mut exit = Exit::Complete;
    let mut later = Vec::new();
    let mut result = Ok(());
    for capture in captures {
        let pid = capture.target().pid();
        let report = match &args.split {
            Some(folder) => split::run(args, &stop, capture, folder),
            None => one::run(args, &stop, capture, output(args, folder.as_deref(), pid)),
        };
        match report {
            Ok(mut report) => {
                if !report.is_complete {
                    exit = Exit::Incomplete;
                }
                later.extend(report.later.take());
                reports.push(report);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // All of them run on: the others need not wait while one is hashed.
    for later in later {
        result = result.and(later(&stop));
    }
    result?;
    if let (false, Some(folder), None) = (is_alone, &folder, &args.split) {
        index::write(folder, args, &reports)?;
    }
    if args.json {
        print(&index::json(&reports))?;
    }
    Ok(exit)
}

fn group(args: &GroupArgs) -> Group {
    match args {
        GroupArgs { tree: Some(pid), .. } => Group::Tree(*pid),
        GroupArgs { comm: Some(pattern), .. } => Group::Name(pattern.clone()),
        GroupArgs { cgroup: Some(path), .. } => Group::Cgroup(path.clone()),
        GroupArgs { container: Some(id), .. } => Group::Container(id.clone()),
        GroupArgs { pids, .. } => Group::Pids(pids.clone()),
    }
}

/// Where the core of a process goes.
fn output(args: &ProcessArgs, folder: Option<&Path>, pid: u32) -> OsString {
    let codec = args.compress.as_deref().and_then(Codec::by_name);
    let suffix = codec.map(|codec| format!(".{}", codec.suffix)).unwrap_or_default();
    let name = format!("core.{pid}{suffix}");
    match (folder, &args.output) {
        (Some(folder), _) => folder.join(name).into(),
        (None, Some(output)) => output.clone(),
        (None, None) => name.into(),
    }
}

/// Only for us, as the images in it.
fn make_folder(folder: &PathBuf) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    made.with_context(|| format!("cannot create the folder {}", folder.display()))
}
