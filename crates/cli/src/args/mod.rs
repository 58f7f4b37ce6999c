//! The command line: the one table from which parsing, help, man page and completions come.
//!
//! Only syntax. What the words mean is decided in `commands`, so that a wrong one is refused in a
//! line that names the option and shows a good value.

mod diff;
mod hexdump;
mod search;
mod strings;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use memdump_image::Extent;
use memdump_image::codec::CODECS;
use memdump_image::format::FORMATS;
use memdump_live::SOURCES;
use memdump_live::process::{GlobMatcher, PermissionsPattern};

pub(crate) use diff::DiffArgs;
pub(crate) use hexdump::HexdumpArgs;
pub(crate) use search::{PatternArgs, SearchArgs};
pub(crate) use strings::{EncodingArg, RadixArg, StringsArgs};
pub(crate) use target::{ColorArg, TARGET_HELP, TargetArgs, TargetOptions};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Excluded {
    /// Pages that nobody uses
    Free,
    /// Pages that hold nothing but zeros, once they are read (kdump keeps them all as one, and leaves out none)
    Zero,
    /// The page cache: content of files
    Cache,
    /// Memory of processes
    User,
}

#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Leave out memory of these uses, as the kernel knows them at that moment; it is listed, and kdump keeps it apart from
    /// zeros
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',', conflicts_with = "kernel")]
    pub(crate) exclude: Vec<Excluded>,
    /// Where the image goes: a new file, a block device, or - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: OsString,
    /// How memory lies in the image
    #[arg(long, value_name = "FORMAT", default_value = "raw", value_parser = format_names())]
    pub(crate) format: String,
    /// Compress the image on the way
    #[arg(long, value_name = "HOW", value_parser = codec_names())]
    pub(crate) compress: Option<String>,
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
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Also write an archive of what symbols can be made from later: kallsyms, BTF, configuration, iomem, modules, build
    /// identifiers
    #[arg(long, value_name = "FILE.tar")]
    pub(crate) kit: Option<PathBuf>,
    /// Read about N of a hundred pages again at the end, and say how many had changed meanwhile
    #[arg(long, value_name = "N%", value_parser = percent)]
    pub(crate) second_look: Option<f64>,
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
    /// The mappings of a process, rather than the machine's memory
    #[arg(value_name = "PID", conflicts_with_all = ["kernel", "source", "include", "salvage", "direct_map", "size"])]
    pub(crate) pid: Option<u32>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
}

const PROCESS_EXAMPLES: &str = "\
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
#[command(after_help = PROCESS_EXAMPLES)]
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
    /// Threads that read; as many as there are CPUs, up to 4, when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) readers: Option<u8>,
    /// Replace output files that exist
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print what was taken as a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// How progress is shown on standard error
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: -v sizes, -vv mappings, -vvv each read
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
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

/// Which mappings of a process. Several sorts add up; everything else narrows.
#[derive(Args, Debug)]
#[command(next_help_heading = "Mappings of a process")]
pub(crate) struct FilterArgs {
    /// With these permissions, as in /proc/PID/maps; ? for any
    #[arg(long, value_name = "rwxp", value_parser = permissions, allow_hyphen_values = true)]
    pub(crate) perms: Option<PermissionsPattern>,
    /// In this range of addresses, hexadecimal, END the first beyond
    #[arg(long, value_name = "START-END", value_parser = range)]
    pub(crate) range: Vec<Extent>,
    /// The heap that brk(2) makes
    #[arg(long)]
    pub(crate) heap: bool,
    /// The stacks of all threads
    #[arg(long)]
    pub(crate) stack: bool,
    /// Private memory without a file, heap and stacks too
    #[arg(long)]
    pub(crate) anon: bool,
    /// Mapped files, programs and libraries too
    #[arg(long)]
    pub(crate) files: bool,
    /// MAP_SHARED
    #[arg(long)]
    pub(crate) shared: bool,
    /// MAP_PRIVATE alone
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// No mapped files
    #[arg(long, conflicts_with = "files")]
    pub(crate) no_files: bool,
    /// Whose path or name matches, such as '/usr/lib/**' or '[[]heap]'
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) name: Vec<GlobMatcher>,
    /// None whose path or name matches
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) exclude: Vec<GlobMatcher>,
    /// Also what the process asked to leave out of dumps (MADV_DONTDUMP)
    #[arg(long)]
    pub(crate) dontdump: bool,
    /// What this mask of the kernel says (core(5)); without a value, the process's own
    #[arg(long, value_name = "MASK", num_args = 0..=1, require_equals = true, value_parser = mask)]
    pub(crate) coredump_filter: Option<Option<u64>>,
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

fn glob(text: &str) -> Result<GlobMatcher, String> {
    memdump_live::process::glob(text).map_err(|problem| format!("{problem}; try '/usr/lib/**'"))
}

fn permissions(text: &str) -> Result<PermissionsPattern, String> {
    PermissionsPattern::parse(text).ok_or_else(|| "four letters as in rw-p or r??p".into())
}

fn range(text: &str) -> Result<Extent, String> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
    text.split_once('-')
        .and_then(|(start, end)| Extent::half_open(number(start)?, number(end)?).ok())
        .ok_or_else(|| "two hexadecimal addresses, as in 7f0000000000-7f0000021000".into())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a number of a hundred, as in 1% or 0.5%".into())
}

fn mask(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "a hexadecimal mask, as in 0x7f".into())
}

