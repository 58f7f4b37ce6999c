//! The arguments of the command itself, which dumps the machine's memory.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::image::{codec_names, format_names};
use super::{Excluded, ManifestArgs, SelectArgs, WriteArgs};

#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Leave out memory of these uses, as the kernel knows them at that moment; it is listed. kdump keeps it apart from
    /// zeros; raw and lime leave it out, avml where that is a whole MiB; else zeros stand there. Pages of zeros stay in lime and avml
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
    #[command(flatten)]
    pub(crate) write: WriteArgs,
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

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a number of a hundred, as in 1% or 0.5%".into())
}
