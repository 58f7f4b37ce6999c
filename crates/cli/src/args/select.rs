//! The arguments that select memory of the machine.

use std::ffi::OsString;

use clap::{ArgAction, Args, ValueEnum};
use memdump_live::SOURCES;

/// Which memory.
#[derive(Args, Debug)]
pub(crate) struct SelectArgs {
    /// Kernel virtual memory instead of physical memory
    #[arg(short, long)]
    pub(crate) kernel: bool,
    /// Where memory is read from
    #[arg(long, value_name = "SOURCE", default_value = "auto", long_help = source_help())]
    pub(crate) source: OsString,
    /// Also take memory that is not RAM of the kernel: firmware tables and the like
    #[arg(long, value_name = "WHAT")]
    pub(crate) include: Vec<Include>,
    /// Of an image as the source: take what is whole of a damaged one, and list what is lost
    #[arg(long)]
    pub(crate) salvage: bool,
    /// With -k: also the direct map, which is all physical memory again
    #[arg(long, requires = "kernel")]
    pub(crate) direct_map: bool,
    /// Take this many bytes of memory, from the front; 0 means all
    #[arg(
        short = 's',
        visible_short_alias = 'd',
        long,
        value_name = "SIZE",
        allow_hyphen_values = true
    )]
    pub(crate) size: Option<String>,
    /// Say more: source and sizes, -vv regions, -vvv each read
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Include {
    /// Ranges that the firmware kept for itself (ACPI tables) and that can be read safely
    Reserved,
}

fn source_help() -> String {
    let mut help = "Where memory is read from\n\nPossible values:\n- auto: each is tried for real \
                    before anything is written, and the most complete taken\n"
        .to_owned();
    for source in SOURCES {
        help += &format!("- {}: {}: {}\n", source.name, source.path, source.summary);
    }
    help + "- a file: another path to a kcore (a host's /proc inside a container) or to a memory \
            device, or a LiME image"
}
