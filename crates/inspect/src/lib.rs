//! What the bytes of an address space mean: looking into memory, live or in an image.
//!
//! Everything here reads an [`AddressSpace`](memdump_image::AddressSpace) and does not know what is behind it. Not about
//! where it came from (`memdump-live`, `memdump-image`) nor about how it is shown (the command).

#![forbid(unsafe_code)]

pub mod diff;
pub mod hexdump;
pub mod kernel;
pub mod scan;
pub mod search;
pub mod text;
#[cfg(feature = "yara")]
pub mod yara;
