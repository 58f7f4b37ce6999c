//! What is kept of how an image came to be, beside it: who, when, from where, what is in it and what is not, and hashes that
//! prove that it has not changed since.
//!
//! The layout is JSON, as `docs/manifest.schema.json` says. Not the image itself, and not how it is written to a file.

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

/// The version of the layout.
pub const VERSION: u32 = 1;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout: [`VERSION`].
    pub manifest: u32,
    /// The program that wrote the image, and its version.
    pub tool: String,
    /// Its command line.
    pub command: Vec<String>,
    /// What its user said of it.
    #[serde(default, skip_serializing_if = "Case::is_empty")]
    pub case: Case,
    /// The machine that it ran on.
    pub machine: Machine,
    /// Where the memory was read.
    pub source: String,
    /// Whose addresses these are: `physical`, `kernel`, `process N`.
    pub space: String,
    /// When it was read.
    pub time: Time,
    /// The process, where the memory is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// The image file.
    pub image: ImageFile,
    /// What the image has, in the order of addresses.
    pub regions: Vec<RegionRecord>,
    /// What of it has no content, and why.
    pub holes: Vec<HoleRecord>,
    /// Holes beyond those that are listed.
    pub unlisted_holes: u64,
    /// When each part was read.
    pub timeline: Vec<BlockTime>,
    /// How much had changed when a part was read once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
    /// Files that were taken with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<Kit>,
}

/// What a case is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Who took the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examiner: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Case {
    /// Whether nothing was said.
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

/// Two clocks: the calendar, which may be set meanwhile, and the time since boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// RFC 3339, UTC.
    pub start: String,
    /// RFC 3339, UTC.
    pub end: String,
    /// Seconds since boot, sleep included.
    pub start_since_boot: f64,
    /// Seconds since boot, sleep included.
    pub end_since_boot: f64,
}

/// A process, and what it had to bear.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its number.
    pub pid: u32,
    /// `comm`.
    pub name: String,
    /// How it was kept from changing its memory: `stop`, `snapshot`, `none`.
    pub pause: String,
    /// For how long it stood still.
    pub pause_seconds: f64,
}

/// The file of an image, or the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Its name, without folders; that of the folder where there are several files.
    pub name: String,
    /// Its format; `split` where each range of addresses has a file of its own.
    pub format: String,
    /// What it is compressed with as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, hexadecimal; none of several files, nor of one that is nearly all gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where there are several, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRecord>,
}

/// A file that belongs to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name, without folders.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hexadecimal; none of a file that is nearly all gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionRecord {
    /// Its first address.
    pub start: u64,
    /// The first beyond it.
    pub end: u64,
    /// What it is used for.
    pub kind: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// BLAKE3 of its bytes, hexadecimal; what has no content counts as zeros. None where nearly all of it was never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl RegionRecord {
    /// A region without a hash.
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
    /// Its first address.
    pub start: u64,
    /// The first beyond it.
    pub end: u64,
    /// Why: a word of [`Cause::name`].
    pub cause: String,
}

impl From<&Hole> for HoleRecord {
    fn from(hole: &Hole) -> Self {
        let Hole { extent, cause } = hole;
        Self { start: extent.start(), end: extent.end(), cause: Cause::name(*cause).to_owned() }
    }
}

/// When a part was read, in seconds from the start of the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockTime {
    /// Its first address.
    pub start: u64,
    /// The first beyond it.
    pub end: u64,
    /// When reading it began.
    pub from: f64,
    /// When reading it ended.
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
    /// What is in it, and what could not be had.
    pub files: Vec<KitFile>,
}

/// A file of the analysis kit: one that is there has a size and a SHA-256, any other says why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitFile {
    /// Its name in the archive.
    pub name: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why it is not in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What its reader should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Manifest {
    /// More than the manifest of any machine; a longer file is none.
    pub const MAX_LEN: u64 = 256 << 20;

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match manifest.manifest {
            VERSION => Ok(manifest),
            other => Err(format!("its layout is version {other}, this program knows {VERSION}")),
        }
    }

    /// It as JSON, a line for each part that is long.
    pub fn to_json(&self) -> String {
        // Maps with string keys and plain values: this cannot fail.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}
