//! The arguments shared by all commands that write an image, and by all that only read memory.

use clap::{Args, ValueEnum};

/// Of a command that writes an image.
#[derive(Args, Debug)]
pub(crate) struct WriteArgs {
    /// Threads that read, and compress where the format does; as many as there are CPUs, up to 4 (15 where they compress), when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) readers: Option<u8>,
    /// Replace output files that exist
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// How progress is shown on standard error: a line that moves, or lines of JSON for programs
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// Of a command that looks into memory.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// An object of JSON a line, for programs; see below
    #[arg(long, conflicts_with = "color")]
    pub(crate) json: bool,
    /// When output is coloured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorArg,
    /// How progress is shown on standard error, where output is no terminal
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// No progress, no notes: nothing on standard error but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
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
