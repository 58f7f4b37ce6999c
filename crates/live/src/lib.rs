//! The memory of the Linux machine that this runs on: its RAM, its kernel's virtual memory and its processes, or the
//! reason why one of them may not be read.
//!
//! Each of them is an [`AddressSpace`](memdump_image::AddressSpace): a map of regions, and a way to read at an address.
//! This crate knows no image format and no destination. `memdump-acquire` copies such memory to an image;
//! `memdump-inspect` looks into it in place.
//!
//! Mappings of a process, and how much of each is resident (root is not needed for a process of one's own):
//!
//! ```no_run
//! use memdump_live::process::{Filter, Process};
//!
//! let listing = Process::find(1234)?.list(&Filter::default())?;
//! for mapped in &listing.mapped {
//!     println!("{} {} {}", mapped.region.extent, mapped.resident, mapped.region.label);
//! }
//! # Ok::<(), memdump_live::process::ProcessError>(())
//! ```
//!
//! The first word of RAM, from the best source that this machine allows (root is needed):
//!
//! ```no_run
//! use memdump_image::AddressSpace;
//! use memdump_live::MemoryRequest;
//!
//! let memory = memdump_live::open(&MemoryRequest::physical())?;
//! let first = memory.space.map().regions().first().expect("some RAM").extent;
//! println!("{:#x}: {:#x}", first.start(), memory.space.read_word(first.start(), 8)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Next
//!
//! - [`open`] and [`MemoryRequest`]: physical and kernel memory. [`preflight`] says what would work, and reads no memory.
//! - [`process::Process`]: a process, which [`hold`](process::Process::hold) pauses and
//!   [`capture`](process::Held::capture) makes ready to be copied.
//! - [`process::snapshot`]: a copy of a process as of one instant.
//! - [`Reason`] and [`process::Remedy`]: what refused, and what helps.
//! - [`Kit`]: what symbols can be made from later, on another machine.

#![deny(unsafe_code)]

mod check;
mod kernel;
mod kit;
mod machine;
mod open;
mod physical;
mod proc;
pub mod process;
mod refusal;
#[allow(unsafe_code)]
mod sys;
mod tables;

pub use check::{Preflight, PreflightRange, PreflightSource, preflight};
pub use kit::{Kit, KitItem};
pub use machine::{here, peak_memory, since_boot};
pub use open::{Choice, MachineMemory, MemoryRequest, NoSource, Recheck, open};
pub use physical::{SOURCES, Source};
pub use refusal::{Reason, Refusal};
