//! Memory images: address spaces to read from, formats to write to, and the copy between them.
//!
//! Live physical memory, the live kernel, a process and an image file are all an [`AddressSpace`]: a [`MemoryMap`] of regions and a
//! way to read at an address. [`copy()`] takes the memory that a [`Plan`] names out of one and hands it, in order, to an
//! [`ImageWriter`](format::ImageWriter).
//!
//! The crate asks the operating system for nothing but file reads, so an image can be examined on another machine than the one that
//! it was taken on.
//!
//! # Example
//!
//! Opens an image of any format, lists its regions, and converts it to a kdump file:
//!
//! ```
//! use std::io;
//! use std::sync::Arc;
//!
//! use memdump_image::format::{self, Format, OpenMode};
//! use memdump_image::{Chunk, CopyOptions, Observer, Plan, ReadAt, copy};
//!
//! /// An observer that lets the copy go on.
//! struct Silent;
//!
//! impl Observer for Silent {
//!     fn chunk(&mut self, _: &Chunk<'_>) -> io::Result<()> {
//!         Ok(())
//!     }
//!
//!     fn wants_stop(&self) -> bool {
//!         false
//!     }
//! }
//!
//! fn to_kdump(file: Arc<dyn ReadAt>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let image = format::open(file, OpenMode::Strict)?.image;
//!     for region in image.space.map().regions() {
//!         println!("{} {}", region.extent, region.kind);
//!     }
//!     let plan = Plan::whole(image.space.map().clone(), 4096, image.facts);
//!     let kdump = Format::by_name("kdump").ok_or("no such format")?;
//!     let mut output = Vec::new();
//!     let mut writer = (kdump.writer)(&mut output);
//!     let (summary, result) =
//!         copy(&*image.space, &plan, &mut *writer, &CopyOptions::default(), &mut Silent);
//!     result?;
//!     drop(writer);
//!     println!("{} bytes of memory, {} bytes missing", summary.bytes, summary.holes.total());
//!     Ok(output)
//! }
//!
//! // A LiME image of one page: its header, laid out by hand, then the page.
//! let mut lime = b"EMiL\x01\0\0\0".to_vec();
//! for word in [0x1000_u64, 0x1fff, 0] {
//!     lime.extend(word.to_le_bytes());
//! }
//! lime.extend([7; 4096]);
//! // A `std::fs::File` in an `Arc` does as well.
//! let kdump = to_kdump(Arc::new(lime))?;
//!
//! let image = format::open(Arc::new(kdump), OpenMode::Strict)?.image;
//! let mut byte = [0];
//! image.space.read_exact(0x1fff, &mut byte)?;
//! assert_eq!(byte, [7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to go next
//!
//! - [`format`](mod@format) opens images and lists the formats; [`codec`] is compression of whole files; [`elf`] reads ELF headers and notes.
//! - [`Plan`] says what is copied, [`CopyOptions`] how, and [`Summary`] what came of it, holes with their [`Cause`] included.
//! - [`View`] and [`blocks`] are for programs that look at memory without copying it, and [`PageTables`] translates addresses.
//! - `memdump-live` reads the memory of the machine that it runs on, `memdump-sink` writes files, `memdump-inspect` searches memory,
//!   and `memdump-acquire` joins them.

#![forbid(unsafe_code)]

mod arch;
pub mod buffer;
mod chunk;
pub mod codec;
mod copy;
pub mod elf;
mod exclude;
mod extent;
mod facts;
pub mod format;
mod holes;
mod map;
mod output;
mod page_tables;
mod plan;
mod problem;
mod read_at;
mod space;
mod view;
mod zero;

/// Reading in blocks, as the copy does, for programs that look at memory without copying it.
pub mod blocks {
    pub use crate::copy::{Block, Blocks, Piece, PieceContent, read_block};
}

pub use arch::Arch;
pub use chunk::{Cause, Chunk, Content, Hole};
pub use copy::{CopyError, CopyOptions, Observer, Summary, Timeline, TimelineEntry, copy};
pub use exclude::{Exclude, Excluding, PageUse, PageUses};
pub use extent::{Extent, ExtentError, ExtentSet};
pub use facts::{Facts, ProcessFacts, Registers, Thread, VmCoreInfo, XsaveComponent};
pub use holes::{HoleEncoding, HoleList, known_holes};
pub use map::{Backing, MapError, Mapping, MemoryMap, Permissions, Region, RegionKind, Space};
pub use output::Output;
pub use page_tables::{PageTables, PageTablesError, Translation};
pub use plan::Plan;
pub use problem::{FormatError, OpenMode, Problems};
pub use read_at::ReadAt;
pub use space::{AddressSpace, Presence, ReadError, Run};
pub use view::View;
pub use zero::is_zero;
