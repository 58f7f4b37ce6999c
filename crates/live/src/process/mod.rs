//! The memory of a process, without hurting it.
//!
//! [`Process`] is a process that was found, and may be looked at; [`Process::hold`] stops it, and
//! [`Held::capture`] decides what is taken and gives an address space to copy from. Nothing of the
//! process is touched that it has not touched itself, and it is let go as early as the way of
//! [pausing](Pause) allows, also when anything fails.

mod backing;
mod capture;
mod cost;
mod facts;
mod filter;
mod find;
mod found;
mod mapped;
mod pages;
mod regions;
pub mod snapshot;
mod space;
pub mod stop;

pub use capture::{Capture, Held, Options, Release};
pub use cost::Weight;
pub use filter::{Filter, MappingClass, PermissionsPattern};
pub use find::{FindError, Group, hold_all, list_all};
pub use found::{Listing, Mapped, Process, ProcessError};
pub use globset::GlobMatcher;
pub use snapshot::SnapshotError;
pub use space::Swap;
pub use stop::{Denial, Hindrance, StopError};

/// How a process is kept from changing its memory while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It stands still until all is copied.
    Stop,
    /// It stands still while it is forked; the copy is read.
    Snapshot,
    /// Not at all: the image is of no single instant.
    None,
}

impl Pause {
    /// The word for it in options and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Pause::Stop => "stop",
            Pause::Snapshot => "snapshot",
            Pause::None => "none",
        }
    }
}

/// A pattern for paths and names: `*` does not cross a `/`, `**` does.
///
/// # Errors
/// What is wrong with it.
pub fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
}
