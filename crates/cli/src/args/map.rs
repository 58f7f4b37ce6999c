//! The arguments of `memdump map`.

use clap::Args;

use super::{FilterArgs, SelectArgs};

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
