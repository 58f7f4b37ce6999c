//! Takes the memory of a Linux machine, its kernel or a process to an image, and converts images: what the command `memdump`
//! does, for programs.
//!
//! - A [`Target`] is memory to look into: a process, the machine, an image, any file.
//! - A [`Job`] is an image that is written: [`JobOptions`] say which, [`Source`] is the memory, and the [`Report`] says what was
//!   taken and what was not.
//! - The [`manifest`] records how an image came to be, with hashes that prove that it has not changed since.
//!
//! A process to a core; it is paused only while its memory is copied:
//!
//! ```
//! use memdump_acquire::{Destination, JobOptions, Source, Unattended};
//! use memdump_live::process::{Options, Pause, Process};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
//! # let (pid, directory) = (child.id(), tempfile::tempdir()?);
//! # let path = directory.path().join("core");
//! let job = JobOptions::core(Destination::file(&path)).open()?;
//! let mut capture = Process::find(pid)?.hold(Pause::Stop)?.capture(&Options::default())?;
//! let report = job.run(Source::process(&mut capture), &mut Unattended)?.finish(&|| false)?;
//! println!("{} bytes taken, {} holes", report.summary.bytes, report.missing.len());
//! # child.kill()?; child.wait()?;
//! # assert!(report.is_complete() && report.summary.bytes > 0);
//! # Ok(()) }
//! ```
//!
//! An image to another format:
//!
//! ```
//! use memdump_acquire::{Destination, InputImage, InputOptions, JobOptions, Source, Unattended};
//! use memdump_image::format::Format;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (old, new) = (directory.path().join("ram"), directory.path().join("ram.lime"));
//! # std::fs::write(&old, [7; 8192])?;
//! let image = InputImage::open(&old, &InputOptions::new().format("padded"))?;
//! let lime = Format::by_name("lime").ok_or("no such format")?;
//! let job = JobOptions::new(lime, Destination::file(&new)).open()?;
//! let report = job.run(Source::image(&image), &mut Unattended)?.finish(&|| false)?;
//! # assert_eq!(report.summary.bytes, 8192);
//! # assert_eq!(std::fs::metadata(&new)?.len(), 32 + 8192);
//! # Ok(()) }
//! ```
//!
//! Address spaces, the copy and the formats are in `memdump-image`; this machine and its processes in `memdump-live`; the places
//! that images go to in `memdump-sink`; looking into memory in `memdump-inspect`. The command adds arguments, messages and exit
//! statuses, and nothing else.

#![forbid(unsafe_code)]

mod error;
mod human;
mod input;
mod job;
mod kit;
mod machine;
pub mod manifest;
mod map_file;
mod report;
mod target;

pub use error::{Error, ErrorKind, Result};
pub use human::Human;
pub use input::{InputImage, InputOptions, readable_formats};
pub use job::{Done, Job, JobOptions, Monitor, Report, SPLIT, Source, Unattended, default_readers};
pub use machine::{MachineOptions, MachineSource};
pub use map_file::MapFile;
pub use memdump_sink::{Destination, DestinationError};
pub use report::holes_json;
pub use target::{Target, TargetKind, TargetName, TargetOptions};
