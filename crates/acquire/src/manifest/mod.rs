//! The record of how an image was made, kept beside it: the examiner, the time, the source, the regions, the missing memory,
//! and hashes that prove that the image has not changed since.
//!
//! The layout is JSON, described by `docs/manifest.schema.json`. The image itself is not here, nor is the code that writes it.

mod beside;
mod hashes;
mod second_look;
mod verify;

use serde::{Deserialize, Serialize};

pub(crate) use beside::{Beside, Origin, Times, Written};
pub use beside::{ManifestOptions, Place, default_path, image_of, is_manifest};
pub use hashes::RegionHasher;
pub use second_look::{Sampler, SecondLook};
pub use verify::{Mismatch, Verified, hash_regions, verify};

use memdump_image::{Cause, Hole, Region, Summary};

/// The current version of the layout.
pub const VERSION: u32 = 1;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout: [`VERSION`].
    pub manifest: u32,
    /// The program that wrote the image, and its version.
    pub tool: String,
    /// The command line of that program.
    pub command: Vec<String>,
    /// The case that the user named.
    #[serde(default, skip_serializing_if = "Case::is_empty")]
    pub case: Case,
    /// The machine that the memory belongs to.
    pub machine: Machine,
    /// The source of the memory: a path, or a process.
    pub source: String,
    /// The address space: `physical`, `kernel` or `process N`.
    pub space: String,
    /// The time of the copy.
    pub time: Time,
    /// The process, if the memory is that of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// The image file.
    pub image: ImageFile,
    /// The regions in the image, in address order.
    pub regions: Vec<RegionRecord>,
    /// The memory without content, with the reasons.
    pub holes: Vec<HoleRecord>,
    /// The number of holes that are not listed.
    pub unlisted_holes: u64,
    /// The time at which each part was read.
    pub timeline: Vec<BlockTime>,
    /// The result of reading a sample of pages again after the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
    /// The analysis kit that was written with the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<Kit>,
}

/// The case that an image belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The case number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The examiner, who made the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examiner: Option<String>,
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Case {
    /// Returns true if no part of the case is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `uname -n`.
    pub host: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// `uname -v`.
    pub version: Option<String>,
    /// `uname -m`.
    pub machine: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
}

/// The time of a copy by two clocks: the calendar, which may be set meanwhile, and the time since boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// The start of the copy: RFC 3339, UTC.
    pub start: String,
    /// The end of the copy: RFC 3339, UTC.
    pub end: String,
    /// The start of the copy, in seconds since boot, sleep included.
    pub start_since_boot: f64,
    /// The end of the copy, in seconds since boot, sleep included.
    pub end_since_boot: f64,
}

/// A process, and how it was paused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The process ID.
    pub pid: u32,
    /// The `comm` of the process.
    pub name: String,
    /// The way in which it was paused: `stop`, `snapshot` or `none`.
    pub pause: String,
    /// The length of the pause, in seconds.
    pub pause_seconds: f64,
}

/// The file or files of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// The file name without directories. If there are several files, the name of their directory.
    pub name: String,
    /// The format; `split` if each address range has its own file.
    pub format: String,
    /// The compression of the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the file, in hexadecimal. Absent if there are several files, or if more than 16 GiB of it are a
    /// gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The individual files, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRecord>,
}

/// A file that belongs to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The file name without directories.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256, in hexadecimal. Absent if more than 16 GiB of the file are a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A region of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionRecord {
    /// The first address.
    pub start: u64,
    /// The end address (exclusive).
    pub end: u64,
    /// The kind of the region: what the memory is used for.
    pub kind: String,
    /// The name of the region.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The BLAKE3 of the region's bytes, in hexadecimal; memory without content counts as zeros. Absent if more than
    /// 16 GiB of the region are unpopulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl RegionRecord {
    /// The record of a region without a hash.
    pub fn unhashed(region: &Region) -> Self {
        Self::new(region, None)
    }

    fn new(region: &Region, hash: Option<blake3::Hash>) -> Self {
        Self {
            start: region.extent.start(),
            end: region.extent.end(),
            kind: region.kind.name().to_owned(),
            label: region.label.to_string(),
            blake3: hash.map(|hash| hash.to_hex().to_string()),
        }
    }
}

/// Memory without content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoleRecord {
    /// The first address.
    pub start: u64,
    /// The end address (exclusive).
    pub end: u64,
    /// The cause: a word of [`Cause::name`].
    pub cause: String,
}

impl From<&Hole> for HoleRecord {
    fn from(hole: &Hole) -> Self {
        let Hole { extent, cause } = hole;
        Self { start: extent.start(), end: extent.end(), cause: Cause::name(*cause).to_owned() }
    }
}

/// The time at which a part was read, in seconds from the start of the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockTime {
    /// The first address.
    pub start: u64,
    /// The end address (exclusive).
    pub end: u64,
    /// The time at which reading began.
    pub from: f64,
    /// The time at which reading ended.
    pub to: f64,
}

/// The timeline of a copy.
pub fn timeline(summary: &Summary) -> Vec<BlockTime> {
    let entry = |entry: &memdump_image::TimelineEntry| BlockTime {
        start: entry.extent.start(),
        end: entry.extent.end(),
        from: entry.read_from.as_secs_f64(),
        to: entry.read_to.as_secs_f64(),
    };
    summary.timeline.entries().iter().map(entry).collect()
}

/// The analysis kit: an archive beside the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kit {
    /// The archive.
    pub archive: FileRecord,
    /// The files in the archive, and those that could not be read.
    pub files: Vec<KitFile>,
}

/// A file of the analysis kit: either its size and SHA-256, or the reason why it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitFile {
    /// The name in the archive.
    pub name: String,
    /// The size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The SHA-256, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The reason why it is not in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// A note for the reader of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Manifest {
    /// The longest manifest that is read, in bytes. The manifest of any machine is shorter.
    pub const MAX_LEN: u64 = 256 << 20;

    /// Reads a manifest.
    ///
    /// # Errors
    /// If the text is not a manifest, or has another version.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match manifest.manifest {
            VERSION => Ok(manifest),
            other => Err(format!("its layout is version {other}, this program knows {VERSION}")),
        }
    }

    /// Returns the manifest as indented JSON.
    pub fn to_json(&self) -> String {
        // Maps with string keys and plain values: this cannot fail.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}
