//! The arguments of `memdump diff`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Args, Error, FromArgMatches};

use super::image::readable_names;
use super::{ShowArgs, TARGET_HELP, TargetOptions};

const EXAMPLES: &str = "\
Examples:
  memdump process 1234 --pause none; sleep 60; memdump diff core.1234 1234
                                              what a process has changed since it was dumped
  memdump diff core.1.zst core.2.zst          two cores of it
  memdump diff 1234 1235                      two processes of one program
  memdump diff --heap --bytes core.1234 1234  the bytes of its heap that changed
  memdump diff before.lime after.kdump        a machine, by physical address
  memdump diff --salvage cut.1234 1234        a damaged core and the process
  memdump diff --input-format raw --map a.map a.raw b.lime
                                              a raw image, and one that says what it is";

const DETAILS: &str = "\
A and B are each a TARGET, and of a sort: both of processes, both of kernels, or both of machines or plain files.

The options --raw, --input-format, --map, --part and --salvage say how a file is read. Before the
name of A they apply to A, between the two names to B, and after both names to each of the two that
is a file. What is given for one file overrides what is given for both. All other options apply to
both.

Pages are compared; zeros, and what was never touched, are nothing. A page is the same, changed, added
(A had nothing there), gone (B has nothing there) or unread. Regions are the same where they stand at the
same address and are of the same kind; of another process, where they are of the same file and place in
it, the heap, the stack. A dump of a process has not all that is mapped: compare like with like.

With --json each line is an object, all sizes in bytes, one of
  {\"change\":{\"a\":N,\"b\":N,\"old\":\"HEX\",\"new\":\"HEX\"}}
                        with --bytes: lines of 16 bytes that differ, their addresses in A and in B
  {\"region\":{\"kind\":\"…\",\"label\":\"…\",\"state\":\"…\",\"a\":{…},\"b\":{…},\"mapped\":N,\"unmapped\":N,PAGES}}
                        a region that differs; state is new, gone, grown, shrunk, moved or changed; a and b
                        are {\"start\":N,\"end\":N,\"permissions\":\"…\"} or null; mapped and unmapped are of
                        its addresses
  {\"kind\":{\"kind\":\"…\",PAGES}}
                        all regions of a kind
  {\"summary\":{\"a\":\"…\",\"b\":\"…\",\"differ\":true,\"growth\":N,\"unread_a\":{…},\"unread_b\":{…},PAGES}}
                        all of it; what could not be read, by cause
PAGES is \"same\":N,\"changed\":N,\"added\":N,\"gone\":N,\"unread\":N,\"changed_bytes\":N: bytes of pages, and bytes
that differ in changed ones.

Exit status, as of diff(1): 0 they are the same, 1 they differ, 2 trouble or wrong usage; and 3 some of it
could not be read.";

/// Show what changed between two looks at memory, A before B.
///
/// Says where memory grew, by kind of region, and lists the regions that differ; with --bytes the bytes too.
#[derive(Args, Debug)]
#[command(after_help = [EXAMPLES, TARGET_HELP, DETAILS].join("\n\n"))]
pub(crate) struct DiffArgs {
    /// Show the bytes that changed in what both have, before the rest
    #[arg(long)]
    pub(crate) bytes: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) of: TargetOptions,
    #[command(flatten)]
    pub(crate) sides: SideArgs,
}

/// The two targets, and the options that say how each is read if it is a file. They are told apart by their place on the
/// command line.
#[derive(Debug)]
pub(crate) struct SideArgs {
    pub(crate) a: OsString,
    pub(crate) b: OsString,
    /// The options before the name of A.
    pub(crate) of_a: Vec<FileOption>,
    /// The options between the two names.
    pub(crate) of_b: Vec<FileOption>,
    /// The options after both names.
    pub(crate) of_both: Vec<FileOption>,
}

/// An option that says how a file is read.
#[derive(Clone, Debug)]
pub(crate) enum FileOption {
    Raw,
    InputFormat(String),
    Map(PathBuf),
    Part(PathBuf),
    Salvage,
}

impl FileOption {
    /// The option as it is written.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Raw => "--raw",
            Self::InputFormat(_) => "--input-format",
            Self::Map(_) => "--map",
            Self::Part(_) => "--part",
            Self::Salvage => "--salvage",
        }
    }

    /// Returns true if both cannot be given for one file.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw, Self::Raw) => false,
            (Self::Raw, _) | (_, Self::Raw) => true,
            (Self::Map(_), Self::Part(_)) | (Self::Part(_), Self::Map(_)) => true,
            (Self::Map(_), Self::Map(_)) | (Self::InputFormat(_), Self::InputFormat(_)) => true,
            _ => false,
        }
    }
}

