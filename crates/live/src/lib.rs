//! What is on this Linux machine: its physical memory, its kernel's virtual memory, its processes', and
//! the reasons why they may not be read.
//!
//! [`open`] gives an [`AddressSpace`](memdump_image::AddressSpace) and all that is known of it before
//! the first byte is taken. This crate knows no image format and no sink.

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
