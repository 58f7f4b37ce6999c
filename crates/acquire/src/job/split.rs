//! A directory with a file for each mapping of a process: `PID_mem_START.bin`, START in hexadecimal as in the maps,
//! and `PID_maps`. The offset in a file is the address minus START. Memory that cannot be read is filled with zeros.

use std::io;
use std::path::{Path, PathBuf};

use memdump_image::format::{HoleEncoding, ImageWriter};
use memdump_image::{Chunk, Content, Extent, Plan};
use memdump_sink::{Destination, OpenOptions, Receipt, Sink, SinkError};

use crate::error::{Context, Result};

/// A directory that gets a file for each mapping.
pub(super) struct Split {
    directory: PathBuf,
    pid: u32,
    how: OpenOptions,
    maps: Box<dyn Sink>,
    written: u64,
}

impl Split {
    /// Opens the file of the maps. The file of a mapping is opened when its turn comes.
    pub(super) fn open(directory: &Path, pid: u32, overwrite: bool) -> Result<Self> {
        let how = OpenOptions::new().overwrite(overwrite);
        let maps = Destination::file(directory.join(maps_name(pid))).open(&how)?;
        Ok(Self { directory: directory.to_owned(), pid, how, maps, written: 0 })
    }

    /// Writes the mappings as the kernel lists them.
    pub(super) fn write_maps(&mut self, maps: &[u8]) -> Result<()> {
        self.maps.write_all(maps).with_context(|| format!("cannot write {}", maps_name(self.pid)))
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The names of the files for `plan`, that of the maps first.
    pub(super) fn names(&self, plan: &Plan) -> Vec<String> {
        let mut names = vec![maps_name(self.pid)];
        names.extend(plan.extents().map(|extent| name(self.pid, extent)));
        names
    }

    /// Commits the maps. Each other file was committed when it was complete.
    pub(super) fn commit(self) -> Result<Receipt> {
        let mut receipt = self.maps.commit()?;
        receipt.written = Some(self.written);
        Ok(receipt)
    }

    pub(super) fn writer(&mut self) -> Writer<'_> {
        Writer { split: self, ahead: Vec::new(), open: None }
    }
}

fn maps_name(pid: u32) -> String {
    format!("{pid}_maps")
}

/// The file of an extent.
fn name(pid: u32, extent: Extent) -> String {
    format!("{pid}_mem_{:x}.bin", extent.start())
}

/// Writes a file for each extent of the plan.
pub(super) struct Writer<'a> {
    split: &'a mut Split,
    /// Extents that have not been begun, the next one last.
    ahead: Vec<Extent>,
    open: Option<(Extent, Box<dyn Sink>)>,
}

impl Writer<'_> {
    /// Ends the open file, and begins that of the next extent. Returns false if there is none.
    fn next(&mut self) -> Result<bool, SinkError> {
        if let Some((rest, mut sink)) = self.open.take() {
            sink.zeros(rest.len()).map_err(|error| self.failed(error))?;
            sink.commit()?;
        }
        let Some(extent) = self.ahead.pop() else { return Ok(false) };
        let path = self.split.directory.join(name(self.split.pid, extent));
        self.open = Some((extent, Destination::file(path).open(&self.split.how)?));
        Ok(true)
    }

    fn failed(&self, error: io::Error) -> SinkError {
        SinkError::new("write to", &self.split.directory, error)
    }
}

impl ImageWriter for Writer<'_> {
    fn hole_encoding(&self) -> HoleEncoding {
        HoleEncoding::Filled
    }

    fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        self.ahead = plan.extents().collect();
        self.ahead.reverse();
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        loop {
            if let Some((rest, sink)) = &mut self.open
                && rest.covers(extent)
            {
                sink.zeros(extent.start() - rest.start())?;
                match chunk.content {
                    Content::Bytes(bytes) => {
                        sink.write_all(bytes)?;
                        self.split.written += bytes.len() as u64;
                    }
                    Content::Zero { len } | Content::Hole { len, .. } => sink.zeros(len)?,
                }
                match Extent::half_open(extent.end(), rest.end()) {
                    Ok(after) => *rest = after,
                    Err(_) => {
                        if let Some((_, sink)) = self.open.take() {
                            sink.commit().map_err(io::Error::other)?;
                        }
                    }
                }
                return Ok(());
            }
            if !self.next().map_err(io::Error::other)? {
                return Err(io::Error::other(format!(
                    "memory at {extent} is not part of the plan"
                )));
            }
        }
    }

    fn finish(&mut self, _: &str) -> io::Result<()> {
        while self.next().map_err(io::Error::other)? {}
        Ok(())
    }
}
