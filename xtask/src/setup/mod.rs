//! Brings what the laboratory needs onto this machine: Debian packages, and programs from the registries of Rust, Python and Go.
//! Each is announced in one line, with the way to do it by hand, before it is fetched. What can be kept apart from the system is
//! unpacked into one cache directory; only what has to be installed is installed. Not part of what ships.

mod cache;
mod debian;
#[path = "../../../crates/cli/tests/support/programs.rs"]
mod programs;
mod python;
mod rust;

pub(crate) use cache::cache_dir;
pub(crate) use debian::{apt, deb, deb_exists, deb_file, programs_of_tests};
pub(crate) use python::venv;
pub(crate) use rust::cargo_tool;
