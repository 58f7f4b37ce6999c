//! The formats of records: for each range of addresses a header, then its bytes (`lime`), or those compressed (`avml`).
//!
//! A file may have records of both, so they have one reader. Not about memory whose place in the file no record tells.

pub(super) mod avml;
mod find;
mod header;
pub(super) mod lime;
mod read;
mod search;
mod stream;
