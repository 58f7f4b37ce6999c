//! `memdump verify`: whether an image is what its manifest says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, bail};
use memdump_image::manifest::{Manifest, Verified, verify};
use memdump_image::{Extent, ExtentSet};
use memdump_sink::sha256;
use serde_json::json;

use super::manifest::default_path;
use super::open::{self, Opened};
use super::print;
use super::write::default_readers;
use crate::args::{InputArgs, VerifyArgs};
use crate::exit::Exit;
use crate::log;
use crate::progress::Progress;
use crate::size::Human;

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    log::init(0);
    let path = args.manifest.clone().unwrap_or_else(|| default_path(&args.image));
    if args.manifest.is_none() && !path.exists() {
        bail!(
            "there is no manifest {}: name one, or look at the structure alone (memdump info --scan {})",
            path.display(),
            args.image.display()
        );
    }
    let manifest = read(&path)?;
    let file = File::open(&args.image)
        .with_context(|| format!("cannot open the image {}", args.image.display()))?;
    let size = file.metadata().context("cannot look at the image")?.len();
    let opened = open(&args.image, &manifest);
    let total = size + manifest.regions.iter().map(|region| region.end - region.start).sum::<u64>();
    let progress = Mutex::new(Progress::new(args.progress, args.quiet, total));
    let advance = |done| {
        if let Ok(mut progress) = progress.lock() {
            progress.advance(done);
        }
    };
    // The hash of the file is one long chain: it has a thread of its own.
    let (digest, regions) = thread::scope(|scope| {
        let digest = scope.spawn(|| sha256(file, advance));
        let regions = opened
            .as_ref()
            .map(|opened| verify(&*opened.image.space, &manifest, default_readers(), &advance));
        (digest.join(), regions)
    });
    if let Ok(progress) = progress.lock() {
        progress.clear();
    }
    let Ok(digest) = digest else { bail!("the hashing of the image failed") };
    let digest = digest.context("cannot read the image")?;
    let problems = opened.as_ref().map(Opened::problems).unwrap_or_default();
    let report = Report { manifest: &manifest, size, digest, regions, problems };
    print(&if args.json { report.json() } else { report.text(&args.image) })?;
    Ok(if report.is_whole() { Exit::Complete } else { Exit::Failed })
}

fn read(path: &PathBuf) -> anyhow::Result<Manifest> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open the manifest {shown}"))?;
    let mut text = Vec::new();
    file.take(Manifest::MAX_LEN)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read the manifest {shown}"))?;
    Manifest::parse(&text).map_err(|error| anyhow::anyhow!("{shown} is no manifest: {error}"))
}

/// The image; a raw one by the map that the manifest is.
fn open(image: &Path, manifest: &Manifest) -> anyhow::Result<Opened> {
    if manifest.image.format != "raw" {
        // What is damaged is told by the hashes, region by region.
        let input_format = Some(manifest.image.format.clone());
        return open::open(
            image,
            &InputArgs { input_format, salvage: true, ..InputArgs::default() },
        );
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
    open::raw(image, &map)
}

struct Report<'a> {
    manifest: &'a Manifest,
    size: u64,
    digest: String,
    regions: Result<Verified, &'a anyhow::Error>,
    /// What is wrong with how it is laid out.
    problems: Vec<String>,
}

impl Report<'_> {
    fn is_whole(&self) -> bool {
        let image = &self.manifest.image;
        let is_same = self.size == image.size && self.digest == image.sha256;
        is_same && self.regions.as_ref().is_ok_and(|found| found.mismatches.is_empty())
    }

    fn json(&self) -> String {
        let image = &self.manifest.image;
        let mismatches = self.regions.as_ref().map_or(Vec::new(), |found| {
            let mismatch = found.mismatches.iter().map(|mismatch| {
                json!({
                    "start": mismatch.region.start(),
                    "end": mismatch.region.end(),
                    "problem": mismatch.problem,
                })
            });
            mismatch.collect()
        });
        let object = json!({
            "verified": self.is_whole(),
            "size": { "is": self.size, "should_be": image.size },
            "sha256": { "is": self.digest, "should_be": image.sha256 },
            "regions": self.regions.as_ref().map_or(0, |found| found.regions),
            "bytes": self.regions.as_ref().map_or(0, |found| found.bytes),
            "mismatches": mismatches,
            "problems": self.problems,
            "error": self.regions.as_ref().err().map(|error| format!("{error:#}")),
        });
        format!("{object}\n")
    }

    fn text(&self, path: &Path) -> String {
        let image = &self.manifest.image;
        let mut lines = Vec::new();
        let mut compare = |what: &str, is: &str, should_be: &str| {
            lines.push(match is == should_be {
                true => format!("ok       {what} {is}"),
                false => format!("DIFFERS  {what} {is}, the manifest says {should_be}"),
            });
        };
        compare("size", &self.size.to_string(), &image.size.to_string());
        compare("sha256", &self.digest, &image.sha256);
        lines.extend(self.problems.iter().map(|problem| format!("DAMAGED  {problem}")));
        match &self.regions {
            Err(error) => lines.push(format!("DAMAGED  it cannot be opened: {error:#}")),
            Ok(found) => {
                for mismatch in &found.mismatches {
                    let len = Human(mismatch.region.len());
                    let region = mismatch.region;
                    lines.push(format!("DIFFERS  {len} at {region}: {}", mismatch.problem));
                }
                let whole = found.regions - found.mismatches.len();
                let bytes = Human(found.bytes);
                lines
                    .push(format!("ok       {whole} of {} regions, {bytes} in all", found.regions));
            }
        }
        let shown = path.display();
        lines.push(match self.is_whole() {
            true => format!(
                "{shown} is what was taken of {} on {}",
                self.manifest.source, self.manifest.time.start
            ),
            false => format!("{shown} is NOT what was taken"),
        });
        lines.join("\n") + "\n"
    }
}
