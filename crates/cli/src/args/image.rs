//! The arguments shared by commands that read or write images: opening one, excluded pages, names of formats and codecs.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use memdump_acquire::readable_formats;
use memdump_image::codec::CODECS;
use memdump_image::format::FORMATS;

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

pub(super) fn codec_names() -> PossibleValuesParser {
    PossibleValuesParser::new(CODECS.iter().map(|codec| codec.name))
}

pub(super) fn readable_names() -> PossibleValuesParser {
    PossibleValuesParser::new(readable_formats().map(|format| format.name))
}

pub(super) fn format_names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.summary)),
    )
}
