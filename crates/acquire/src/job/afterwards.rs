//! The hashes of an image. They are computed during the copy, or, for a process that is dumped to a file, after the process runs on:
//! hashing takes longer than copying, and must not prolong the pause.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use memdump_image::{Chunk, Content, ExtentSet, MemoryMap, Plan, Region};
use memdump_sink::{Destination, Hashed, sha256_of_file};

use super::options::{ImagePlace, JobOptions, default_readers};
use super::output::Output;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::input::{InputImage, InputOptions};
use crate::manifest::{FileRecord, ImageFile, RegionHasher, RegionRecord, hash_regions};

/// The format of an image that is a directory of files, in manifests.
pub const SPLIT: &str = "split";

/// The largest number of unpopulated bytes that are hashed. Some programs reserve terabytes, which are a gap in the file.
const MAX_ZEROS: u64 = 16 << 30;

/// The hashes of a copy.
pub(super) struct Afterwards {
    /// The regions. If they are hashed afterwards, without the memory that is not copied.
    map: MemoryMap,
    /// The number of bytes that were not read, by the start of the region.
    zeros: BTreeMap<u64, u64>,
    /// The hasher, if the bytes are hashed as they are written.
    on_the_way: Option<RegionHasher>,
    /// The file names in a directory, in address order.
    names: Vec<String>,
}

impl Afterwards {
    /// The hashes of a copy of `plan` to `output`. `is_process` is true for a live process.
    pub(super) fn new(plan: &Plan, output: &Output, is_process: bool) -> Self {
        let map = match is_process {
            true => plan.map.clip(&plan.extents().collect::<ExtentSet>()),
            false => plan.map.clone(),
        };
        let (is_hashed, names) = match output {
            Output::One { is_hashed, .. } => (*is_hashed, Vec::new()),
            Output::Split(split) => (false, split.names(plan)),
        };
        let on_the_way = is_hashed.then(|| RegionHasher::new(map.clone()));
        Self { map, zeros: BTreeMap::new(), on_the_way, names }
    }

