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
mod pause;
mod regions;
mod remedy;
pub mod snapshot;
mod space;
pub mod stop;

pub use capture::{Capture, Held, Options, Release};
pub use cost::Weight;
pub use filter::{Filter, MappingClass, PermissionsPattern, glob};
pub use find::{FindError, Group, hold_all, list_all};
pub use found::{Listing, Mapped, Process, ProcessError};
pub use globset::GlobMatcher;
pub use pause::Pause;
pub use remedy::Remedy;
pub use snapshot::SnapshotError;
pub use space::Swap;
pub use stop::{Denial, Hindrance, StopError};
