//! The manifest of an image and its checksum, written beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use memdump_image::manifest::{
    Case, HoleRecord, ImageFile, KitFile, Machine, Manifest, RegionRecord, SecondLook, Time,
    VERSION, timeline,
};
use memdump_image::{Facts, Hole, Space, Summary};
use memdump_sink::{Hashed, Request, Sink, sha256};

use crate::args::ManifestArgs;

/// Stands after the image's name.
const SUFFIX: &str = ".manifest.json";
const CHECKSUM_SUFFIX: &str = ".sha256";

/// The files beside an image, opened before anything is read.
pub(super) struct Beside {
    manifest: Box<dyn Sink>,
    /// For `sha256sum -c`; none where the image has no name.
    checksum: Option<Box<dyn Sink>>,
    case: Case,
    started: (Timestamp, Duration),
}

/// What was written, for the manifest.
pub(super) struct Written<'a> {
    pub(super) request: &'a Request,
    pub(super) format: &'a str,
    pub(super) compression: Option<&'a str>,
    pub(super) source: &'a str,
    pub(super) space: Space,
    pub(super) facts: &'a Facts,
    pub(super) summary: &'a Summary,
    pub(super) missing: &'a [Hole],
    pub(super) regions: Vec<RegionRecord>,
    pub(super) hashed: Hashed,
    pub(super) second_look: Option<SecondLook>,
    pub(super) kit: Vec<KitFile>,
}

/// Whether the image becomes a file with a name of its own.
fn is_file(request: &Request) -> bool {
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
        None => return Ok(None),
    };
    let open = |target: PathBuf| -> anyhow::Result<Box<dyn Sink>> {
        let shown = target.display().to_string();
        let request = Request { target: target.into(), overwrite: request.overwrite };
        (request.kind().open)(&request).with_context(|| format!("cannot write {shown}"))
    };
    let manifest = open(path)?;
    let checksum = match named {
        true => Some(open(beside(&request.target, CHECKSUM_SUFFIX))?),
        false => None,
    };
    let case = Case {
        number: args.case.clone(),
        examiner: args.examiner.clone(),
        notes: args.note.clone(),
    };
    let started = (Timestamp::now(), memdump_live::since_boot());
    Ok(Some(Beside { manifest, checksum, case, started }))
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

impl Beside {
    /// Writes both, after the image was.
    pub(super) fn write(self, written: Written<'_>) -> anyhow::Result<()> {
        let image = Path::new(&written.request.target);
        let name = match is_file(written.request) {
            true => image.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            false => image.to_string_lossy().into_owned(),
        };
        let digest = match written.hashed.sha256 {
            Some(digest) => digest,
            // It was written over here and there.
            None => {
                let file = File::open(image).context("cannot read the image again")?;
                sha256(file, |_| {}).context("cannot read the image again")?
            }
        };
        let Facts { host, release, machine, boot_id, .. } = written.facts.clone();
        let manifest = Manifest {
            manifest: VERSION,
            tool: format!("memdump {}", env!("CARGO_PKG_VERSION")),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            case: self.case,
            machine: Machine { host, kernel: release, machine, boot_id },
            source: written.source.to_owned(),
            space: written.space.to_string(),
            time: Time {
                start: self.started.0.to_string(),
                end: Timestamp::now().to_string(),
                start_since_boot: self.started.1.as_secs_f64(),
                end_since_boot: memdump_live::since_boot().as_secs_f64(),
            },
            image: ImageFile {
                name: name.clone(),
                format: written.format.to_owned(),
                compression: written.compression.map(str::to_owned),
                size: written.hashed.size,
                sha256: digest.clone(),
            },
            regions: written.regions,
            holes: written.missing.iter().map(HoleRecord::from).collect(),
            unlisted_holes: written.summary.holes.unlisted(),
            timeline: timeline(written.summary),
            second_look: written.second_look,
            kit: written.kit,
        };
        let put = |mut sink: Box<dyn Sink>, text: &str| -> anyhow::Result<()> {
            sink.write_all(text.as_bytes()).context("cannot write the manifest")?;
            Ok(sink.commit()?)
        };
        put(self.manifest, &manifest.to_json())?;
        match self.checksum {
            Some(sink) => put(sink, &format!("{digest}  {name}\n")),
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
