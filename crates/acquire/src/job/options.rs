//! The options of a job: the image and the files beside it, before anything is opened.

use std::path::PathBuf;

use memdump_image::codec::Codec;
use memdump_image::format::{Format, HoleEncoding};
use memdump_image::{CopyOptions, Plan, Space};
use memdump_sink::Destination;

use super::source::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::human::Human;
use crate::manifest::ManifestOptions;

/// The largest default number of reader threads. More gain nothing with any known source.
const MAX_DEFAULT_READERS: usize = 4;
/// The largest size of a core's headers and notes, in bytes.
const CORE_MARGIN: u64 = 16 << 20;

/// The description of an image to write, before anything is opened.
#[derive(Clone, Debug)]
pub struct JobOptions {
    pub(super) format: &'static Format,
    pub(super) codec: Option<&'static Codec>,
    pub(super) place: ImagePlace,
    pub(super) overwrite: bool,
    pub(super) copy: CopyOptions,
    pub(super) manifest: ManifestOptions,
    pub(super) map: Option<PathBuf>,
    pub(super) kit: Option<PathBuf>,
    pub(super) second_look: Option<f64>,
    /// True if a file is hashed only after the process runs on.
    pub(super) hashes_afterwards: bool,
}

/// The place of an image.
#[derive(Clone, Debug)]
pub(super) enum ImagePlace {
    /// One stream of bytes.
    One(Destination),
    /// A file for each mapping of a process, in this directory.
    Directory { path: PathBuf, pid: u32 },
}

impl JobOptions {
    /// An image of `format` at `destination`, with the [default number of readers](default_readers).
    pub fn new(format: &'static Format, destination: Destination) -> Self {
        Self {
            format,
            codec: None,
            place: ImagePlace::One(destination),
            overwrite: false,
            copy: CopyOptions::default().readers(default_readers(Some(format))),
            manifest: ManifestOptions::default(),
            map: None,
            kit: None,
            second_look: None,
            hashes_afterwards: false,
        }
    }

    /// A core of a process at `destination`.
    pub fn core(destination: Destination) -> Self {
        Self { hashes_afterwards: true, ..Self::new(&memdump_image::format::CORE, destination) }
    }

    /// A file for each mapping of process `pid`, `PID_mem_START.bin` with START in hexadecimal, and `PID_maps`. The directory must
    /// exist.
    pub fn split(directory: impl Into<PathBuf>, pid: u32) -> Self {
        let path = directory.into();
        let mut options = Self::core(Destination::file(path.clone()));
        options.place = ImagePlace::Directory { path, pid };
        options.copy.readers = default_readers(None);
        options
    }

    /// Compresses the image as a whole.
    #[must_use]
    pub fn codec(mut self, codec: Option<&'static Codec>) -> Self {
        self.codec = codec;
        self
    }

    /// Replaces files that exist, if true.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// The number of threads that read. They also compress, if the format does.
    #[must_use]
    pub fn readers(mut self, readers: Option<usize>) -> Self {
        self.copy.readers = readers.unwrap_or(self.copy.readers);
        self
    }

    /// The size of a read, in bytes, from 1 to [`CopyOptions::MAX_READ_SIZE`].
    #[must_use]
    pub fn read_size(mut self, bytes: usize) -> Self {
        self.copy.read_size = bytes.clamp(1, CopyOptions::MAX_READ_SIZE);
        self
    }

    /// Copies only the first `bytes` bytes of memory.
    #[must_use]
    pub fn limit(mut self, bytes: Option<u64>) -> Self {
        self.copy.limit = bytes;
        self
    }

    /// Leaves out pages of zeros, if true and the format does not store them compactly anyway. They become holes.
    #[must_use]
    pub fn no_zeros(mut self, no_zeros: bool) -> Self {
        self.copy.no_zeros = no_zeros && !self.format.elides_zeros;
        self
    }

    /// The manifest of the image. There is none by default.
    #[must_use]
    pub fn manifest(mut self, manifest: ManifestOptions) -> Self {
        self.manifest = manifest;
        self
    }

