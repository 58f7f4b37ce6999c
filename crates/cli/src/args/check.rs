//! The arguments of `memdump check`.

use std::ffi::OsString;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Where the image would go: its free space is looked up
    #[arg(short, long, value_name = "FILE", default_value = ".")]
    pub(crate) output: OsString,
    /// A JSON object for programs
    #[arg(long)]
    pub(crate) json: bool,
}
