//! The image formats: one file or directory each, writer and reader side by side, and one line each in
//! [`FORMATS`].
//!
//! Not about where the bytes go (any [`Output`](crate::Output)) nor what they mean.

mod core;
mod fill;
mod kdump;
mod open;
mod packed;
mod padded;
mod raw;
mod records;
mod row;
mod stretches;
mod table;
mod vmcore;
mod writer;

pub use crate::holes::HoleEncoding;
pub use crate::problem::{FormatError, OpenMode, Problems};
pub use core::RECORD_LEN;
pub use kdump::open_parts;
pub use open::{OpenError, OpenedImage, open};
pub use packed::{Packed, Packer};
pub use raw::with_map;
pub use row::{Format, Image, Open};
pub use table::{CORE, FORMATS};
pub use writer::ImageWriter;
