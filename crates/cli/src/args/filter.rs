//! The arguments that select mappings of a process, shared by every command that reads one.

use clap::Args;
use memdump_image::Extent;
use memdump_live::process::{GlobMatcher, PermissionsPattern};

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

pub(super) fn glob(text: &str) -> Result<GlobMatcher, String> {
    memdump_live::process::glob(text).map_err(|problem| format!("{problem}; try '/usr/lib/**'"))
}

fn permissions(text: &str) -> Result<PermissionsPattern, String> {
    PermissionsPattern::parse(text).ok_or_else(|| "four letters as in rw-p or r??p".into())
}

pub(super) fn range(text: &str) -> Result<Extent, String> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
    text.split_once('-')
        .and_then(|(start, end)| Extent::half_open(number(start)?, number(end)?).ok())
        .ok_or_else(|| "two hexadecimal addresses, as in 7f0000000000-7f0000021000".into())
}

fn mask(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "a hexadecimal mask, as in 0x7f".into())
}
