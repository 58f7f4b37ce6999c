//! The TARGET argument: opening it, and naming its regions.

use std::ffi::OsStr;

use memdump_acquire::{self as acquire, ErrorKind, TargetName};
pub(super) use memdump_acquire::{Target, TargetKind};
use memdump_image::Region;

use crate::advice::advised;
use crate::args::{FileArgs, TargetOptions};
use crate::exit::UsageError;
use crate::options;

/// Opens the target called `name`. `file` has the options for a target that is a file.
pub(super) fn open(name: &OsStr, args: &TargetOptions, file: &FileArgs) -> anyhow::Result<Target> {
    let name = TargetName::parse(name);
    open_as(&name, &options::target(args, &name, &file.image, file.raw))
}

/// Opens the target called `name`, with these options.
pub(super) fn open_as(
    name: &TargetName,
    options: &acquire::TargetOptions,
) -> anyhow::Result<Target> {
    Target::open(name, options).map_err(|error| match error.kind() {
        ErrorKind::OnlyForFiles => UsageError(
            "--raw, --input-format, --map, --part and --salvage are about a file: name its path"
                .into(),
        )
        .into(),
        ErrorKind::OnlyForProcesses => UsageError(
            "--dontdump and --coredump-filter are about a live process: name a PID".into(),
        )
        .into(),
        ErrorKind::UnknownFormat | ErrorKind::DamagedImage => {
            advised(&error, "; --raw takes the file as it is")
        }
        ErrorKind::Request => UsageError(error.to_string()).into(),
        _ => error.into(),
    })
}

/// The name of a region for people, or its kind if it has no name. Control characters become `?`, because a terminal would obey them.
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
