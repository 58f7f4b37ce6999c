//! The command line: the one table from which parsing, help, man page and completions come.
//!
//! Only syntax. What the words mean is decided in `commands`, so that a wrong one is refused in a
//! line that names the option and shows a good value.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use memdump_image::format::FORMATS;
use memdump_live::SOURCES;

const EXAMPLES: &str = "\
Examples:
  memdump check                               what this machine allows, and what to run
  memdump -o ram.lime --format lime           all physical memory, for Volatility 3
  memdump -o vmcore --format elf              all physical memory, for crash and drgn
  memdump > physical_memory.img               raw, regions one after another
  memdump -m memory_map.txt > memory.img      … and a file that says what lies where
  memdump -k -b 4096 > kernel_memory.img      the kernel's virtual memory
  memdump -s 1g > first_gb.img                the first GiB of it
  memdump | zstd | age -r KEY > ram.zst.age   compressed and encrypted on the way
  memdump | nc HOST PORT                      off the machine, its disks untouched

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
    /// Show what would be dumped, region by region; reads no memory
    Map(MapArgs),
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

#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Where the image goes: a new file, a block device, or - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: OsString,
    /// How memory lies in the image
    #[arg(long, value_name = "FORMAT", default_value = "raw", value_parser = format_names())]
    pub(crate) format: String,
    /// Also write the map: a line `0xSTART 0xEND` for each region taken, END the first address
    /// beyond; - for standard error
    #[arg(short, long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) map: Option<PathBuf>,
    /// Bytes per read; 0 means the default, 1m
    #[arg(short = 'b', long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) read_size: Option<String>,
    /// The page size at which holes are looked for; they are found to the machine's page whatever
    /// it is
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) page_size: Option<String>,
    /// Threads that read; as many as there are CPUs, up to 4, when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) readers: Option<u8>,
    /// Replace the output file if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// How progress is shown on standard error: a line that moves, or lines of JSON for programs
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A moving line when standard error is a terminal
    Auto,
    /// A JSON object a line
    Json,
    /// None
    Never,
}

#[derive(Args, Debug)]
pub(crate) struct MapArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Where the image would go: its free space is looked up
    #[arg(short, long, value_name = "FILE", default_value = ".")]
    pub(crate) output: OsString,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
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

fn format_names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FORMATS
            .iter()
            .map(|format| clap::builder::PossibleValue::new(format.name).help(format.summary)),
    )
}
