//! TARGET: the memory that a command reads: a process, the machine, an image or any other file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use memdump_image::{AddressSpace, ExtentSet, Hole, MemoryMap, Plan, View};
use memdump_live::process::{Capture, Filter, Options, Pause, Process, Swap};

use crate::error::{Error, ErrorKind, Result};
use crate::input::{InputImage, InputOptions, is_no_image};
use crate::machine::{MachineOptions, MachineSource};

/// The name of a target, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// `kernel`: the kernel's virtual memory.
    Kernel,
    /// `physical`: the machine's physical memory.
    Physical,
    /// Digits: the process with that ID. The text is kept, because the number may be too large for a process ID.
    Process(String),
    /// Anything else: the path of a file.
    File(PathBuf),
}

impl TargetName {
    /// Parses a name. A file that is called like a process or the machine must be named with a directory: `./1234`.
    pub fn parse(text: &OsStr) -> Self {
        match text.to_str() {
            Some("kernel") => Self::Kernel,
            Some("physical") => Self::Physical,
            Some(digits)
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Self::Process(digits.to_owned())
            }
            _ => Self::File(text.into()),
        }
    }

    /// The process ID, if the name is a valid one.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The path, if the name is that of a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("kernel"),
            Self::Physical => f.write_str("physical"),
            Self::Process(digits) => f.write_str(digits),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The options for opening a target. Options for another kind of target are refused if ignoring them would mislead.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetOptions {
    /// The pause of a process.
    pub pause: Pause,
    /// The handling of a process's pages on swap.
    pub swap: Swap,
    /// True if a process under a seccomp filter may be forked, which may kill it.
    pub allow_seccomp: bool,
    /// The mappings to read.
    pub filter: Filter,
    /// The names of the kinds of regions to read. Empty means all.
    pub kinds: Vec<String>,
    /// The source of the machine's memory; see [`MachineOptions::source`].
    pub source: OsString,
    /// True if a file is read as it is, with its offsets as addresses, even if it is an image.
    pub raw: bool,
    /// The way an image is opened.
    pub input: InputOptions,
}

impl Default for TargetOptions {
    /// The default: a process is not paused, and its pages on swap stay there.
    fn default() -> Self {
        Self {
            pause: Pause::None,
            swap: Swap::Skip,
            allow_seccomp: false,
            filter: Filter::default(),
            kinds: Vec::new(),
            source: "auto".into(),
            raw: false,
            input: InputOptions::default(),
        }
    }
}

impl TargetOptions {
    fn says_how_to_read_a_file(&self) -> bool {
        self.raw || !self.input.is_silent() || self.input.salvage
    }
}

/// Memory that was opened for reading. If a process was stopped for that, it runs on when this is dropped.
pub struct Target {
    memory: Memory,
    /// The regions to read, and the facts about the machine or process.
    pub plan: Plan,
    /// The kind of target.
    pub kind: TargetKind,
    /// Its name, for people.
    pub name: String,
    /// The memory that cannot be read, except what was left out on request.
    pub omitted: Vec<Hole>,
    /// Notes on the target.
    pub notes: Vec<String>,
}

enum Memory {
    Process(Box<Capture>),
    Other(Box<dyn AddressSpace>),
}

/// The kind of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A process, running or stopped.
    Process(u32),
    /// The memory of this machine or its kernel.
    Machine,
    /// A memory image.
    Image,
    /// Any other file. Its offsets are the addresses.
    Plain,
}

impl Target {
    /// Opens the target of that name.
    ///
    /// # Errors
    /// If the target cannot be opened, or an option does not apply to it ([`ErrorKind::OnlyForFiles`],
    /// [`ErrorKind::OnlyForProcesses`]).
    pub fn open(name: &TargetName, options: &TargetOptions) -> Result<Self> {
        let mut opened = match name {
            TargetName::Kernel => machine(options, MachineOptions::kernel())?,
            TargetName::Physical => machine(options, MachineOptions::physical())?,
            TargetName::Process(digits) => process(digits, options)?,
            TargetName::File(path) => file(path, options)?,
        };
        if !options.kinds.is_empty() {
            let chosen = of_kinds(&options.kinds, &opened.plan.map)?;
            let others = opened.plan.map.extents().difference(&chosen);
            opened.plan.left_out = opened.plan.left_out.union(&others);
        }
        // Nothing of the target is copied, so there is no reason for any other order.
        opened.plan.first = ExtentSet::default();
        let left_out = &opened.plan.left_out;
        opened.omitted.retain(|hole| left_out.find(hole.extent.start()).is_none());
        Ok(opened)
    }

    /// Its memory.
    pub fn space(&self) -> &dyn AddressSpace {
        match &self.memory {
            Memory::Process(capture) => capture.space(),
            Memory::Other(space) => &**space,
        }
    }

    /// All its regions, including those that are not read.
    pub fn map(&self) -> &MemoryMap {
        self.space().map()
    }

    /// The part of the memory to read.
    pub fn view(&self) -> View<'_> {
        View::new(self.space(), self.plan.page_size)
            .within(&self.plan.map.extents())
            .without(&self.plan.left_out)
    }
}

