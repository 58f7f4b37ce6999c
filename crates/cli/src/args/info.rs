//! The arguments of `memdump info`.

use clap::Args;

use super::TargetArgs;

const EXAMPLES: &str = "\
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
#[command(after_help = EXAMPLES)]
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
