//! `memdump verify`: checks an image, or all images in a directory, against their manifests.

mod report;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, bail};
use memdump_acquire::manifest::{
    FileRecord, Manifest, default_path, image_of, is_manifest, verify,
};
use memdump_acquire::{InputImage, InputOptions, SPLIT, default_readers};
use memdump_image::{Extent, ExtentSet};
use memdump_sink::sha256_of_file;
use serde_json::json;

use super::print;
use crate::args::VerifyArgs;
use crate::exit::Exit;
use crate::log;
use crate::progress::Progress;
use report::{FileCheck, Report};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    log::init(0);
    if args.image.is_dir() && args.manifest.is_none() {
        return folder(args);
    }
    let path = args.manifest.clone().unwrap_or_else(|| default_path(&args.image));
    if args.manifest.is_none() && !path.exists() {
        bail!(
            "there is no manifest {}: name one, or look at the structure alone (memdump info --scan {})",
            path.display(),
            args.image.display()
        );
    }
    let report = check(args, &args.image, &path)?;
    print(&if args.json { format!("{}\n", report.json()) } else { report.text() })?;
    Ok(exit(report.is_whole()))
}

fn exit(is_whole: bool) -> Exit {
    if is_whole { Exit::Complete } else { Exit::Failed }
}

/// Checks every image in a directory that has its manifest there.
fn folder(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let shown = args.image.display();
    let failed = || format!("cannot read the folder {shown}");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(&args.image).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if is_manifest(&path) {
            manifests.push(path);
        }
    }
    manifests.sort_unstable();
    if manifests.is_empty() {
        bail!("there is no manifest in the folder {shown}: name an image and its manifest");
    }
    let reports: Vec<Report> = manifests
        .iter()
        .map(|path| check(args, &image_of(path).unwrap_or_default(), path))
        .collect::<Result<_, _>>()?;
    let is_whole = reports.iter().all(Report::is_whole);
    let listing = match args.json {
        true => {
            let images: Vec<_> = reports.iter().map(Report::json).collect();
            format!("{}\n", json!({ "verified": is_whole, "images": images }))
        }
        false => reports.iter().map(Report::text).collect::<Vec<_>>().join("\n"),
    };
    print(&listing)?;
    Ok(exit(is_whole))
}

/// Compares an image with its manifest at `path`. If the image has several files, they are in the directory of the manifest.
fn check(args: &VerifyArgs, image: &Path, path: &Path) -> anyhow::Result<Report> {
    let manifest = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |record: &FileRecord| beside(folder, record);
    let kit = manifest.kit.as_ref().map(|kit| beside(&kit.archive));
    if manifest.image.format == SPLIT {
        let folder = if image.is_dir() { image } else { folder };
        let files =
            manifest.image.files.iter().map(|record| self::beside(folder, record)).collect();
        let image = folder.to_owned();
        let (digest, regions, problems) = (None, None, Vec::new());
        return Ok(Report { image, manifest, size: 0, digest, regions, problems, files, kit });
    }

    let file =
        File::open(image).with_context(|| format!("cannot open the image {}", image.display()))?;
    let metadata = file.metadata().context("cannot look at the image")?;
    if metadata.is_dir() {
        bail!(
            "{} is a folder, and {} the manifest of one file: name that",
            image.display(),
            path.display()
        );
    }
    let size = metadata.len();
    let wants_regions = manifest.regions.iter().any(|region| region.blake3.is_some());
    let opened = wants_regions.then(|| open(image, &manifest));
    let problems =
        opened.as_ref().and_then(|opened| opened.as_ref().ok()).map(InputImage::problems);
    let problems = problems.unwrap_or_default();
    let hashed = manifest.regions.iter().filter(|region| region.blake3.is_some());
    let total = hashed
        .map(|region| region.end.saturating_sub(region.start))
        .fold(size, u64::saturating_add);
    let progress = Mutex::new(Progress::new(args.progress, args.quiet, total));
    let advance = |done| {
        if let Ok(mut progress) = progress.lock() {
            progress.advance(done);
        }
    };
    // SHA-256 of the file cannot be split between threads, so it gets its own thread.
    let wanted = manifest.image.sha256.is_some();
    let (digest, regions) = thread::scope(|scope| {
        let read = |len| {
            advance(len);
            Ok(())
        };
        let digest = scope.spawn(move || wanted.then(|| sha256_of_file(&file, read)).transpose());
        let regions = opened.map(|opened| {
            opened.map(|opened| verify(opened.space(), &manifest, default_readers(None), &advance))
        });
        (digest.join(), regions)
    });
    if let Ok(progress) = progress.lock() {
        progress.clear();
    }
    let Ok(digest) = digest else { bail!("the hashing of the image failed") };
    let digest = digest.context("cannot read the image")?;
    let image = image.to_owned();
    let files = Vec::new();
    Ok(Report { image, manifest, size, digest, regions, problems, files, kit })
}

/// Checks a file that belongs to an image, in its directory.
fn beside(folder: &Path, record: &FileRecord) -> FileCheck {
    let path = Path::new(&record.name);
    let found = || -> Result<Option<(u64, Option<String>)>, String> {
        // A manifest must not lead to other directories.
        if path.file_name() != Some(path.as_os_str()) {
            return Err("the manifest names a path, and not a file".into());
        }
        let path = folder.join(path);
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => return Err("it is no regular file".into()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("it cannot be opened: {error}")),
        }
        let failed = |error| format!("it cannot be read: {error}");
        let file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let wanted = record.sha256.is_some();
        let digest =
            wanted.then(|| sha256_of_file(&file, |_| Ok(()))).transpose().map_err(failed)?;
        Ok(Some((size, digest)))
    };
    FileCheck { record: record.clone(), found: found() }
}

fn read(path: &Path) -> anyhow::Result<Manifest> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open the manifest {shown}"))?;
    let mut text = Vec::new();
    file.take(Manifest::MAX_LEN)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read the manifest {shown}"))?;
    Manifest::parse(&text).map_err(|error| anyhow::anyhow!("{shown} is no manifest: {error}"))
}

/// Opens the image. The manifest serves as the map of a raw one.
fn open(image: &Path, manifest: &Manifest) -> anyhow::Result<InputImage> {
    if manifest.image.format != "raw" {
        // Damage is not refused here: the hashes find it, region by region.
        let options = InputOptions::new().format(&manifest.image.format).salvage(true);
        return Ok(InputImage::open(image, &options)?);
    }
    let extents = |ranges: Vec<(u64, u64)>| -> ExtentSet {
        ranges.into_iter().filter_map(|(start, end)| Extent::half_open(start, end).ok()).collect()
    };
    let regions =
        extents(manifest.regions.iter().map(|region| (region.start, region.end)).collect());
    let holes = extents(manifest.holes.iter().map(|hole| (hole.start, hole.end)).collect());
    let map: String = regions
        .difference(&holes)
        .iter()
        .map(|run| format!("{:#x} {:#x}\n", run.start(), run.end()))
        .collect();
    Ok(InputImage::open_raw(image, &map)?)
}
