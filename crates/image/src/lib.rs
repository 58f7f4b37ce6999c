//! Address spaces, the copy loop, and the image formats.
//!
//! Live physical memory, the live kernel and an image file are all an [`AddressSpace`]: a
//! [`MemoryMap`] of regions and a way to read at an address. [`copy()`] takes what a [`Plan`] names
//! out of one and hands it, in order, to an [`ImageWriter`](format::ImageWriter).
//!
//! This crate is not about any machine: it asks the operating system for nothing but file reads,
//! so an analyst can use it elsewhere than where an image was taken. What is on *this* machine is
//! `memdump-live`; where bytes go is `memdump-sink`.

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

/// How the copy reads: for whoever looks at memory without copying it.
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
