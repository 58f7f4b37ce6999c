//! Advice on errors: the command-line option that helps, which the libraries cannot know.

use memdump_acquire::{Error, ErrorKind};
use memdump_sink::{SinkError, SinkErrorKind};

/// The option that helps when opening, copying or recording failed. It is printed after the error's own text.
pub(crate) fn for_acquire(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::UnknownFormat => {
            "; say what it is: --map FILE for a raw one, --input-format padded where position is address"
        }
        ErrorKind::DamagedImage => "; --salvage takes what is whole of it",
        ErrorKind::MapMissing => ": give its map (--map FILE)",
        ErrorKind::UsesUnknown => "; leave out --exclude",
        ErrorKind::StaleManifest => ", or leave out --no-manifest",
        _ => return None,
    })
}

/// The option that helps when a destination cannot be written to.
pub(crate) fn for_sink(error: &SinkError) -> Option<&'static str> {
    Some(match error.kind() {
        SinkErrorKind::Exists => "; choose another name, or replace it with --overwrite",
        SinkErrorKind::PartialExists => ": remove it, or use --overwrite",
        _ => return None,
    })
}

/// The error, followed by the advice.
pub(crate) fn advised(error: &Error, advice: &str) -> anyhow::Error {
    let known = for_acquire(error).unwrap_or_default();
    anyhow::anyhow!("{error}{known}{advice}")
}
