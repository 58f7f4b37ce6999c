//! The arguments of `memdump convert`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use memdump_image::Extent;

use super::filter::range;
use super::image::{codec_names, format_names};
use super::{Excluded, InputArgs, ManifestArgs, WriteArgs};

const EXAMPLES: &str = "\
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
#[command(after_help = EXAMPLES)]
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
    /// Leave out memory of these uses, as the kernel's page structures in the image tell them; it is listed. kdump keeps it
    /// apart from zeros; raw, elf, lime and avml leave it out; in padded zeros stand there. Pages of zeros stay, but in raw
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    pub(crate) exclude: Vec<Excluded>,
    /// Write such a map of the new image
    #[arg(short = 'm', long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) write_map: Option<PathBuf>,
    /// Say more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) input_options: InputArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}
