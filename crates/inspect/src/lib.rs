//! Looks into memory: strings, searches, hexdumps and comparisons of any address space, live or in an image.
//!
//! Everything takes a [`View`](memdump_image::View) (an address space, the addresses in it that matter, and the page
//! size), the options of the search, and a closure that gets its events. The closure returns
//! [`Flow::Continue`](scan::Flow::Continue) to go on, [`Flow::Stop`](scan::Flow::Stop) to end the search in order, or
//! an error. All CPUs search at once; events come one at a time, in ascending order of addresses.
//!
//! A search of a few bytes of memory:
//!
//! ```
//! use memdump_image::{AddressSpace, Extent, MemoryMap, ReadError, Region, RegionKind, Space, View};
//! use memdump_inspect::scan::Flow;
//! use memdump_inspect::search::{Event, Options, Pattern, Search};
//!
//! /// Memory at address 0x1000.
//! struct Ram(MemoryMap, &'static [u8]);
//!
//! impl AddressSpace for Ram {
//!     fn map(&self) -> &MemoryMap {
//!         &self.0
//!     }
//!
//!     fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
//!         let at = (addr - 0x1000) as usize;
//!         buf.copy_from_slice(&self.1[at..at + buf.len()]);
//!         Ok(buf.len())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = b"....\x7fELF....\x7fELF";
//! let region = Region::new(Extent::with_len(0x1000, bytes.len() as u64)?, RegionKind::Ram);
//! let ram = Ram(MemoryMap::new(Space::Physical, vec![region])?, bytes);
//!
//! let search = Search::new(&[Pattern::hex("7f 45 4c 46")?])?;
//! let mut found = Vec::new();
//! search.run(&View::new(&ram, 4096), &Options::default().context(2), &mut |event| {
//!     if let Event::Match(place) = event {
//!         found.push((place.addr, place.after.to_vec()));
//!     }
//!     Ok(Flow::Continue)
//! })?;
//! assert_eq!(found, [(0x1004, b"..".to_vec()), (0x100c, Vec::new())]);
//! # Ok(()) }
//! ```
//!
//! Next steps:
//!
//! - [`search`]: bytes, texts, expressions, numbers and pointers; `yara`: YARA rules (feature `yara`).
//! - [`text::strings`]: strings in several encodings; [`text::tally`]: how often each occurs.
//! - [`hexdump()`](hexdump::hexdump): memory as lines of addresses, bytes and text.
//! - [`diff()`](diff::diff): the changes between two views of memory.
//! - [`kernel`]: structures of the Linux kernel in physical memory.
//! - [`scan`]: a search of your own, with the threads and the order of the others.
//!
//! This crate does not know where memory comes from: images are opened by `memdump-image`, processes and machines by
//! `memdump-live`, and either by its name by `memdump-acquire`.

#![forbid(unsafe_code)]

pub mod diff;
pub mod hexdump;
pub mod kernel;
pub mod scan;
pub mod search;
pub mod text;
#[cfg(feature = "yara")]
pub mod yara;

/// The example of the README, which compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
