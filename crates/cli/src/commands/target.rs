//! TARGET: opens what a command looks into, whatever it is: a process, the machine, an image, any
//! file. Not about what is looked for in it.

use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::bail;
use memdump_image::{AddressSpace, ExtentSet, Hole, MemoryMap, Plan, Region};
use memdump_live::process::{Capture, Filter, Options, Pause, Process};

use super::open::Refused;
use super::process::options::filter;
use super::{open, select};
use crate::args::{FilterArgs, InputArgs, SelectArgs, TargetOptions};
use crate::exit::UsageError;

/// Memory that was opened to look into it. A process that was stopped for that runs on when this is
/// dropped.
pub(super) struct Target {
    memory: Memory,
    /// What of it is looked at.
    pub(super) plan: Plan,
    pub(super) kind: TargetKind,
    /// What it is, for people.
    pub(super) name: String,
    /// Memory that cannot be looked at, and was not left out on request.
    pub(super) omitted: Vec<Hole>,
    /// What else should be known of it.
    pub(super) notes: Vec<String>,
}

enum Memory {
    Process(Box<Capture>),
    Other(Box<dyn AddressSpace>),
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetKind {
    /// A process, as it runs or as it was stopped.
    Process(u32),
    /// The memory of this machine or its kernel.
    Machine,
    /// A memory image.
    Image,
    /// Any other file: its offsets are the addresses.
    Plain,
}

impl Target {
    /// Its memory.
    pub(super) fn space(&self) -> &dyn AddressSpace {
        match &self.memory {
            Memory::Process(capture) => capture.space(),
            Memory::Other(space) => &**space,
        }
    }

