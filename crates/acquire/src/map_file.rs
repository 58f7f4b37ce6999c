//! The map of the copied memory: a line `0xSTART 0xEND` for each run of addresses, END exclusive, as memdump(8) writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use memdump_image::Extent;

use crate::error::{Context, Result};

/// A map that is being written. Each line is written when its run of addresses ends, so that the map is right even if the program is killed.
#[derive(Default)]
pub struct MapFile {
    file: Option<File>,
    open: Option<Extent>,
}

impl MapFile {
    /// Creates the map at `path`; `-` is standard error. Without a path nothing is written.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let file = match path {
            None => None,
            Some(path) if path == "-" || path == "/dev/stderr" => {
                let stderr = io::stderr().as_fd().try_clone_to_owned();
                Some(stderr.context("cannot write the map to standard error")?.into())
            }
            Some(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(path)
                    .with_context(|| format!("cannot write the map to {}", path.display()))?;
                Some(file)
            }
        };
        Ok(Self { file, open: None })
    }

    /// Adds addresses that were copied. They must come in ascending order.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub fn extent(&mut self, extent: Extent) -> io::Result<()> {
        match self.open {
            Some(open) if open.end() == extent.start() => {
                self.open = Extent::half_open(open.start(), extent.end()).ok();
                Ok(())
            }
            _ => {
                self.close()?;
                self.open = Some(extent);
                Ok(())
            }
        }
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close(&mut self) -> io::Result<()> {
        match (&mut self.file, self.open.take()) {
            (Some(file), Some(extent)) => {
                writeln!(file, "{:#x} {:#x}", extent.start(), extent.end()).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot write the map: {error}"))
                })
            }
            _ => Ok(()),
        }
    }
}
