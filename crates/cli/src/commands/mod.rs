//! The subcommands, one file each, and the code that they share.

pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod generate;
pub(crate) mod hexdump;
pub(crate) mod info;
mod look;
pub(crate) mod map;
pub(crate) mod process;
pub(crate) mod search;
mod shown;
pub(crate) mod strings;
mod target;
pub(crate) mod verify;
mod writing;

use std::io::Write;

use anyhow::Context;

use crate::exit::ListingClosed;

/// Writes a listing to standard output. A broken pipe is not reported as an error.
fn print(listing: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(listing.as_bytes()).and_then(|()| stdout.flush()).context(ListingClosed)
}
