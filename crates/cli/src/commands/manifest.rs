//! The manifest of an image and its checksum, written beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use memdump_image::manifest::{
    Case, HoleRecord, ImageFile, Machine, Manifest, ProcessRecord, RegionRecord, SecondLook, Time,
    VERSION, timeline,
};
use memdump_image::{Facts, Hole, Space, Summary};
use memdump_sink::{Hashed, Request, Sink, sha256_of_file};

use super::kit::Packed;
use crate::args::ManifestArgs;

/// Stands after the image's name.
const SUFFIX: &str = ".manifest.json";
const CHECKSUM_SUFFIX: &str = ".sha256";
/// The format of an image that is a folder of files.
pub(super) const SPLIT: &str = "split";

/// The files beside an image, opened before anything is read.
pub(super) struct Beside {
    manifest: Box<dyn Sink>,
    /// For `sha256sum -c`; none where the image has no name.
    checksum: Option<Box<dyn Sink>>,
    case: Case,
}

/// What was written, for the manifest.
pub(super) struct Written<'a> {
    pub(super) image: ImageFile,
    pub(super) source: &'a str,
    pub(super) space: Space,
    pub(super) facts: &'a Facts,
    pub(super) times: &'a Times,
    pub(super) summary: &'a Summary,
    pub(super) missing: &'a [Hole],
    pub(super) regions: Vec<RegionRecord>,
    pub(super) second_look: Option<SecondLook>,
    pub(super) process: Option<ProcessRecord>,
    pub(super) kit: Option<Packed>,
}

/// A moment by two clocks: the calendar's, and the time since boot.
#[derive(Clone, Copy)]
struct Moment(Timestamp, Duration);

impl Moment {
    fn now() -> Self {
        Self(Timestamp::now(), memdump_live::since_boot())
    }
}

/// When memory was copied.
#[derive(Clone, Copy)]
pub(super) struct Times {
    start: Moment,
    end: Moment,
}

impl Times {
    /// The copy begins.
    pub(super) fn begin() -> Self {
        let now = Moment::now();
        Self { start: now, end: now }
    }

    /// The copy is over.
    pub(super) fn end(&mut self) {
        self.end = Moment::now();
    }