    /// Adds a chunk of the copy.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>) {
        if let Some(hasher) = &mut self.on_the_way {
            hasher.chunk(chunk);
            return;
        }
        if let (Content::Zero { len } | Content::Hole { len, .. }, Some(region)) =
            (chunk.content, self.map.find(chunk.addr))
        {
            *self.zeros.entry(region.extent.start()).or_default() += len;
        }
    }

    /// The records of the image and its regions. `sent` is what was hashed during the copy.
    pub(super) fn finish(
        self,
        options: &JobOptions,
        sent: Option<&Hashed>,
        is_cut: bool,
        wants_stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(ImageFile, Vec<RegionRecord>)> {
        let destination = match &options.place {
            ImagePlace::Directory { path, .. } => return self.of_files(path, wants_stop),
            ImagePlace::One(destination) => destination,
        };
        if let (Some(hasher), Some(sent)) = (self.on_the_way, sent) {
            let image = written_image(options, destination, sent)?;
            return Ok((image, hasher.finish(is_cut)));
        }
        let Some(path) = destination.path() else {
            return Err(Error::failed("what was written cannot be read again to hash it"));
        };
        let rest = Self { on_the_way: None, map: self.map, zeros: self.zeros, names: self.names };
        rest.of_core(options, destination, path, wants_stop)
    }

    /// The records of a core in a file, which is read again: from front to back and region by region, at the same time.
    fn of_core(
        self,
        options: &JobOptions,
        destination: &Destination,
        path: &Path,
        wants_stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(ImageFile, Vec<RegionRecord>)> {
        let failed = || unhashed(path);
        let file = File::open(path).with_context(failed)?;
        let size = file.metadata().with_context(failed)?.len();
        let is_gap = options.codec.is_none() && self.zeros.values().sum::<u64>() > MAX_ZEROS;
        let zeros = |region: &Region| self.zeros.get(&region.extent.start()).copied().unwrap_or(0);
        let (digest, regions) = thread::scope(|scope| {
            let digest = scope.spawn(|| match is_gap {
                true => Ok(None),
                false => sha256_of_file(&file, |_| go_on(wants_stop)).map(Some),
            });
            let core = InputImage::open(path, &InputOptions::new().format("core"));
            let regions = core.map(|core| {
                let wants = |region: &Region| zeros(region) <= MAX_ZEROS;
                let readers = default_readers(None);
                hash_regions(core.space(), &self.map, readers, &wants, &|| !wants_stop())
            });
            (digest.join(), regions)
        });
        stopped(path, wants_stop)?;
        let regions = regions.with_context(failed)?.map_err(|(addr, cause)| {
            Error::failed(format!("{}: at {addr:#x}: {cause}", unhashed(path)))
        })?;
        let sha256 = digest.map_err(|_| Error::failed("the hashing of the core failed"))?;
        let sha256 = sha256.with_context(failed)?;
        Ok((image_record(options, destination, size, sha256), regions))
    }

    /// The records of the files in a directory, and of the regions, which have no hashes except those of the files.
    fn of_files(
        self,
        directory: &Path,
        wants_stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(ImageFile, Vec<RegionRecord>)> {
        let mut files = Vec::with_capacity(self.names.len());
        for name in self.names {
            let path = directory.join(&name);
            let failed = || unhashed(&path);
            let file = File::open(&path).with_context(failed)?;
            let metadata = file.metadata().with_context(failed)?;
            // st_blocks counts 512 bytes each, whatever the block size of the file system is.
            let gap = metadata.len().saturating_sub(metadata.blocks() * 512);
            let sha256 = match gap > MAX_ZEROS {
                true => None,
                false => {
                    let digest = sha256_of_file(&file, |_| go_on(wants_stop));
                    stopped(&path, wants_stop)?;
                    Some(digest.with_context(failed)?)
                }
            };
            files.push(FileRecord { name, size: metadata.len(), sha256 });
        }
        let image = ImageFile {
            name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: SPLIT.to_owned(),
            size: files.iter().map(|file| file.size).sum(),
            files,
            ..ImageFile::default()
        };
        Ok((image, self.map.regions().iter().map(RegionRecord::unhashed).collect()))
    }
}

/// The record of an image that was hashed during the copy. If parts of the file were overwritten, it is read again.
fn written_image(
    options: &JobOptions,
    destination: &Destination,
    sent: &Hashed,
) -> Result<ImageFile> {
    let digest =
        match (&sent.sha256, destination.path()) {
            (Some(digest), _) => digest.clone(),
            (None, Some(path)) => File::open(path)
                .and_then(|file| sha256_of_file(&file, |_| Ok(())))
                .with_context(|| format!("cannot read {} again, to hash it", path.display()))?,
            (None, None) => return Err(Error::failed("what was written over cannot be hashed")),
        };
    Ok(image_record(options, destination, sent.size, Some(digest)))
}

/// The record of an image's file.
fn image_record(
    options: &JobOptions,
    destination: &Destination,
    size: u64,
    sha256: Option<String>,
) -> ImageFile {
    let name = match destination.is_regular_file() {
        true => destination.file_name().unwrap_or_default(),
        false if destination.is_stdout() => "-".to_owned(),
        false => destination.to_string(),
    };
    ImageFile {
        name,
        format: options.format.name.to_owned(),
        compression: options.codec.map(|codec| codec.name.to_owned()),
        size,
        sha256,
        files: Vec::new(),
    }
}

/// The message for an image that is written but cannot be hashed.
fn unhashed(path: &Path) -> String {
    format!("{} is whole, but has no manifest: it could not be hashed", path.display())
}

fn stopped(path: &Path, wants_stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    match wants_stop() {
        true => {
            let message = format!("{}: stopped by a signal", unhashed(path));
            Err(Error::new(ErrorKind::Stopped, message))
        }
        false => Ok(()),
    }
}

fn go_on(wants_stop: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
    if wants_stop() { Err(io::Error::other("stopped by a signal")) } else { Ok(()) }
}
