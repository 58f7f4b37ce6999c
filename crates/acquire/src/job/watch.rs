//! The observer of a copy: progress, the map, the hashes, and the moments at which a process may run on.

use std::io;

use memdump_image::{Chunk, Content, Extent, Observer, Summary};

use super::afterwards::Afterwards;
use super::monitor::Monitor;
use super::source::Source;
use crate::human::Human;
use crate::manifest::Sampler;
use crate::map_file::MapFile;

pub(super) struct Watch<'a, 's> {
    pub(super) monitor: &'a mut dyn Monitor,
    pub(super) map: MapFile,
    /// The hashes, if there is a manifest.
    pub(super) hashes: Option<&'a mut Afterwards>,
    /// The sample of pages, if they are to be read again.
    pub(super) sampler: Option<Sampler>,
    pub(super) source: Source<'s>,
}

impl Observer for Watch<'_, '_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        self.monitor.advance(chunk.len());
        if let Some(hashes) = &mut self.hashes {
            hashes.chunk(chunk);
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.chunk(chunk);
        }
        let extent = Extent::with_len(chunk.addr, chunk.len()).map_err(io::Error::other)?;
        match chunk.content {
            Content::Bytes(_) | Content::Zero { .. } => self.map.extent(extent),
            Content::Hole { cause, .. } => {
                tracing::info!("hole: {} at {extent}: {cause}", Human(extent.len()));
                Ok(())
            }
        }
    }

    fn wants_stop(&self) -> bool {
        self.monitor.wants_stop()
    }

    fn first_taken(&mut self) -> io::Result<()> {
        self.source.first_taken().map_err(io::Error::other)
    }

    fn all_taken(&mut self, summary: &Summary) -> io::Result<String> {
        self.source.all_taken(summary).map_err(io::Error::other)
    }
}