    /// A file for the [map](crate::MapFile) of the copied memory. `-` is standard error.
    #[must_use]
    pub fn map(mut self, path: Option<PathBuf>) -> Self {
        self.map = path;
        self
    }

    /// An archive of everything that is needed to build symbols later. Only a running machine has one.
    #[must_use]
    pub fn kit(mut self, path: Option<PathBuf>) -> Self {
        self.kit = path;
        self
    }

    /// Reads about `percent` % of the pages again at the end, to count how many changed during the copy.
    #[must_use]
    pub fn second_look(mut self, percent: Option<f64>) -> Self {
        self.second_look = percent;
        self
    }

    /// Refuses a format that cannot hold addresses of `space`.
    ///
    /// # Errors
    /// [`ErrorKind::WrongFormat`].
    pub fn check_space(&self, space: Space) -> Result<()> {
        if (self.format.holds)(space) {
            return Ok(());
        }
        let message = format!("format {} cannot hold {space} addresses", self.format.name);
        Err(Error::new(ErrorKind::WrongFormat, message))
    }

    /// Fits the plan of `source` to this image, before anything is opened. Memory that is known to be missing becomes a gap if the
    /// format has gaps, and memory after the limit is cut off.
    pub fn fit(&self, source: &mut Source<'_>) {
        source.plan = source.take_plan().fitted(source.space, self.format.hole_encoding);
        // If holes are left out, the memory after a hole moves into its place, so the limit is counted while copying. Other formats
        // have headers that list the content beforehand.
        if let Some(limit) = self.copy.limit
            && self.format.hole_encoding != HoleEncoding::LeftOut
        {
            source.plan.map = source.plan.map.truncate(limit);
        }
    }

    /// Refuses a place with less room than the image of `source` needs, if both are known before the copy. The source is
    /// [fitted](Self::fit) first.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoom`].
    pub fn check_room(&self, source: &mut Source<'_>) -> Result<()> {
        self.fit(source);
        let plan = &source.plan;
        let taken = self.expected(plan);
        // The size of a dump with exclusions is known only at the end.
        if self.format.compresses || plan.is_thinned {
            return Ok(());
        }
        let needed = match self.format.hole_encoding {
            HoleEncoding::LeftOut => taken,
            // Gaps between regions take no room in a file.
            _ => (self.format.size)(plan).min(taken.saturating_add(1 << 20)),
        };
        self.refuse_less_room_than(needed, "image")
    }

    /// Returns true if both the room at the place and the size of an image are known.
    pub fn knows_room(&self) -> bool {
        match &self.place {
            ImagePlace::One(destination) => self.codec.is_none() && destination.room().is_some(),
            ImagePlace::Directory { .. } => false,
        }
    }

    /// Refuses a place with less room than the core of a process needs. `to_read` is the number of bytes of `plan` that are in
    /// memory or on swap. Unpopulated memory takes no room.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoom`].
    pub fn check_room_for_process(&self, plan: &Plan, to_read: u64) -> Result<()> {
        if let ImagePlace::Directory { .. } = self.place {
            return Ok(());
        }
        let needed = (self.format.size)(plan).min(to_read.saturating_add(CORE_MARGIN));
        self.refuse_less_room_than(needed, "core")
    }

    /// The largest number of bytes that a copy can have.
    pub(super) fn expected(&self, plan: &Plan) -> u64 {
        plan.total().min(self.copy.limit.unwrap_or(u64::MAX))
    }

    fn refuse_less_room_than(&self, needed: u64, kind: &str) -> Result<()> {
        let ImagePlace::One(destination) = &self.place else { return Ok(()) };
        match destination.room() {
            Some(room) if self.codec.is_none() && room < needed => Err(Error::new(
                ErrorKind::NoRoom,
                format!(
                    "not enough room for the {kind} at {destination}: it takes {}, and {} are free",
                    Human(needed),
                    Human(room)
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The default number of reader threads, for a writer of `format`.
pub fn default_readers(format: Option<&Format>) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    match format.is_some_and(|format| format.compresses) {
        true => cpus.min(CopyOptions::MAX_USEFUL_READERS),
        false => cpus.min(MAX_DEFAULT_READERS),
    }
}
