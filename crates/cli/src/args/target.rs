//! TARGET: the memory that a command looks into.

use std::ffi::OsString;

use clap::{ArgAction, Args};

use super::{FilterArgs, InputArgs, PauseArg, SwapArg};

/// The forms of TARGET, for the ends of help texts.
pub(crate) const TARGET_HELP: &str = "\
TARGET is
  1234        the process of that number, as it runs: it is not stopped, and does not grow
  kernel      the kernel's virtual memory
  physical    the machine's physical memory
  PATH        an image of any format, compressed or not; any other file is taken as it is: its
              offsets are the addresses (a file that is called 1234: ./1234)";

/// Whose memory, and what of it.
#[derive(Args, Debug)]
pub(crate) struct TargetArgs {
    /// A PID, `kernel`, `physical`, or the path of an image or any other file
    #[arg(value_name = "TARGET", index = 1)]
    pub(crate) target: OsString,
    #[command(flatten)]
    pub(crate) of: TargetOptions,
    #[command(flatten)]
    pub(crate) file: FileArgs,
}

/// The options of opening a target, whatever it is.
#[derive(Args, Debug)]
#[command(next_help_heading = "The target")]
pub(crate) struct TargetOptions {
    /// How a process is kept from changing its memory meanwhile
    #[arg(long, value_name = "HOW", default_value = "none")]
    pub(crate) pause: PauseArg,
    /// Only regions of this kind, as `map` and `info` name them: heap, stack, library, ram …
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Where `kernel` and `physical` are read from; `memdump --help` lists what there is
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub(crate) source: OsString,
    /// What becomes of a process's pages on swap; reading brings them back into memory
    #[arg(long, value_name = "WHAT", default_value = "skip")]
    pub(crate) swap: SwapArg,
    /// Also of a process under a seccomp filter, with a snapshot, which may kill it
    #[arg(long)]
    pub(crate) allow_seccomp: bool,
    /// Say more: sources and sizes, -vv regions, -vvv each read
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// The options of reading a file.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "The target")]
pub(crate) struct FileArgs {
    /// Take a file as it is, its offsets as addresses, also if it is an image
    #[arg(long, conflicts_with_all = ["input_format", "map", "part", "salvage"])]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) image: InputArgs,
}