/// What is kept of how an image came to be.
#[derive(Args, Debug)]
#[command(next_help_heading = "The manifest")]
pub(crate) struct ManifestArgs {
    /// Write the manifest here: times, regions, holes, SHA-256 and BLAKE3. When not given, memory that is dumped to a file has
    /// FILE.manifest.json beside it, and FILE.sha256 for sha256sum
    #[arg(long, value_name = "FILE", conflicts_with = "no_manifest")]
    pub(crate) manifest: Option<PathBuf>,
    /// Write no manifest, and hash nothing
    #[arg(long)]
    pub(crate) no_manifest: bool,
    /// The number of the case, for the manifest
    #[arg(long, value_name = "NUMBER")]
    pub(crate) case: Option<String>,
    /// Who takes the image, for the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) examiner: Option<String>,
    /// Anything else, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Vec<String>,
}

/// Show whether an image is still what was taken.
///
/// Compares size, SHA-256 and the hash of each region with the manifest, so that damage is found where it is.
/// Exit status: 0 it is, 1 it is not or cannot be read, 2 wrong usage.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The image, or a folder: every image in it that has a manifest there
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
    /// Its manifest; IMAGE.manifest.json when not given
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: Option<PathBuf>,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// How progress is shown on standard error
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Say nothing on standard error but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  memdump convert ram.lime ram.avml           the suffix names the format
  memdump convert ram.lime ram.lime.zst       … and the compression
  memdump convert core.1234.zst core.1234     unpacked
  memdump convert ram.avml - --format elf | … to standard output
  memdump convert first.img ram.elf --map memory_map.txt
                                              a raw image, with the map that was written with it
  memdump convert cut.lime ram.elf --salvage  what is whole of an image that is damaged
  memdump convert vmcore.1 vmcore --part vmcore.2
                                              one kdump of the files of makedumpfile --split

Exit status: 0 complete, 1 failed, 2 wrong usage, 3 written but incomplete (the image is damaged).";

/// Turn an image into one of another format.
///
/// Reads every format that it writes, compressed or not, in one pass. What the image says it has no content for stays
/// so where the new format can say it too. An image that is damaged or cut short is refused, unless --salvage takes what is whole
/// of it; damage that only reading finds costs the memory that is damaged.
#[derive(Args, Debug)]
#[command(after_help = CONVERT_EXAMPLES)]
pub(crate) struct ConvertArgs {
    /// The image
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The new one: a new file, or - for standard output
    #[arg(value_name = "OUT")]
    pub(crate) output: OsString,
    /// How memory lies in the new one; by its suffix, or as in the old one, when not given
    #[arg(long, value_name = "FORMAT", value_parser = format_names())]
    pub(crate) format: Option<String>,
    /// Compress the new one; by its suffix when not given
    #[arg(long, value_name = "HOW", value_parser = codec_names())]
    pub(crate) compress: Option<String>,
    /// Only this range of addresses, hexadecimal, END the first beyond
    #[arg(long, value_name = "START-END", value_parser = range)]
    pub(crate) range: Vec<Extent>,
    /// Only regions of this kind, as `info` names them
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Leave out memory of these uses, as the kernel's page structures in the image tell them; it is listed, and kdump keeps it
    /// apart from zeros
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    pub(crate) exclude: Vec<Excluded>,
    /// Write such a map of the new image
    #[arg(short = 'm', long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) write_map: Option<PathBuf>,
    /// Threads that read; as many as there are CPUs, up to 4, when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) readers: Option<u8>,
    /// Replace the output file if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// How progress is shown on standard error
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) input_options: InputArgs,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

/// How an image that is there already is opened.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The image that is read")]
pub(crate) struct InputArgs {
    /// What the image is, where it does not say so itself
    #[arg(long, value_name = "FORMAT", value_parser = readable_names())]
    pub(crate) input_format: Option<String>,
    /// The map of a raw image: a line `0xSTART 0xEND` for each run of addresses in it
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// A further file of a split kdump image (makedumpfile --split); again for each
    #[arg(long, value_name = "FILE", conflicts_with = "map")]
    pub(crate) part: Vec<PathBuf>,
    /// Take what is whole of a damaged image or one that is cut short, and list what is lost. May read all of it
    #[arg(long)]
    pub(crate) salvage: bool,
}

const INFO_EXAMPLES: &str = "\
Examples:
  memdump info ram.lime.zst                   what it is, of what, which memory
  memdump info --scan ram.avml                … and whether all of it can be read
  memdump info --salvage core.1234            what is left of an image that is cut short
  memdump info vmcore.1 --part vmcore.2       the files of makedumpfile --split
  memdump info 1234                           a running process; also kernel, physical

Exit status: 0 complete, 1 failed, 2 wrong usage, 3 the image is damaged or cut short.";

/// Show what an image is, or a process or the machine.
///
/// An image that is damaged or cut short is refused with what is wrong; --salvage shows what is left of it.
#[derive(Args, Debug)]
#[command(after_help = INFO_EXAMPLES)]
pub(crate) struct InfoArgs {
    /// Read all of it: find damage, count pages of zeros
    #[arg(long)]
    pub(crate) scan: bool,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
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

fn codec_names() -> PossibleValuesParser {
    PossibleValuesParser::new(CODECS.iter().map(|codec| codec.name))
}

fn readable_names() -> PossibleValuesParser {
    PossibleValuesParser::new(crate::commands::open::readable().map(|format| format.name))
}

fn format_names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FORMATS
            .iter()
            .map(|format| clap::builder::PossibleValue::new(format.name).help(format.summary)),
    )
}
