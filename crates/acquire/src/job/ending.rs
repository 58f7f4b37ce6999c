//! The messages for a job that ended early: the cause, how much was copied, and what is left of the image.

use std::path::Path;

use memdump_image::{CopyError, Summary};
use memdump_sink::Leftover;

use crate::error::{Error, ErrorKind};
use crate::human::Human;

/// The remains of an image after an early end, in words.
pub(super) fn remains(leftover: Leftover, kind: &str) -> String {
    match leftover {
        Leftover::Partial(path) => {
            format!("what was written is in {}", Path::new(&path).display())
        }
        Leftover::Nothing => "nothing was kept".to_owned(),
        Leftover::Sent => format!("the {kind} is not complete"),
    }
}

/// The error of a copy that ended early.
pub(super) fn early_end(error: CopyError, summary: &Summary, place: &str, remains: &str) -> Error {
    let taken = Human(summary.bytes);
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    let (kind, what) = match &error {
        CopyError::Write(error) if broken(error) => {
            (ErrorKind::Failed, format!("the receiver of {place} went away after {taken}"))
        }
        CopyError::Write(error) => {
            (ErrorKind::Failed, format!("cannot write to {place} after {taken}: {error}"))
        }
        CopyError::Stopped => (ErrorKind::Stopped, format!("stopped by a signal after {taken}")),
        CopyError::Observe(error) => (ErrorKind::Failed, format!("{error}, after {taken}")),
        error => (ErrorKind::Failed, format!("{error}, after {taken}")),
    };
    Error::new(kind, format!("{what}; {remains}"))
}
