//! The result of comparing an image with its manifest, as text and as JSON.

use std::path::PathBuf;

use memdump_acquire::manifest::{FileRecord, Manifest, Verified};
use serde_json::{Value, json};

use memdump_acquire::Human;

/// The check of a file that the manifest names.
pub(super) struct FileCheck {
    pub(super) record: FileRecord,
    /// The size of the file and, if the manifest has one, its SHA-256. `None` if there is no such file.
    pub(super) found: Result<Option<(u64, Option<String>)>, String>,
}

impl FileCheck {
    /// Returns true if the file exists and matches.
    fn is_same(&self) -> bool {
        matches!(&self.found, Ok(Some((size, digest)))
            if *size == self.record.size && *digest == self.record.sha256)
    }

    fn is_absent(&self) -> bool {
        matches!(self.found, Ok(None))
    }

    fn problem(&self) -> Option<String> {
        match &self.found {
            _ if self.is_same() => None,
            Err(problem) => Some(problem.clone()),
            Ok(None) => Some("there is no such file".into()),
            Ok(Some((size, _))) if *size != self.record.size => {
                Some(format!("it has {size} bytes, the manifest says {}", self.record.size))
            }
            Ok(Some(_)) => Some("its SHA-256 is another".into()),
        }
    }

    fn json(&self) -> Value {
        json!({ "name": self.record.name, "verified": self.is_same(), "problem": self.problem() })
    }
}

/// The result of checking an image.
pub(super) struct Report {
    pub(super) image: PathBuf,
    pub(super) manifest: Manifest,
    /// The size of the file, in bytes; 0 if there are several files.
    pub(super) size: u64,
    /// The SHA-256 of the file, if the manifest has one.
    pub(super) digest: Option<String>,
    /// The check of the regions, if the manifest has their hashes.
    pub(super) regions: Option<anyhow::Result<Verified>>,
    /// The problems with the layout of the image.
    pub(super) problems: Vec<String>,
    /// The checks of the individual files, if there are several.
    pub(super) files: Vec<FileCheck>,
    pub(super) kit: Option<FileCheck>,
}

impl Report {
    /// Returns true if the image matches its manifest. A kit must match if it is there, but it may lie elsewhere.
    pub(super) fn is_whole(&self) -> bool {
        let image = &self.manifest.image;
        let has_size = !image.files.is_empty() || self.size == image.size;
        let same_regions = self
            .regions
            .as_ref()
            .is_none_or(|regions| regions.as_ref().is_ok_and(|found| found.mismatches.is_empty()));
        has_size
            && self.digest == image.sha256
            && same_regions
            && self.files.iter().all(FileCheck::is_same)
            && self.kit.as_ref().is_none_or(|kit| kit.is_same() || kit.is_absent())
    }

    /// The result as JSON.
    pub(super) fn json(&self) -> Value {
        let image = &self.manifest.image;
        let found = self.regions.as_ref().and_then(|regions| regions.as_ref().ok());
        let error = self.regions.as_ref().and_then(|regions| regions.as_ref().err());
        let mismatches: Vec<Value> = found.map_or(Vec::new(), |found| {
            let mismatch = found.mismatches.iter().map(|mismatch| {
                json!({
                    "start": mismatch.region.start(),
                    "end": mismatch.region.end(),
                    "problem": mismatch.problem,
                })
            });
            mismatch.collect()
        });
        let mut object = json!({
            "image": self.image.to_string_lossy(),
            "verified": self.is_whole(),
            "regions": found.map_or(0, |found| found.regions),
            "bytes": found.map_or(0, |found| found.bytes),
            "mismatches": mismatches,
            "problems": self.problems,
            "error": error.map(|error| format!("{error:#}")),
            "files": self.files.iter().map(FileCheck::json).collect::<Vec<_>>(),
            "kit": self.kit.as_ref().map(FileCheck::json),
        });
        if image.files.is_empty() {
            object["size"] = json!({ "is": self.size, "should_be": image.size });
            object["sha256"] = json!({ "is": self.digest, "should_be": image.sha256 });
        }
        object
    }

    /// The result as text.
    pub(super) fn text(&self) -> String {
        let image = &self.manifest.image;
        let mut lines = Vec::new();
        let mut compare = |what: &str, is: &str, should_be: &str| {
            lines.push(match is == should_be {
                true => format!("ok       {what} {is}"),
                false => format!("DIFFERS  {what} {is}, the manifest says {should_be}"),
            });
        };
        if image.files.is_empty() {
            compare("size", &self.size.to_string(), &image.size.to_string());
        }
        if let (Some(is), Some(should_be)) = (&self.digest, &image.sha256) {
            compare("sha256", is, should_be);
        }
        lines.extend(self.problems.iter().map(|problem| format!("DAMAGED  {problem}")));
        match &self.regions {
            None => {}
            Some(Err(error)) => lines.push(format!("DAMAGED  it cannot be opened: {error:#}")),
            Some(Ok(found)) => {
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
        for file in self.files.iter().filter(|file| !file.is_same()) {
            let problem = file.problem().unwrap_or_default();
            lines.push(format!("DIFFERS  {}: {problem}", file.record.name));
        }
        if !self.files.is_empty() {
            let whole = self.files.iter().filter(|file| file.is_same()).count();
            let bytes = Human(self.manifest.image.size);
            lines.push(format!("ok       {whole} of {} files, {bytes} in all", self.files.len()));
        }
        if let Some(kit) = &self.kit {
            let name = &kit.record.name;
            lines.push(match kit.problem() {
                None => format!("ok       kit {name}"),
                Some(_) if kit.is_absent() => {
                    format!("unknown  kit {name}: it is not beside the manifest")
                }
                Some(problem) => format!("DIFFERS  kit {name}: {problem}"),
            });
        }
        let unhashed = self.unhashed();
        if unhashed > 0 {
            lines.push(format!("unknown  {unhashed} parts that are nearly all gaps have no hash"));
        }
        let shown = self.image.display();
        lines.push(match self.is_whole() {
            true => format!(
                "{shown} is what was taken of {} on {}",
                self.manifest.source, self.manifest.time.start
            ),
            false => format!("{shown} is NOT what was taken"),
        });
        lines.join("\n") + "\n"
    }

    /// The number of files and regions that have no hash, only a size.
    fn unhashed(&self) -> usize {
        let image = &self.manifest.image;
        match image.files.is_empty() {
            false => image.files.iter().filter(|file| file.sha256.is_none()).count(),
            // The hash of the file covers every region.
            true if image.sha256.is_some() => 0,
            true => self.manifest.regions.iter().filter(|region| region.blake3.is_none()).count(),
        }
    }
}
