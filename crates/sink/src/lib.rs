//! The places that memory images go to.
//!
//! A [`Destination`] names the place. Opening it gives a [`Sink`], which takes bytes front to back and is then committed or aborted.
//! Dropping one is never success. [Layers](layer) around a sink hash, compress and count what passes. The kinds of sink are the rows
//! of [`SINKS`].
//!
//! This crate knows no image format and no source of memory. Formats are in `memdump-image`, sources in `memdump-live`, and
//! `memdump-acquire` joins them.
//!
//! ```
//! use std::io::Write;
//!
//! use memdump_sink::{Destination, OpenOptions, Sink, layer};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("image");
//! let destination = Destination::file(&path);
//! let sink = destination.open(&OpenOptions::new())?;
//! let mut sink = Box::new(layer::Hash::new(sink)?);
//! sink.write_all(b"memory")?;
//! assert!(!path.exists(), "it is called image.partial until it is complete");
//!
//! let receipt = sink.commit()?;
//! assert_eq!(receipt.size, 6);
//! assert!(receipt.sent.unwrap().sha256.unwrap().starts_with("c064fbca"));
//! assert_eq!(std::fs::read(&path)?, b"memory");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod destination;
mod digest;
mod error;
mod kinds;
pub mod layer;
mod receipt;
mod shown;
mod sink;

pub use destination::Destination;
pub use digest::{sha256, sha256_of_file};
pub use error::{DestinationError, SinkError, SinkErrorKind};
pub use kinds::{SINKS, SinkKind};
pub use receipt::{Hashed, Leftover, Receipt};
pub use sink::{OpenOptions, Sink};

/// The example of the README compiles too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
