//! The manifest of an image and its checksum, as files beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use memdump_image::{Facts, Hole, Space, Summary};
use memdump_sink::{Destination, OpenOptions, Sink};

use super::{
    Case, HoleRecord, ImageFile, Machine, Manifest, ProcessRecord, RegionRecord, SecondLook, Time,
    VERSION, timeline,
};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::kit::Packed;

/// The suffix that a manifest's name adds to that of the image.
const SUFFIX: &str = ".manifest.json";
const CHECKSUM_SUFFIX: &str = ".sha256";

/// The options for the manifest of an image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ManifestOptions {
    /// The place of the manifest.
    pub place: Place,
    /// The program that writes the image, and its version.
    pub tool: String,
    /// The command line as it is to be recorded. It must hold no secret.
    pub command: Vec<String>,
    /// The case that the image belongs to.
    pub case: Case,
}

/// The place of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// No manifest. Nothing is hashed.
    #[default]
    None,
    /// Beside an image that is a file: `IMAGE.manifest.json` and `IMAGE.sha256`. Any other image gets no manifest.
    Beside,
    /// A file of that name. If the image is a file, `IMAGE.sha256` is written beside it.
    File(PathBuf),
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            place: Place::None,
            tool: concat!("memdump-acquire ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: Vec::new(),
            case: Case::default(),
        }
    }
}

impl ManifestOptions {
    /// Options for a manifest beside each image that is a file.
    pub fn beside() -> Self {
        Self { place: Place::Beside, ..Self::default() }
    }
}

/// The files beside an image, opened before anything is read. If it is dropped, no file remains.
pub(crate) struct Beside {
    manifest: Box<dyn Sink>,
    /// The file for `sha256sum -c`. `None` if the image has no file name.
    checksum: Option<Box<dyn Sink>>,
    tool: String,
    command: Vec<String>,
    case: Case,
}

/// The facts about a finished image that its manifest records.
pub(crate) struct Written<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) times: &'a Times,
    pub(crate) image: ImageFile,
    pub(crate) summary: &'a Summary,
    pub(crate) missing: &'a [Hole],
    pub(crate) regions: Vec<RegionRecord>,
    pub(crate) second_look: Option<SecondLook>,
    pub(crate) kit: Option<Packed>,
}

/// The origin of the memory.
pub(crate) struct Origin {
    pub(crate) source: String,
    pub(crate) space: Space,
    pub(crate) facts: Facts,
    pub(crate) process: Option<ProcessRecord>,
}

/// A moment by two clocks: the calendar's, and the time since boot.
#[derive(Clone, Copy)]
struct Moment(Timestamp, Duration);

impl Moment {
    fn now() -> Self {
        Self(Timestamp::now(), memdump_live::since_boot())
    }
}

/// The time of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    start: Moment,
    end: Moment,
}

impl Times {
    /// The time of a copy that begins now.
    pub(crate) fn begin() -> Self {
        let now = Moment::now();
        Self { start: now, end: now }
    }

    /// Sets the end of the copy to now.
    pub(crate) fn end(&mut self) {
        self.end = Moment::now();
    }

    /// The start of the copy, in seconds since 1970 (UTC).
    pub(crate) fn start_seconds(&self) -> u64 {
        self.start.0.as_second().unsigned_abs()
    }

    fn record(&self) -> Time {
        Time {
            start: self.start.0.to_string(),
            end: self.end.0.to_string(),
            start_since_boot: self.start.1.as_secs_f64(),
            end_since_boot: self.end.1.as_secs_f64(),
        }
    }
}

impl Beside {
    /// Opens the manifest and the checksum file that the options ask for.
    pub(crate) fn open(
        options: &ManifestOptions,
        image: &Destination,
        overwrite: bool,
    ) -> Result<Option<Self>> {
        let manifest = match &options.place {
            Place::File(path) => Destination::parse(path.as_os_str())
                .map_err(|error| Error::request(error.to_string()))?,
            Place::Beside => match image.sibling(SUFFIX) {
                Some(manifest) => manifest,
                None => return Ok(None),
            },
            Place::None => return none_left(image, overwrite).map(|()| None),
        };
        Self::open_at(options, manifest, image.sibling(CHECKSUM_SUFFIX), overwrite).map(Some)
    }

