//! The command line: the one table that parsing, help, the man page and completions are made from.
//!
//! There is a file for each command, and one for each group of arguments that several commands share. Only the syntax is here. Values
//! are checked in `commands`, which refuse a wrong one in a line that names the option and shows a valid value.

mod check;
mod convert;
mod diff;
mod dump;
mod filter;
mod hexdump;
mod image;
mod info;
mod manifest;
mod map;
mod process;
mod search;
mod select;
mod shared;
mod strings;
mod target;
mod verify;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use check::CheckArgs;
pub(crate) use convert::ConvertArgs;
pub(crate) use diff::{DiffArgs, FileOption};
pub(crate) use dump::DumpArgs;
pub(crate) use filter::FilterArgs;
pub(crate) use hexdump::HexdumpArgs;
pub(crate) use image::{Excluded, InputArgs};
pub(crate) use info::InfoArgs;
pub(crate) use manifest::ManifestArgs;
pub(crate) use map::MapArgs;
pub(crate) use process::{GroupArgs, PauseArg, ProcessArgs, SwapArg};
pub(crate) use search::{PatternArgs, SearchArgs};
pub(crate) use select::{Include, SelectArgs};
pub(crate) use shared::{ColorArg, ProgressStyle, ShowArgs, WriteArgs};
pub(crate) use strings::{EncodingArg, RadixArg, StringsArgs};
pub(crate) use target::{FileArgs, TARGET_HELP, TargetArgs, TargetOptions};
pub(crate) use verify::VerifyArgs;

const EXAMPLES: &str = "\
Examples:
  memdump check                               what this machine allows, and what to run
  memdump -o ram.lime --format lime           all physical memory, for Volatility 3
  memdump -o vmcore --format elf              all physical memory, for crash and drgn
  memdump -o ram.lime --format lime --kit kit.tar
                                              … and what symbols for it can be made from elsewhere
  memdump > physical_memory.img               raw, regions one after another
  memdump -m memory_map.txt > memory.img      … and a file that says what lies where
  memdump -k -b 4096 > kernel_memory.img      the kernel's virtual memory
  memdump -s 1g > first_gb.img                the first GiB of it
  memdump | zstd | age -r KEY > ram.zst.age   compressed and encrypted on the way
  memdump | nc HOST PORT                      off the machine, its disks untouched
  memdump process 1234                        a process, to core.1234, for gdb and drgn
  memdump convert ram.avml ram.elf            an image to another format

Exit status: 0 complete, 1 failed, 2 wrong usage, 3 written but incomplete (holes are listed).";

/// Dump the memory of this machine, or of its kernel.
///
/// Writes physical memory to standard output, one region after another, holes left out. With -k it
/// is the kernel's virtual memory. Other layouts say what lies where: --format elf for crash and
/// drgn, --format lime for Volatility 3. Nothing of the machine is changed, and the image does not
/// pass through its page cache.
#[derive(Debug, Parser)]
#[command(name = "memdump", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) dump: DumpArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Dump the memory of a process, as a core that gdb, lldb and drgn open
    Process(Box<ProcessArgs>),
    /// Turn an image into one of another format, or of a part of it
    Convert(Box<ConvertArgs>),
    /// Show what an image is, of what, and how complete; or a process, or the machine
    Info(Box<InfoArgs>),
    /// Show whether an image is still what was taken, by its manifest
    Verify(VerifyArgs),
    /// Show what would be dumped, region by region; reads no memory
    Map(Box<MapArgs>),
    /// Find strings in the memory of a process, of the machine, or in an image
    Strings(Box<StringsArgs>),
    /// Search memory for texts, bytes, expressions, numbers and pointers
    Search(Box<SearchArgs>),
    /// Show memory as bytes and text: of a process, the machine, an image, any file
    Hexdump(Box<HexdumpArgs>),
    /// Show what changed between two looks at memory, live or in images
    Diff(Box<DiffArgs>),
    /// Show what this machine allows and what to run; reads no memory
    Check(CheckArgs),
    /// Print the man page or a shell's completions
    #[command(hide = true)]
    Generate {
        /// What to print
        what: Generated,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Generated {
    Man,
    Bash,
    Fish,
    Zsh,
}
