//! `memdump process`: dumps the memory of processes to cores, or to a file for each mapping.

pub(super) mod listing;
mod outcome;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memdump_acquire::{Destination, Done, Job, JobOptions, Source};
use memdump_image::codec::Codec;
use memdump_image::{Facts, MemoryMap, Plan, Space};
use memdump_live::process::{Capture, Filter, Group, Options, Process, hold_all, list_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::print;
use super::writing::{Attended, destination};
use crate::advice::advised;
use crate::args::{GroupArgs, ProcessArgs};
use crate::exit::{Exit, UsageError};
use crate::signals::StopFlag;
use crate::{log, options};
use outcome::Outcome;

/// The default directory for the cores of several processes.
const DIRECTORY: &str = "cores";

pub(crate) fn run(args: &ProcessArgs) -> anyhow::Result<Exit> {
    log::init(args.verbose);
    let group = group(&args.group);
    let place = Place::of(args, &group)?;
    raise_file_limit();
    let found = list_all(&group)?;
    let stop = StopFlag::install().context("cannot watch for signals")?;
    // The first process's `coredump_filter` applies to all.
    let options = capture_options(args, found.first().map_or(0, Process::pid));
    // Every refusal comes before a process is paused.
    place.make_directory()?;
    let mut jobs = BTreeMap::new();
    for process in &found {
        jobs.insert(process.pid(), place.open(args, process, &options.filter)?);
    }

    let held = hold_all(&group, args.pause.into())?;
    let captures: Vec<Capture> =
        held.into_iter().map(|held| held.capture(&options)).collect::<Result<_, _>>()?;
    let mut taken = Vec::new();
    let mut result = Ok(());
    for capture in captures {
        // A process that started since then has no job yet.
        let job = match jobs.remove(&capture.target().pid()) {
            Some(job) => Ok(job),
            None => place.open(args, capture.target(), &options.filter),
        };
        match job.and_then(|job| take(args, &stop, capture, job, &place)) {
            Ok(done) => taken.push(done),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // Hashing starts once all processes run on, so that none stays paused while another is hashed.
    let mut outcomes = Vec::new();
    for (outcome, done) in taken {
        let finished = done.finish(&|| stop.is_set()).map(drop);
        result = result.and(finished.map_err(Into::into));
        outcomes.push(outcome);
    }
    result?;
    if let Place::Cores(directory) = &place {
        outcome::write_index(directory, args, &outcomes)?;
    }
    if args.json {
        print(&outcome::json(&outcomes))?;
    }
    let is_complete = outcomes.iter().all(|outcome| outcome.is_complete);
    Ok(if is_complete { Exit::Complete } else { Exit::Incomplete })
}

/// Copies the captured memory. The process runs on when this returns.
fn take(
    args: &ProcessArgs,
    stop: &StopFlag,
    mut capture: Capture,
    job: Job,
    place: &Place,
) -> anyhow::Result<(Outcome, Done)> {
    let done = job.run(Source::process(&mut capture), &mut Attended::new(&args.write, stop))?;
    let file = place.shown(args, capture.target().pid())?;
    let outcome = Outcome::new(&capture, &done.report, file);
    outcome.say(args, &done.report);
    Ok((outcome, done))
}

/// The place that the memory is written to.
enum Place {
    /// One core.
    Core,
    /// A directory of cores, with an index.
    Cores(PathBuf),
    /// A directory of mappings.
    Mappings(PathBuf),
}

impl Place {
    /// The place that the arguments ask for.
    fn of(args: &ProcessArgs, group: &Group) -> Result<Self, UsageError> {
        let is_alone = matches!(group, Group::Pids(pids) if pids.len() == 1);
        let place = match (is_alone, &args.split, &args.output) {
            (_, Some(directory), _) => Self::Mappings(directory.clone()),
            (false, None, Some(output)) if output == "-" => {
                let message = "several cores do not fit into one stream: name a directory (-o DIR)";
                return Err(UsageError(message.into()));
            }
            (false, None, output) => Self::Cores(output.clone().unwrap_or(DIRECTORY.into()).into()),
            (true, None, _) => Self::Core,
        };
        if let (Some(directory), Some(_)) = (place.directory(), &args.manifest.manifest) {
            let directory = directory.display();
            return Err(UsageError(format!(
                "--manifest names one file: leave it out, and {directory} gets a manifest of each process"
            )));
        }
        if let (Self::Core, Some(output)) = (&place, &args.output) {
            refuse_standard_output(args, &destination(output)?)?;
        }
        Ok(place)
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Core => None,
            Self::Cores(directory) | Self::Mappings(directory) => Some(directory),
        }
    }

    /// Creates the directory. Only its owner may read it, as with the images in it.
    fn make_directory(&self) -> anyhow::Result<()> {
        let Some(directory) = self.directory().filter(|directory| !directory.is_dir()) else {
            return Ok(());
        };
        let made = fs::DirBuilder::new().mode(0o700).create(directory);
        made.with_context(|| format!("cannot create the directory {}", directory.display()))
    }

    /// The core of a process, or the directory of its mappings.
    fn destination(&self, args: &ProcessArgs, pid: u32) -> Result<Destination, UsageError> {
        let codec = args.compress.as_deref().and_then(Codec::by_name);
        let suffix = codec.map(|codec| format!(".{}", codec.suffix)).unwrap_or_default();
        let name = format!("core.{pid}{suffix}");
        let target: OsString = match (self, &args.output) {
            (Self::Mappings(directory), _) => directory.into(),
            (Self::Cores(directory), _) => directory.join(name).into(),
            (Self::Core, Some(output)) => return destination(output),
            (Self::Core, None) => name.into(),
        };
        Ok(Destination::file(target))
    }

    /// The destination as it is shown to people.
    fn shown(&self, args: &ProcessArgs, pid: u32) -> Result<String, UsageError> {
        Ok(self.destination(args, pid)?.to_string())
    }

    /// Opens all files that the memory of a process is written to.
    fn open(&self, args: &ProcessArgs, process: &Process, filter: &Filter) -> anyhow::Result<Job> {
        let pid = process.pid();
        let job = match self {
            Self::Mappings(directory) => JobOptions::split(directory, pid),
            _ => JobOptions::core(self.destination(args, pid)?),
        };
        let job = job
            .codec(args.compress.as_deref().and_then(Codec::by_name))
            .overwrite(args.write.overwrite)
            .readers(args.write.readers.map(usize::from))
            .manifest(options::manifest(&args.manifest, true));
        check_room(&job, process, filter)?;
        Ok(job.open()?)
    }
}

/// Allows as many open files as this user may have: each process that is held has some, and so has each core.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, opening one file too many fails with an error of its own.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Refuses a place with too little room, judged by what the process has mapped now. The process is not paused for this.
fn check_room(job: &JobOptions, process: &Process, filter: &Filter) -> anyhow::Result<()> {
    if !job.knows_room() {
        return Ok(());
    }
    let listing = process.list(filter)?;
    let to_read = listing.mapped.iter().map(|mapped| mapped.to_write).sum();
    let taken = listing.mapped.into_iter().filter(|mapped| mapped.to_write > 0);
    let regions = taken.map(|mapped| mapped.region).collect();
    let map = MemoryMap::new(Space::Process(process.pid()), regions)?;
    let plan = Plan::whole(map, rustix::param::page_size() as u64, Facts::default());
    job.check_room_for_process(&plan, to_read).map_err(|error| {
        advised(
            &error,
            "; name another place, take less (--heap, --range …), or compress it (--compress zstd)",
        )
    })
}

fn refuse_standard_output(args: &ProcessArgs, output: &Destination) -> Result<(), UsageError> {
    if output.is_terminal() {
        let message = "memory is not written to a terminal: redirect it (memdump process PID -o - > \
                       FILE), pipe it on, or name a file (-o FILE)";
        return Err(UsageError(message.into()));
    }
    if output.is_stdout() && args.json {
        let message = "--json and -o - both want standard output: name a file (-o FILE)";
        return Err(UsageError(message.into()));
    }
    Ok(())
}

fn capture_options(args: &ProcessArgs, pid: u32) -> Options {
    let filter = options::filter(&args.filter, Some(pid).filter(|&pid| pid > 0));
    let mut options = Options::default();
    options.filter = Filter { no_headers: args.split.is_some(), ..filter };
    options.swap = args.swap.into();
    options.thread = args.thread;
    options.allow_seccomp = args.allow_seccomp;
    options.shared_consistent = args.shared_consistent;
    options
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
