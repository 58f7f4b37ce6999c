//! The manifest of a process's memory, made when the process runs on: to hash takes longer than to copy, and nothing that was
//! stopped waits for it. What is in files is read again; what went into a pipe was hashed on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use anyhow::{Context, anyhow};
use memdump_image::manifest::{
    FileRecord, ImageFile, ProcessRecord, RegionHasher, RegionRecord, hash_regions,
};
use memdump_image::{
    Chunk, Content, ExtentSet, Facts, Hole, MemoryMap, Plan, Region, Space, Summary,
};
use memdump_live::process::Capture;
use memdump_sink::{Hashed, Request, sha256_of_file};

use crate::args::InputArgs;
use crate::commands::manifest::{Beside, SPLIT, Times, Written, image_file, is_file, named_image};
use crate::commands::open;
use crate::commands::write::default_readers;
use crate::signals::StopFlag;

/// More zeros that nobody touched than this are not hashed: some programs reserve terabytes, and a file of them is a gap.
const MAX_ZEROS: u64 = 16 << 30;

/// What is to be done when no process waits any more.
pub(super) type Later = Box<dyn FnOnce(&StopFlag) -> anyhow::Result<()>>;

/// Hashes of what is copied.
pub(super) struct Hashes {
    /// The regions, without what is not taken of them.
    map: MemoryMap,
    /// Bytes that were not read, by the starts of regions.
    zeros: BTreeMap<u64, u64>,
    /// Where the image cannot be read again.
    on_the_way: Option<RegionHasher>,
}

impl Hashes {
    /// For what `plan` takes, to be written as `request` says.
    pub(super) fn new(plan: &Plan, request: &Request) -> Self {
        let map = plan.map.clip(&plan.extents().collect::<ExtentSet>());
        let on_the_way = (!is_file(request)).then(|| RegionHasher::new(map.clone()));
        Self { map, zeros: BTreeMap::new(), on_the_way }
    }

    /// Whether the image is hashed while it is written.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.on_the_way.is_some()
    }

    /// A chunk of the copy.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>) {
        if let Some(hasher) = &mut self.on_the_way {
            hasher.chunk(chunk);
        }
        if let (Content::Zero { len } | Content::Hole { len, .. }, Some(region)) =
            (chunk.content, self.map.find(chunk.addr))
        {
            *self.zeros.entry(region.extent.start()).or_default() += len;
        }
    }

    /// The core's file and its regions. `hashed` is what was hashed on the way.
    pub(super) fn of_core(
        self,
        request: &Request,
        compression: Option<&str>,
        hashed: Option<Hashed>,
        stop: &StopFlag,
    ) -> anyhow::Result<(ImageFile, Vec<RegionRecord>)> {
        if let (Some(hasher), Some(hashed)) = (self.on_the_way, hashed) {
            let image = image_file(request, "core", compression, hashed)?;
            return Ok((image, hasher.finish(false)));
        }
        let path = Path::new(&request.target);
        let failed = || unhashed(path);
        let file = File::open(path).with_context(failed)?;
        let size = file.metadata().with_context(failed)?.len();
        let is_gap = compression.is_none() && self.zeros.values().sum::<u64>() > MAX_ZEROS;
        let zeros = |region: &Region| self.zeros.get(&region.extent.start()).copied().unwrap_or(0);
        let (digest, regions) = thread::scope(|scope| {
            let digest = scope.spawn(|| match is_gap {
                true => Ok(None),
                false => sha256_of_file(&file, |_| stop.check()).map(Some),
            });
            let how = InputArgs { input_format: Some("core".into()), ..InputArgs::default() };
            let regions = open::open(path, &how).map(|opened| {
                let wants = |region: &Region| zeros(region) <= MAX_ZEROS;
                let goes_on = || !stop.is_set();
                hash_regions(&*opened.image.space, &self.map, default_readers(), &wants, &goes_on)
            });
            (digest.join(), regions)
        });
        let regions = regions
            .with_context(failed)?
            .map_err(|(addr, cause)| anyhow!("{}: at {addr:#x}: {cause}", unhashed(path)))?;
        let sha256 = digest.map_err(|_| anyhow!("the hashing of the core failed"))?;
        let sha256 = sha256.with_context(failed)?;
        stop.check().with_context(failed)?;
        let image = named_image(request, "core", compression, size, sha256);
        Ok((image, regions))
    }

    /// The files that `extents` went to, each to one of its own, and its regions, which have no hash beside the file's.
    pub(super) fn of_files(
        self,
        folder: &Path,
        names: Vec<String>,
        stop: &StopFlag,
    ) -> anyhow::Result<(ImageFile, Vec<RegionRecord>)> {
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(&name);
            let failed = || unhashed(&path);
            let file = File::open(&path).with_context(failed)?;
            let metadata = file.metadata().with_context(failed)?;
            // st_blocks counts 512 bytes each, whatever the file system's are.
            let gap = metadata.len().saturating_sub(metadata.blocks() * 512);
            let sha256 = match gap > MAX_ZEROS {
                true => None,
                false => Some(sha256_of_file(&file, |_| stop.check()).with_context(failed)?),
            };
            files.push(FileRecord { name, size: metadata.len(), sha256 });
        }
        let image = ImageFile {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: SPLIT.to_owned(),
            size: files.iter().map(|file| file.size).sum(),
            files,
            ..ImageFile::default()
        };
        Ok((image, self.map.regions().iter().map(RegionRecord::unhashed).collect()))
    }
}

/// What is said where the memory was taken, and a manifest cannot be made.
fn unhashed(path: &Path) -> String {
    format!("{} is whole, but has no manifest: it could not be hashed", path.display())
}

/// What else a manifest says.
pub(super) struct Record {
    source: String,
    space: Space,
    facts: Facts,
    times: Times,
    process: ProcessRecord,
}

impl Record {
    /// Of a process that runs on.
    pub(super) fn new(capture: &Capture, times: Times) -> Self {
        let target = capture.target();
        Self {
            source: format!("process {} ({})", target.pid(), target.name()),
            space: capture.plan.map.space(),
            facts: capture.plan.facts.clone(),
            times,
            process: ProcessRecord {
                pid: target.pid(),
                name: target.name(),
                pause: capture.pause().name().to_owned(),
                pause_seconds: capture.paused().as_secs_f64(),
            },
        }
    }

    /// Writes the manifest, of the files and regions as far as those could be `hashed`.
    pub(super) fn write(
        self,
        beside: Beside,
        hashed: anyhow::Result<(ImageFile, Vec<RegionRecord>)>,
        summary: &Summary,
        missing: &[Hole],
    ) -> anyhow::Result<()> {
        let (image, regions) = match hashed {
            Ok(hashed) => hashed,
            Err(error) => {
                beside.abandon();
                return Err(error);
            }
        };
        beside.write(Written {
            image,
            source: &self.source,
            space: self.space,
            facts: &self.facts,
            times: &self.times,
            summary,
            missing,
            regions,
            second_look: None,
            process: Some(self.process),
            kit: None,
        })
    }
}