/// The words of [`SideArgs`]: what clap knows of them.
#[derive(Args, Debug)]
#[command(next_help_heading = "How a file is read")]
struct SideWords {
    /// What was: a PID, `kernel`, `physical`, or the path of an image or any other file
    #[arg(value_name = "A", help_heading = None)]
    a: OsString,
    /// What is
    #[arg(value_name = "B", help_heading = None)]
    b: OsString,
    /// Take the file as it is, its offsets as addresses, even if it is an image
    #[arg(long, action = ArgAction::Append, num_args = 0, default_missing_value = "true")]
    raw: Vec<bool>,
    /// The format of the image, if the image does not say so itself
    #[arg(long, value_name = "FORMAT", value_parser = readable_names())]
    input_format: Vec<String>,
    /// The map of a raw image: a line `0xSTART 0xEND` for each run of addresses in it
    #[arg(long, value_name = "FILE")]
    map: Vec<PathBuf>,
    /// A further file of a split kdump image (makedumpfile --split); again for each
    #[arg(long, value_name = "FILE")]
    part: Vec<PathBuf>,
    /// Recover what is readable of a damaged or truncated image, and list what is missing. May read all of it
    #[arg(long, action = ArgAction::Append, num_args = 0, default_missing_value = "true")]
    salvage: Vec<bool>,
}

impl Args for SideArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        SideWords::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        SideWords::augment_args_for_update(command)
    }
}

impl FromArgMatches for SideArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let places =
            |id: &str| -> Vec<usize> { matches.indices_of(id).into_iter().flatten().collect() };
        let names = [places("a"), places("b")].concat();
        let [raw, input_format, map, part, salvage] =
            ["raw", "input_format", "map", "part", "salvage"].map(places);
        let words = SideWords::from_arg_matches(matches)?;
        let (mut of_a, mut of_b, mut of_both) = (Vec::new(), Vec::new(), Vec::new());
        let options = (raw.into_iter().map(|place| (place, FileOption::Raw)))
            .chain(
                input_format
                    .into_iter()
                    .zip(words.input_format.into_iter().map(FileOption::InputFormat)),
            )
            .chain(map.into_iter().zip(words.map.into_iter().map(FileOption::Map)))
            .chain(part.into_iter().zip(words.part.into_iter().map(FileOption::Part)))
            .chain(salvage.into_iter().map(|place| (place, FileOption::Salvage)));
        for (place, option) in options {
            let side = match names.iter().filter(|&&name| name < place).count() {
                0 => &mut of_a,
                1 => &mut of_b,
                _ => &mut of_both,
            };
            if let Some(other) = side.iter().find(|other| option.excludes(other)) {
                return Err(conflict(&option, other));
            }
            side.push(option);
        }
        Ok(Self { a: words.a, b: words.b, of_a, of_b, of_both })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn conflict(option: &FileOption, other: &FileOption) -> Error {
    let message = match (option.name(), other.name()) {
        (name, other) if name == other => format!("{name} is given twice for the same file"),
        (name, other) => format!("{other} cannot be used with {name} for the same file"),
    };
    Error::raw(ErrorKind::ArgumentConflict, format!("{message}\n"))
}