    /// When it began, in seconds since 1970 (UTC).
    pub(super) fn start_seconds(&self) -> u64 {
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

/// Whether the image becomes a file with a name of its own.
pub(super) fn is_file(request: &Request) -> bool {
    let path = Path::new(&request.target);
    request.kind().name == "file" && fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// Opens what is wanted beside the image; `by_default` says whether it is where nothing is said.
pub(super) fn open(
    args: &ManifestArgs,
    request: &Request,
    by_default: bool,
) -> anyhow::Result<Option<Beside>> {
    let named = is_file(request);
    let path = match &args.manifest {
        Some(path) => path.clone(),
        None if by_default && named && !args.no_manifest => beside(&request.target, SUFFIX),
        None => return none_left(args, request).map(|()| None),
    };
    let checksum = named.then(|| beside(&request.target, CHECKSUM_SUFFIX));
    open_at(args, path, checksum, request.overwrite).map(Some)
}

/// Refuses to write an image without a manifest where one of the image before would then tell of the new one.
fn none_left(args: &ManifestArgs, request: &Request) -> anyhow::Result<()> {
    let old = beside(&request.target, SUFFIX);
    if args.no_manifest && request.overwrite && is_file(request) && old.exists() {
        let (old, image) = (old.display(), Path::new(&request.target).display());
        bail!(
            "{old} is of the image that would be overwritten, and would be wrong of the new {image}: remove it, or leave out --no-manifest"
        );
    }
    Ok(())
}

/// Opens a manifest, and a list for `sha256sum -c`.
pub(super) fn open_at(
    args: &ManifestArgs,
    manifest: PathBuf,
    checksum: Option<PathBuf>,
    overwrite: bool,
) -> anyhow::Result<Beside> {
    let open = |target: PathBuf| -> anyhow::Result<Box<dyn Sink>> {
        let shown = target.display().to_string();
        let request = Request { target: target.into(), overwrite };
        (request.kind().open)(&request).with_context(|| format!("cannot write {shown}"))
    };
    let manifest = open(manifest)?;
    let checksum = match checksum.map(open).transpose() {
        Ok(checksum) => checksum,
        Err(error) => {
            manifest.abort();
            return Err(error);
        }
    };
    let case = Case {
        number: args.case.clone(),
        examiner: args.examiner.clone(),
        notes: args.note.clone(),
    };
    Ok(Beside { manifest, checksum, case })
}

/// The files beside what is not one file but a folder's: `NAME.manifest.json` and `NAME.sha256` in it.
pub(super) fn open_in(
    args: &ManifestArgs,
    folder: &Path,
    name: &str,
    overwrite: bool,
) -> anyhow::Result<Option<Beside>> {
    if args.no_manifest {
        return Ok(None);
    }
    let path = |suffix| folder.join(format!("{name}{suffix}"));
    open_at(args, path(SUFFIX), Some(path(CHECKSUM_SUFFIX)), overwrite).map(Some)
}

/// What is known of the image's file. One that was written over here and there is read again.
pub(super) fn image_file(
    request: &Request,
    format: &str,
    compression: Option<&str>,
    hashed: Hashed,
) -> anyhow::Result<ImageFile> {
    let path = Path::new(&request.target);
    let digest = match hashed.sha256 {
        Some(digest) => digest,
        None => File::open(path)
            .and_then(|file| sha256_of_file(&file, |_| Ok(())))
            .with_context(|| format!("cannot read {} again, to hash it", path.display()))?,
    };
    Ok(named_image(request, format, compression, hashed.size, Some(digest)))
}

/// The record of an image's file.
pub(super) fn named_image(
    request: &Request,
    format: &str,
    compression: Option<&str>,
    size: u64,
    sha256: Option<String>,
) -> ImageFile {
    let path = Path::new(&request.target);
    let name = match is_file(request) {
        true => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        false => path.to_string_lossy().into_owned(),
    };
    let (format, compression) = (format.to_owned(), compression.map(str::to_owned));
    ImageFile { name, format, compression, size, sha256, files: Vec::new() }
}

/// A name with more behind it.
pub(super) fn beside(target: &OsString, suffix: &str) -> PathBuf {
    let mut name = target.clone();
    name.push(suffix);
    name.into()
}

/// The manifest that stands beside an image where nothing else is said.
pub(super) fn default_path(image: &Path) -> PathBuf {
    beside(&image.as_os_str().to_owned(), SUFFIX)
}

/// Whether a file is a manifest by its name.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(SUFFIX))
}

/// The image of a manifest that stands beside it.
pub(super) fn image_of(manifest: &Path) -> Option<PathBuf> {
    Some(manifest.to_str()?.strip_suffix(SUFFIX)?.into())
}

/// A line for `sha256sum -c`, which wants such names marked as have an escape.
fn sum(digest: &str, name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == name { "" } else { "\\" };
    format!("{mark}{digest}  {escaped}\n")
}

impl Beside {
    /// Writes both, after the image was.
    pub(super) fn write(self, written: Written<'_>) -> anyhow::Result<()> {
        let mut sums = String::new();
        let mut add = |name: &str, digest: &Option<String>| {
            sums.extend(digest.iter().map(|digest| sum(digest, name)));
        };
        add(&written.image.name, &written.image.sha256);
        written.image.files.iter().for_each(|file| add(&file.name, &file.sha256));
        if let Some(Packed { kit, is_beside: true }) = &written.kit {
            add(&kit.archive.name, &kit.archive.sha256);
        }
        let Facts { host, release, version, machine, boot_id, .. } = written.facts.clone();
        let manifest = Manifest {
            manifest: VERSION,
            tool: format!("memdump {}", env!("CARGO_PKG_VERSION")),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            case: self.case,
            machine: Machine { host, kernel: release, version, machine, boot_id },
            source: written.source.to_owned(),
            space: written.space.to_string(),
            time: written.times.record(),
            process: written.process,
            image: written.image,
            regions: written.regions,
            holes: written.missing.iter().map(HoleRecord::from).collect(),
            unlisted_holes: written.summary.holes.unlisted(),
            timeline: timeline(written.summary),
            second_look: written.second_look,
            kit: written.kit.map(|packed| packed.kit),
        };
        let put = |mut sink: Box<dyn Sink>, text: &str| -> anyhow::Result<()> {
            sink.write_all(text.as_bytes()).context("cannot write the manifest")?;
            Ok(sink.commit()?)
        };
        put(self.manifest, &manifest.to_json())?;
        match self.checksum {
            Some(sink) if !sums.is_empty() => put(sink, &sums),
            Some(sink) => {
                sink.abort();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Nothing was written.
    pub(super) fn abandon(self) {
        self.manifest.abort();
        if let Some(checksum) = self.checksum {
            checksum.abort();
        }
    }
}
