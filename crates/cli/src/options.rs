//! The options of the libraries, made from the command-line arguments.

use std::fs;

use memdump_acquire::manifest::{Case, ManifestOptions, Place};
use memdump_acquire::{
    ErrorKind, InputOptions, MachineOptions, MachineSource, TargetName, TargetOptions,
};
use memdump_image::Exclude;
use memdump_live::process::{Filter, MappingClass, Pause, Swap};

use crate::args::{
    self, Excluded, FilterArgs, Include, InputArgs, ManifestArgs, PauseArg, SelectArgs, SwapArg,
};
use crate::exit::UsageError;
use crate::{recorded, size};

/// The value of an option that takes a size. `None` if it is not given, or 0.
pub(crate) fn size(
    option: &str,
    text: &Option<String>,
    example: &str,
) -> Result<Option<u64>, UsageError> {
    let Some(text) = text else { return Ok(None) };
    match size::parse(text) {
        Some(size) => Ok(Some(size).filter(|&size| size > 0)),
        None => Err(UsageError(format!(
            "{option} {text:?} is not a size: write bytes with a suffix k, m, g or t if you like, \
             as in {option} {example}"
        ))),
    }
}

/// The options for the memory of the machine, without the excluded pages. `trial` is true if a few pages may be read to see
/// whether a source works.
fn machine(args: &SelectArgs, excluded: &[Excluded], trial: bool) -> MachineOptions {
    let mut options = match args.kernel {
        true => MachineOptions::kernel(),
        false => MachineOptions::physical(),
    };
    options.source = args.source.clone();
    options.include_reserved = args.include.contains(&Include::Reserved);
    options.direct_map = args.direct_map;
    options.exclude = exclude(excluded);
    options.trial = trial;
    options.salvage = args.salvage;
    options
}

/// Opens the memory of the machine that the arguments select.
pub(crate) fn open_machine(
    args: &SelectArgs,
    excluded: &[Excluded],
    trial: bool,
) -> anyhow::Result<MachineSource> {
    MachineSource::open(&machine(args, excluded, trial)).map_err(|error| match error.kind() {
        ErrorKind::WrongSpace => {
            let hint = if args.kernel { "leave out -k" } else { "use -k" };
            UsageError(format!("{error}: {hint}")).into()
        }
        _ => error.into(),
    })
}

/// The page uses that are excluded.
pub(crate) fn exclude(excluded: &[Excluded]) -> Exclude {
    Exclude {
        free: excluded.contains(&Excluded::Free),
        cache: excluded.contains(&Excluded::Cache),
        user: excluded.contains(&Excluded::User),
    }
}

/// The options for opening an image.
pub(crate) fn input(args: &InputArgs) -> InputOptions {
    let mut options = InputOptions::new().parts(args.part.clone()).salvage(args.salvage);
    options.format = args.input_format.clone();
    options.map = args.map.clone();
    options
}

/// The options for opening the target of that name. `file` has those for a target that is a file.
pub(crate) fn target(
    args: &args::TargetOptions,
    name: &TargetName,
    file: &InputArgs,
    raw: bool,
) -> TargetOptions {
    let mut options = TargetOptions::default();
    options.pause = args.pause.into();
    options.swap = args.swap.into();
    options.allow_seccomp = args.allow_seccomp;
    options.filter = filter(&args.filter, name.pid());
    options.kinds = args.kind.clone();
    options.source = args.source.clone();
    options.raw = raw;
    options.input = input(file);
    options
}

/// The filter of mappings that the arguments ask for. `pid` is the process whose own `coredump_filter` is used if the arguments ask for that.
pub(crate) fn filter(args: &FilterArgs, pid: Option<u32>) -> Filter {
    let classes = [
        (args.heap, MappingClass::Heap),
        (args.stack, MappingClass::Stack),
        (args.anon, MappingClass::Anonymous),
        (args.files, MappingClass::File),
        (args.shared, MappingClass::Shared),
    ];
    Filter {
        permissions: args.perms,
        classes: classes
            .into_iter()
            .filter_map(|(wanted, class)| wanted.then_some(class))
            .collect(),
        ranges: args.range.clone(),
        names: args.name.clone(),
        excluded: args.exclude.clone(),
        private: args.private,
        no_files: args.no_files,
        dont_dump: args.dontdump,
        no_headers: false,
        coredump_filter: args.coredump_filter.and_then(|mask| mask.or_else(|| own_filter(pid?))),
    }
}

/// The process's own filter, from `/proc/PID/coredump_filter`.
fn own_filter(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/coredump_filter")).ok()?;
    u64::from_str_radix(text.trim(), 16).ok()
}

/// The options for the manifest. `by_default` is true for a command that writes a manifest unless told otherwise.
pub(crate) fn manifest(args: &ManifestArgs, by_default: bool) -> ManifestOptions {
    let mut options = ManifestOptions::default();
    options.place = match &args.manifest {
        Some(path) => Place::File(path.clone()),
        None if by_default && !args.no_manifest => Place::Beside,
        None => Place::None,
    };
    options.tool = concat!("memdump ", env!("CARGO_PKG_VERSION")).to_owned();
    if options.place != Place::None {
        // The parser's table is large: it is built again only where its words are kept.
        options.command = recorded::command();
    }
    options.case = Case {
        number: args.case.clone(),
        examiner: args.examiner.clone(),
        notes: args.note.clone(),
    };
    options
}

impl From<SwapArg> for Swap {
    fn from(swap: SwapArg) -> Self {
        match swap {
            SwapArg::Read => Swap::Read,
            SwapArg::Skip => Swap::Skip,
        }
    }
}

impl From<PauseArg> for Pause {
    fn from(pause: PauseArg) -> Self {
        match pause {
            PauseArg::Stop => Pause::Stop,
            PauseArg::Snapshot => Pause::Snapshot,
            PauseArg::None => Pause::None,
        }
    }
}
