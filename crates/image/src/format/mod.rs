//! The image formats: one file or folder each, writer and reader side by side, and one line each in
//! [`FORMATS`].
//!
//! Not about where the bytes go (any [`Output`]) nor what they mean.

use std::io;
use std::sync::Arc;

use crate::codec::{self, Codec};
use crate::{AddressSpace, Cause, Chunk, Facts, Output, Plan, ReadAt, ReadError, Space};

mod avml;
mod core;
mod elf;
mod fill;
mod kdump;
mod lime;
mod packed;
mod padded;
mod problem;
mod raw;
mod stretches;

pub use crate::holes::HoleEncoding;
pub use core::RECORD_LEN;
pub use elf::{ElfCore, NO_PADDR, Note, Segment, note, notes};
pub use kdump::open_parts;
pub use packed::{Packed, Packer};
pub use problem::{FormatError, OpenMode, Problems};
pub use raw::with_map;

/// Every format there is. Values of `--format`, its help, detection and the generic tests derive
/// from it; there is no other list.
pub static FORMATS: &[Format] = &[
    raw::FORMAT,
    padded::FORMAT,
    lime::FORMAT,
    avml::FORMAT,
    elf::FORMAT,
    kdump::ZSTD,
    kdump::ZLIB,
    kdump::SNAPPY,
    core::FORMAT,
];

/// The format of a process's core, for those that need no table: its row of [`FORMATS`] says the same.
pub static CORE: Format = core::FORMAT;

/// A row of [`FORMATS`].
#[derive(Debug)]
pub struct Format {
    /// What `--format` takes.
    pub name: &'static str,
    /// One line that says how memory lies in it.
    pub summary: &'static str,
    /// The programs that open it.
    pub opened_by: &'static str,
    /// What the format does where memory could not be read.
    pub hole_encoding: HoleEncoding,
    /// Whether it can hold addresses of a space.
    pub holds: fn(Space) -> bool,
    /// The size in bytes of the image of a plan, where no page of it is a hole; the most that it can be where the
    /// format [compresses](Self::compresses).
    pub size: fn(&Plan) -> u64,
    /// Whether the size of an image depends on what the memory holds.
    pub compresses: bool,
    /// Whether all pages of zeros take the room of one, and are told from what is missing: nothing is won by leaving them out.
    pub elides_zeros: bool,
    /// A writer of it.
    pub writer: for<'a> fn(&'a mut dyn Output) -> Box<dyn ImageWriter + 'a>,
    /// Opens an image of it; none where the file alone does not say what lies where.
    pub open: Option<Open>,
    /// The bytes that a file of it begins with, one of these; empty where there are none, and where
    /// another row opens such files.
    pub magics: &'static [&'static [u8]],
}

/// Reads an image's headers and makes its memory readable.
pub type Open = fn(Arc<dyn ReadAt>, OpenMode) -> Result<Image, FormatError>;

impl Format {
    /// The format of that name.
    pub fn by_name(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The format one of whose magics `head`, the start of a file, begins with.
    pub fn detect(head: &[u8]) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.magics.iter().any(|magic| head.starts_with(magic)))
    }
}

/// Lays memory out as a format wants it.
pub trait ImageWriter {
    /// What the writer does where memory could not be read.
    fn hole_encoding(&self) -> HoleEncoding;

    /// Writes what stands before the memory. Called once, first.
    fn begin(&mut self, plan: &Plan) -> io::Result<()>;

    /// What can be done with memory before its turn; none where it is written as it is. Asked once, after
    /// [`begin`](Self::begin).
    fn packer(&self) -> Option<Box<dyn Packer>> {
        None
    }

    /// Writes a chunk. They come in the order of [`Plan::extents`], do not overlap, and none reaches
    /// over the end of one of the plan's regions.
    fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()>;

    /// Writes, in its turn, a chunk whose bytes the [packer](Self::packer) has made `packed` of.
    fn packed(&mut self, chunk: &Chunk<'_>, _packed: Packed) -> io::Result<()> {
        self.chunk(chunk)
    }

    /// Writes what stands after the memory, and `record`, what is to be said of the copy, where the
    /// format has a place for it. Called once, last; chunks may have ended early.
    fn finish(&mut self, record: &str) -> io::Result<()>;
}

/// Opens an image of any format, compressed or not, that can be told by how it begins.
///
/// # Errors
/// When it begins as no image does, or is damaged; with [`OpenMode::Salvage`] when nothing can be made of it.
pub fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<OpenedImage, OpenError> {
    let (codec, unpacked) = codec::unpacked(file)?;
    let mut head = [0; 16];
    let read = problem::read_up_to(&*unpacked, 0, &mut head)?;
    let head = &head[..read];
    let detected = Format::detect(head);
    let Some((format, open)) = detected.and_then(|format| Some((format, format.open?))) else {
        // The start of a magic, and no more: it is known what was to come.
        let begun =
            |magic: &&[u8]| !head.is_empty() && magic.len() > read && magic.starts_with(head);
        if let Some(format) = FORMATS.iter().find(|format| format.magics.iter().any(begun)) {
            let magic = problem::Wanted { format: format.name, field: "magic", offset: 0 };
            return Err(magic.bad(format!("the file ends after {read} bytes of it")).into());
        }
        if let (Some(codec), []) = (codec, head) {
            let empty = format!("the {} stream ends before its first byte", codec.name);
            return Err(OpenError::Read(io::Error::new(io::ErrorKind::UnexpectedEof, empty)));
        }
        return Err(OpenError::Unknown { head: head[..read.min(8)].to_vec() });
    };
    let image = open(unpacked, mode)?;
    // Files of two formats begin alike: cores of processes and ELF images of machines.
    let space = image.space.map().space();
    let holder = || FORMATS.iter().find(|row| row.open.is_some() && (row.holds)(space));
    let format = if (format.holds)(space) { format } else { holder().unwrap_or(format) };
    Ok(OpenedImage { format, codec, image })
}

/// An image, and what it was found to be.
pub struct OpenedImage {
    /// Its format.
    pub format: &'static Format,
    /// What it was compressed with as a whole.
    pub codec: Option<&'static Codec>,
    /// What is in it.
    pub image: Image,
}

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It begins as no image does.
    #[error("it begins with {}, as no image format does that says so itself", hex(.head))]
    Unknown {
        /// Its first bytes.
        head: Vec<u8>,
    },
    /// It is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file cannot be read or unpacked.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
}

fn hex(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing".into(),
        bytes => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

/// An image that has been opened.
pub struct Image {
    /// Its memory.
    pub space: Box<dyn AddressSpace>,
    /// What it says of the machine it is of.
    pub facts: Facts,
    /// What is wrong with it; nothing, where it was opened strictly.
    pub problems: Problems,
}

/// What reading outside an image's regions gives.
fn not_in_image(addr: u64) -> ReadError {
    ReadError::Fault { addr, cause: Cause::NotOffered }
}
