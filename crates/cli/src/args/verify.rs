//! The arguments of `memdump verify`.

use std::path::PathBuf;

use clap::Args;

use super::ProgressStyle;

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