    /// What lies where in it, also what is not looked at.
    pub(super) fn map(&self) -> &MemoryMap {
        self.space().map()
    }
}

/// Opens `target`.
///
/// # Errors
/// When it cannot be opened; each error says what to do.
pub(super) fn open(target: &OsStr, args: &TargetOptions) -> anyhow::Result<Target> {
    let mut opened = match live(target, args)? {
        Some(live) => live,
        None => file(Path::new(target), args)?,
    };
    if !args.kind.is_empty() {
        let chosen = of_kinds(&args.kind, &opened.plan.map)?;
        let others = opened.plan.map.extents().difference(&chosen);
        opened.plan.left_out = opened.plan.left_out.union(&others);
    }
    // Nothing of the target is copied, so there is no reason for any other order.
    opened.plan.first = ExtentSet::default();
    let left_out = &opened.plan.left_out;
    opened.omitted.retain(|hole| left_out.find(hole.extent.start()).is_none());
    Ok(opened)
}

/// Opens what is no file: a process, the machine.
fn live(target: &OsStr, args: &TargetOptions) -> anyhow::Result<Option<Target>> {
    Ok(match target.to_str() {
        _ if is_file(target) => None,
        Some("kernel") => Some(machine(args, true)?),
        Some("physical") => Some(machine(args, false)?),
        Some(digits) => Some(process(digits, args)?),
        None => None,
    })
}

/// Whether it is a path, and no process and not the machine.
pub(super) fn is_file(target: &OsStr) -> bool {
    let is_live = |text: &str| matches!(text, "kernel" | "physical") || is_number(text);
    !target.to_str().is_some_and(is_live)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn process(digits: &str, args: &TargetOptions) -> anyhow::Result<Target> {
    only_of_images(args)?;
    let Ok(pid) = digits.parse::<u32>() else {
        bail!(
            "there is no process {digits}: the number is too large; a file of that name is ./{digits}"
        )
    };
    let found = Process::find(pid).map_err(|error| match Path::new(digits).is_file() {
        true => anyhow::anyhow!("{error}; the file of that name is ./{digits}"),
        false => error.into(),
    })?;
    let name = format!("process {pid} ({})", found.name());
    let options = Options {
        filter: Filter { no_headers: true, ..filter(&args.filter, pid) },
        swap: args.swap.into(),
        thread: None,
        allow_seccomp: args.allow_seccomp,
        shared_consistent: false,
    };
    let pause: Pause = args.pause.into();
    let capture = found.hold(pause)?.capture(&options)?;
    let plan = capture.plan.clone();
    let omitted = capture.omitted.clone();
    let memory = Memory::Process(Box::new(capture));
    Ok(Target { memory, plan, kind: TargetKind::Process(pid), name, omitted, notes: Vec::new() })
}

fn machine(args: &TargetOptions, kernel: bool) -> anyhow::Result<Target> {
    only_of_images(args)?;
    let select = SelectArgs {
        kernel,
        source: args.source.clone(),
        include: Vec::new(),
        direct_map: false,
        size: None,
        salvage: false,
        verbose: args.verbose,
    };
    let select::Selection { space, plan, source, omitted, notes, .. } =
        select::open(&select, &[], true)?;
    let name = format!("{} memory ({source})", plan.map.space());
    let memory = Memory::Other(space);
    filtered(Target { memory, plan, kind: TargetKind::Machine, name, omitted, notes }, &args.filter)
}

fn file(path: &Path, args: &TargetOptions) -> anyhow::Result<Target> {
    let shown = path.display();
    if let Ok(metadata) = path.metadata()
        && !(metadata.is_file() || metadata.is_dir() || metadata.file_type().is_block_device())
    {
        bail!(
            "{shown} is a pipe or a device, and memory is read here and there: save what comes from it \
             in a file, and name that"
        );
    }
    let mut notes = Vec::new();
    let how = &args.image;
    let is_named = how.input_format.is_some() || how.map.is_some() || !how.part.is_empty();
    let (opened, kind) = match args.raw {
        true => (open::plain(path)?, TargetKind::Plain),
        false => match open::open(path, how).map_err(|error| error.downcast::<Refused>()) {
            Ok(opened) => (opened, TargetKind::Image),
            Err(Ok(refused)) if !is_named && refused.is_no_image() => {
                let opened = open::plain(path)?;
                notes.push(format!(
                    "{shown} is no image that says so itself: taken as it is, its offsets are the \
                     addresses (--raw says so)"
                ));
                (opened, TargetKind::Plain)
            }
            Err(Ok(refused)) => bail!("{refused}; --raw takes the file as it is"),
            Err(Err(error)) => return Err(error),
        },
    };
    notes.extend(opened.problems().into_iter().map(|problem| format!("warning: {problem}")));
    let page_size = opened.page_size();
    let memdump_image::format::Image { space, facts, .. } = opened.image;
    let plan = Plan::whole(space.map().clone(), page_size, facts);
    let name = match kind {
        TargetKind::Plain => shown.to_string(),
        _ => format!("{shown} ({} image)", opened.format.name),
    };
    let memory = Memory::Other(space);
    filtered(Target { memory, plan, kind, name, omitted: Vec::new(), notes }, &args.filter)
}

/// Leaves out what was not asked for of what is no live process.
fn filtered(mut target: Target, args: &FilterArgs) -> anyhow::Result<Target> {
    if args.dontdump || args.coredump_filter.is_some() {
        let message = "--dontdump and --coredump-filter are about a live process: name a PID";
        return Err(UsageError(message.into()).into());
    }
    target.plan.left_out = filter(args, 0).left_out_of(&target.plan.map);
    Ok(target)
}

fn only_of_images(args: &TargetOptions) -> Result<(), UsageError> {
    let InputArgs { input_format, map, part, salvage } = &args.image;
    if args.raw || input_format.is_some() || map.is_some() || !part.is_empty() || *salvage {
        let message =
            "--raw, --input-format, --map, --part and --salvage are about a file: name its path";
        return Err(UsageError(message.into()));
    }
    Ok(())
}

fn of_kinds(kinds: &[String], map: &MemoryMap) -> anyhow::Result<ExtentSet> {
    let names = || map.regions().iter().map(|region| region.kind.name());
    if let Some(unknown) = kinds.iter().find(|kind| names().all(|name| name != kind.as_str())) {
        let mut there: Vec<&str> = names().collect();
        there.sort_unstable();
        there.dedup();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let message = format!("--kind {unknown}: there is no such region; there are: {there}");
        return Err(UsageError(message).into());
    }
    let chosen = map.regions().iter().filter(|r| kinds.iter().any(|kind| kind == r.kind.name()));
    Ok(chosen.map(|region| region.extent).collect())
}

/// What a region is called, for people: its name, or what is known of it. Nothing that a terminal would obey.
pub(super) fn region_name(region: &Region) -> String {
    let label = region.label.as_str();
    if label.is_empty() {
        return match &region.mapping {
            Some(mapping) => format!("{} {}", region.kind, mapping.permissions),
            None => region.kind.name().to_owned(),
        };
    }
    label.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
