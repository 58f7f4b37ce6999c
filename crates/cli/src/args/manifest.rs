//! The arguments for the manifest of an image.

use std::path::PathBuf;

use clap::Args;

/// What is kept of how an image came to be.
#[derive(Args, Debug)]
#[command(next_help_heading = "The manifest")]
pub(crate) struct ManifestArgs {
    /// Write the manifest here: times, regions, holes, SHA-256 and BLAKE3. When not given, memory that is dumped to a file has
    /// FILE.manifest.json beside it, and FILE.sha256 for sha256sum
    #[arg(long, value_name = "FILE", conflicts_with = "no_manifest")]
    pub(crate) manifest: Option<PathBuf>,
    /// Write no manifest, and hash nothing
    #[arg(long)]
    pub(crate) no_manifest: bool,
    /// The number of the case, for the manifest
    #[arg(long, value_name = "NUMBER")]
    pub(crate) case: Option<String>,
    /// Who takes the image, for the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) examiner: Option<String>,
    /// Anything else, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Vec<String>,
}
