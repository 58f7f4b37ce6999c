//! The table of formats, and what is looked up in it.

use super::records::{avml, lime};
use super::row::Format;
use super::{core, kdump, padded, raw, vmcore};

/// Every format there is. The command's names of formats, its help, detection and the generic tests derive
/// from it; there is no other list.
pub static FORMATS: &[Format] = &[
    raw::FORMAT,
    padded::FORMAT,
    lime::FORMAT,
    avml::FORMAT,
    vmcore::FORMAT,
    kdump::ZSTD,
    kdump::ZLIB,
    kdump::SNAPPY,
    core::FORMAT,
];

/// The format of a process's core, for those that need no table: its row of [`FORMATS`] says the same.
pub static CORE: Format = core::FORMAT;

impl Format {
    /// The format of that name.
    pub fn by_name(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The format one of whose magics `head`, the start of a file, begins with.
    pub fn detect(head: &[u8]) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.magics.iter().any(|magic| head.starts_with(magic)))
    }
}