    /// Opens the files beside an image that is a directory of files: `NAME.manifest.json` and `NAME.sha256` in it.
    pub(crate) fn open_in(
        options: &ManifestOptions,
        directory: &Path,
        name: &str,
        overwrite: bool,
    ) -> Result<Option<Self>> {
        if options.place == Place::None {
            return Ok(None);
        }
        let file = |suffix| Destination::file(directory.join(format!("{name}{suffix}")));
        Self::open_at(options, file(SUFFIX), Some(file(CHECKSUM_SUFFIX)), overwrite).map(Some)
    }

    fn open_at(
        options: &ManifestOptions,
        manifest: Destination,
        checksum: Option<Destination>,
        overwrite: bool,
    ) -> Result<Self> {
        let how = OpenOptions::new().overwrite(overwrite);
        let open = |destination: Destination| {
            destination.open(&how).with_context(|| format!("cannot write {destination}"))
        };
        Ok(Self {
            manifest: open(manifest)?,
            checksum: checksum.map(open).transpose()?,
            tool: options.tool.clone(),
            command: options.command.clone(),
            case: options.case.clone(),
        })
    }

    /// Writes the manifest and the checksum file, after the image.
    pub(crate) fn write(self, written: Written<'_>) -> Result<()> {
        let mut sums = String::new();
        let mut add = |name: &str, digest: &Option<String>| {
            sums.extend(digest.iter().map(|digest| sum(digest, name)));
        };
        add(&written.image.name, &written.image.sha256);
        written.image.files.iter().for_each(|file| add(&file.name, &file.sha256));
        if let Some(Packed { kit, is_beside: true }) = &written.kit {
            add(&kit.archive.name, &kit.archive.sha256);
        }
        let Origin { source, space, facts, process } = written.origin;
        let machine = facts.machine().map(str::to_owned);
        let Facts { host, release, version, boot_id, .. } = facts.clone();
        let manifest = Manifest {
            manifest: VERSION,
            tool: self.tool,
            command: self.command,
            case: self.case,
            machine: Machine { host, kernel: release, version, machine, boot_id },
            source: source.clone(),
            space: space.to_string(),
            time: written.times.record(),
            process: process.clone(),
            image: written.image,
            regions: written.regions,
            holes: written.missing.iter().map(HoleRecord::from).collect(),
            unlisted_holes: written.summary.holes.unlisted(),
            timeline: timeline(written.summary),
            second_look: written.second_look,
            kit: written.kit.map(|packed| packed.kit),
        };
        let put = |mut sink: Box<dyn Sink>, text: &str| -> Result<()> {
            sink.write_all(text.as_bytes()).context("cannot write the manifest")?;
            sink.commit()?;
            Ok(())
        };
        put(self.manifest, &manifest.to_json())?;
        match self.checksum {
            Some(sink) if !sums.is_empty() => put(sink, &sums),
            _ => Ok(()),
        }
    }
}

/// Refuses to overwrite an image without a new manifest if the old manifest would remain and describe the wrong image.
fn none_left(image: &Destination, overwrite: bool) -> Result<()> {
    let old = image.sibling(SUFFIX);
    let old = old.as_ref().and_then(Destination::path);
    match old.filter(|old| overwrite && old.exists()) {
        Some(old) => {
            let message = format!(
                "{} is of the image that would be overwritten, and would be wrong of the new {image}: remove it",
                old.display()
            );
            Err(Error::new(ErrorKind::StaleManifest, message))
        }
        None => Ok(()),
    }
}

/// The default path of an image's manifest, which is beside the image.
pub fn default_path(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Returns true if a file is a manifest by its name.
pub fn is_manifest(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(SUFFIX))
}

/// The path of the image that a manifest lies beside. `None` if the name is not that of a manifest.
pub fn image_of(manifest: &Path) -> Option<PathBuf> {
    Some(manifest.to_str()?.strip_suffix(SUFFIX)?.into())
}

/// A line for `sha256sum -c`. If a name has escapes, the line begins with a backslash.
fn sum(digest: &str, name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == name { "" } else { "\\" };
    format!("{mark}{digest}  {escaped}\n")
}
