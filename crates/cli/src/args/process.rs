//! The arguments of `memdump process`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use memdump_live::process::GlobMatcher;

use super::filter::glob;
use super::image::codec_names;
use super::{FilterArgs, ManifestArgs, WriteArgs};

const EXAMPLES: &str = "\
Examples:
  memdump process 1234                        to core.1234; the process stands still meanwhile
  memdump process 1234 --pause snapshot       it stands still for milliseconds
  memdump process 1234 -o - | zstd > c.zst    to standard output
  memdump process 1234 --compress zstd        to core.1234.zst
  memdump process --tree 1234 -o DIR          with its children: DIR/core.PID, DIR/index.json
  memdump process 1234 --split DIR --perms rw-p --private --no-files
                                              a file for each mapping that it fills itself
  memdump map 1234                            what is mapped, and how much of it is where

Without a filter it takes what the kernel's own dump has: private memory, shared memory without a
file, files that the process wrote to privately, and the first page of every other file.

Exit status: 0 complete, 1 failed, 2 wrong usage, 3 written but incomplete (holes are listed).";

/// Dump the memory of a process.
///
/// Writes an ELF core with its registers, which gdb, lldb and drgn open. Only what is there is read:
/// pages that the process has never touched are not touched now, and its memory does not grow. It runs
/// on as soon as that can be, also when this command fails or is killed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProcessArgs {
    #[command(flatten)]
    pub(crate) group: GroupArgs,
    /// Where the core goes: a new file, or - for standard output; core.PID when not given. Of several
    /// processes: the folder that gets core.PID of each and index.json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<OsString>,
    /// In place of a core: a file PID_mem_START.bin for each mapping, and PID_maps, in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub(crate) split: Option<PathBuf>,
    /// How the process is kept from changing its memory meanwhile
    #[arg(long, value_name = "HOW", default_value = "stop")]
    pub(crate) pause: PauseArg,
    /// What becomes of pages on swap; reading brings them back into memory
    #[arg(long, value_name = "WHAT", default_value = "read")]
    pub(crate) swap: SwapArg,
    /// The thread that comes first in the core, which debuggers show; the first when not given
    #[arg(long, value_name = "TID")]
    pub(crate) thread: Option<u32>,
    /// With a snapshot: also of a process under a seccomp filter, which may be killed by it
    #[arg(long)]
    pub(crate) allow_seccomp: bool,
    /// With a snapshot: copy shared memory before the process runs on, so that it is of the same instant
    #[arg(long)]
    pub(crate) shared_consistent: bool,
    /// Compress on the way; the file is then called core.PID.zst, .lz4 or .gz
    #[arg(long, value_name = "HOW", conflicts_with = "split", value_parser = codec_names())]
    pub(crate) compress: Option<String>,
    /// Print what was taken as a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Say more: -v sizes, -vv mappings, -vvv each read
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

/// Whose memory.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct GroupArgs {
    /// The processes, by their numbers
    #[arg(value_name = "PID", num_args = 1..)]
    pub(crate) pids: Vec<u32>,
    /// A process and all that descend from it
    #[arg(long, value_name = "PID")]
    pub(crate) tree: Option<u32>,
    /// All processes whose name, or program, matches
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) comm: Option<GlobMatcher>,
    /// All processes in a control group
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,
    /// All processes of a container, by the start of its identifier
    #[arg(long, value_name = "ID")]
    pub(crate) container: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PauseArg {
    /// It stands still until all is copied
    Stop,
    /// It stands still while it is forked, milliseconds for each GiB, and the fork is copied
    Snapshot,
    /// It runs: what is written is of no single instant, and has no registers
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SwapArg {
    Read,
    /// They are listed as holes
    Skip,
}
