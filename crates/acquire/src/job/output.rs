//! The image that a job writes: one stream of bytes through its layers, or a file for each mapping.

use std::io;

use memdump_image::format::{Format, ImageWriter};
use memdump_image::{CopyError, Summary};
use memdump_sink::layer::{Compress, Count, Hash};
use memdump_sink::{Destination, OpenOptions, Receipt, Sink, SinkErrorKind};

use super::ending::{early_end, remains};
use super::options::JobOptions;
use super::split::Split;
use crate::error::{Context, Error, Result};
use crate::manifest::Beside;

/// An image that is being written.
pub(super) enum Output {
    One {
        destination: Destination,
        sink: Box<dyn Sink>,
        /// True if the bytes are hashed as they are written.
        is_hashed: bool,
        /// The word for it in messages: image or core.
        kind: &'static str,
    },
    Split(Split),
}

impl Output {
    /// Opens the image and then the files beside it, and puts the layers over the sink.
    pub(super) fn open(
        options: &JobOptions,
        destination: &Destination,
        beside: impl FnOnce() -> Result<Option<Beside>>,
    ) -> Result<(Self, Option<Beside>)> {
        let mut sink = destination.open(&OpenOptions::new().overwrite(options.overwrite))?;
        let beside = beside()?;
        let is_hashed =
            beside.is_some() && !(options.hashes_afterwards && destination.is_regular_file());
        if is_hashed {
            sink = Box::new(Hash::new(sink).context("cannot start a thread to hash")?);
        }
        sink = Box::new(Count::new(sink));
        if let Some(codec) = options.codec {
            sink = Box::new(Compress::new(sink, codec));
        }
        let kind = if options.hashes_afterwards { "core" } else { "image" };
        Ok((Self::One { destination: destination.clone(), sink, is_hashed, kind }, beside))
    }

    /// A writer of the format, which writes to the sink.
    pub(super) fn writer<'a>(&'a mut self, format: &Format) -> Box<dyn ImageWriter + 'a> {
        match self {
            Self::One { sink, .. } => (format.writer)(&mut **sink),
            Self::Split(split) => Box::new(split.writer()),
        }
    }

    /// The sink, for bytes that are written as they are.
    pub(super) fn sink(&mut self) -> Result<&mut dyn Sink> {
        match self {
            Self::One { sink, .. } => Ok(&mut **sink),
            Self::Split(_) => Err(Error::request("a directory of mappings is no file")),
        }
    }

    /// The place of it, for people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::One { destination, .. } => destination.to_string(),
            Self::Split(split) => split.directory().display().to_string(),
        }
    }

    /// Commits the image. The last bytes of a compressed image are written here.
    pub(super) fn commit(self, summary: &Summary) -> Result<Receipt> {
        let place = self.place();
        let (sink, kind) = match self {
            Self::Split(split) => return split.commit(),
            Self::One { sink, kind, .. } => (sink, kind),
        };
        sink.commit().map_err(|error| match error.leftover() {
            Some(leftover) if error.kind() != SinkErrorKind::NotRenamed => {
                let remains = remains(leftover.clone(), kind);
                let cause = io::Error::new(error.cause().kind(), error.cause().to_string());
                early_end(CopyError::Write(cause), summary, &place, &remains)
            }
            _ => error.into(),
        })
    }

    /// Ends without success. The error says which file is left.
    pub(super) fn failed(self, error: CopyError, summary: &Summary) -> Error {
        let place = self.place();
        let remains = match self {
            Self::One { sink, kind, .. } => remains(sink.abort(), kind),
            Self::Split(_) => format!("what is whole is in {place}"),
        };
        early_end(error, summary, &place, &remains)
    }
}