fn process(digits: &str, options: &TargetOptions) -> Result<Target> {
    only_for_files(options)?;
    let Ok(pid) = digits.parse::<u32>() else {
        return Err(Error::failed(format!(
            "there is no process {digits}: the number is too large; a file of that name is ./{digits}"
        )));
    };
    let found = Process::find(pid).map_err(|error| match Path::new(digits).is_file() {
        true => {
            Error::failed(format!("{error}; the file of that name is ./{digits}")).because(error)
        }
        false => error.into(),
    })?;
    let name = format!("process {pid} ({})", found.name());
    let mut how = Options::default();
    how.filter = Filter { no_headers: true, ..options.filter.clone() };
    how.swap = options.swap;
    how.allow_seccomp = options.allow_seccomp;
    let capture = found.hold(options.pause)?.capture(&how)?;
    Ok(Target {
        plan: capture.plan.clone(),
        omitted: capture.omitted.clone(),
        memory: Memory::Process(Box::new(capture)),
        kind: TargetKind::Process(pid),
        name,
        notes: Vec::new(),
    })
}

fn machine(options: &TargetOptions, machine: MachineOptions) -> Result<Target> {
    only_for_files(options)?;
    let MachineSource { space, plan, name, omitted, notes, .. } =
        MachineSource::open(&machine.source(&options.source))?;
    let name = format!("{} memory ({name})", plan.map.space());
    let memory = Memory::Other(space);
    filtered(Target { memory, plan, kind: TargetKind::Machine, name, omitted, notes }, options)
}

fn file(path: &Path, options: &TargetOptions) -> Result<Target> {
    let shown = path.display();
    if let Ok(metadata) = path.metadata()
        && !(metadata.is_file() || metadata.is_dir() || metadata.file_type().is_block_device())
    {
        return Err(Error::failed(format!(
            "{shown} is a pipe or a device, and memory is read here and there: save what comes from it \
             in a file, and name that"
        )));
    }
    let mut notes = Vec::new();
    let (opened, kind) = match options.raw {
        true => (InputImage::open_plain(path)?, TargetKind::Plain),
        false => match InputImage::open(path, &options.input) {
            Ok(opened) => (opened, TargetKind::Image),
            Err(error) if options.input.is_silent() && is_no_image(&error) => {
                notes.push(format!(
                    "{shown} is no image that says so itself: taken as it is, its offsets are the \
                     addresses (--raw says so)"
                ));
                (InputImage::open_plain(path)?, TargetKind::Plain)
            }
            Err(error) => return Err(error),
        },
    };
    notes.extend(opened.problems().into_iter().map(|problem| format!("warning: {problem}")));
    let plan = opened.plan();
    let name = match kind {
        TargetKind::Plain => shown.to_string(),
        _ => format!("{shown} ({} image)", opened.format.name),
    };
    let memory = Memory::Other(opened.image.space);
    filtered(Target { memory, plan, kind, name, omitted: Vec::new(), notes }, options)
}

/// Leaves out the regions that the options do not select, of a target that is not a live process.
fn filtered(mut target: Target, options: &TargetOptions) -> Result<Target> {
    let filter = &options.filter;
    if filter.dont_dump || filter.coredump_filter.is_some() {
        let message = format!(
            "{} is not a live process, and has no mappings that it excludes from dumps",
            target.name
        );
        return Err(Error::new(ErrorKind::OnlyForProcesses, message));
    }
    target.plan.left_out = filter.left_out_of(&target.plan.map);
    Ok(target)
}

fn only_for_files(options: &TargetOptions) -> Result<()> {
    if options.says_how_to_read_a_file() {
        let message = "the target is live memory, and an option says how a file is read";
        return Err(Error::new(ErrorKind::OnlyForFiles, message));
    }
    Ok(())
}

fn of_kinds(kinds: &[String], map: &MemoryMap) -> Result<ExtentSet> {
    let names = || map.regions().iter().map(|region| region.kind.name());
    if let Some(unknown) = kinds.iter().find(|kind| names().all(|name| name != kind.as_str())) {
        let mut there: Vec<&str> = names().collect();
        there.sort_unstable();
        there.dedup();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let message = format!("there is no region of kind {unknown}; there are: {there}");
        return Err(Error::request(message));
    }
    let chosen = map.regions().iter().filter(|r| kinds.iter().any(|kind| kind == r.kind.name()));
    Ok(chosen.map(|region| region.extent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_once() {
        let parse = |text: &str| TargetName::parse(OsStr::new(text));
        assert_eq!(parse("kernel"), TargetName::Kernel);
        assert_eq!(parse("1234").pid(), Some(1234));
        assert_eq!(parse("99999999999").pid(), None, "a process that there cannot be, and no file");
        assert_eq!(parse("99999999999").path(), None);
        for path in ["./1234", "./kernel", "", "ram.lime", "12x"] {
            assert_eq!(parse(path), TargetName::File(path.into()));
        }
    }
}
