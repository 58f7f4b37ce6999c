//! The kinds of sink: a file or directory for each, and a line of [`SINKS`].

mod direct;
mod file;
mod kind;
mod room;
mod stdout;
mod stream;

pub use kind::SinkKind;

/// Every kind of sink. The first row that takes a name is its kind.
pub static SINKS: &[SinkKind] = &[stdout::KIND, file::KIND];

/// The kind of standard output.
pub(crate) static STDOUT: SinkKind = stdout::KIND;
/// The kind of paths.
pub(crate) static FILE: SinkKind = file::KIND;
