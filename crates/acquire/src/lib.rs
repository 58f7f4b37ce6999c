//! Dumps the memory of a Linux machine, its kernel or a process to an image, and converts images: what the command `memdump`
//! does, for programs.
//!
//! - A [`Target`] is memory to look into: a process, the machine, an image, any file.
//! - A [`Job`] writes one image. [`JobOptions`] describe the image, [`Source`] is the memory, and the [`Report`] lists what was
//!   copied and what is missing.
//! - The [`manifest`] records how an image was made, with hashes that prove that it has not changed since.
//!
//! Dump a process to a core. The process is paused only while its memory is copied:
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
//! println!("{} bytes copied, {} holes", report.summary.bytes, report.missing.len());
//! # child.kill()?; child.wait()?;
//! # assert!(report.is_complete() && report.summary.bytes > 0);
//! # Ok(()) }
//! ```
//!
//! Convert an image to another format:
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
//! Address spaces, the copy and the formats are in `memdump-image`, this machine and its processes in `memdump-live`,
//! destinations in `memdump-sink`, and searching memory in `memdump-inspect`. The command only adds arguments, messages and exit
//! statuses.

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
