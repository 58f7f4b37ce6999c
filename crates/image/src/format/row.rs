//! A row of the table of formats: what a format is called, what it can do, and how its images are written and opened.
//!
//! Not the table itself: each format makes its own row.

use std::sync::Arc;

use super::writer::ImageWriter;
use crate::problem::{FormatError, OpenMode, Problems};
use crate::{AddressSpace, Facts, HoleEncoding, Output, Plan, ReadAt, Space};

/// A row of [`FORMATS`](super::FORMATS).
#[derive(Debug)]
pub struct Format {
    /// Its name, as users give it.
    pub name: &'static str,
    /// One line that says how memory lies in it.
    pub summary: &'static str,
    /// The programs that open it.
    pub opened_by: &'static str,
    /// The way in which it shows memory that could not be read.
    pub hole_encoding: HoleEncoding,
    /// Returns true if it can hold addresses of a space.
    pub holds: fn(Space) -> bool,
    /// The size in bytes of the image of a plan, where no page of it is a hole; the most that it can be where the
    /// format [compresses](Self::compresses).
    pub size: fn(&Plan) -> u64,
    /// True if the size of an image depends on the content of the memory.
    pub compresses: bool,
    /// True if all pages of zeros take the room of one, and differ from missing ones, so that nothing is gained by leaving them out.
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

/// An image that has been opened.
pub struct Image {
    /// Its memory.
    pub space: Box<dyn AddressSpace>,
    /// The facts that it keeps of its machine or process.
    pub facts: Facts,
    /// The problems that were found; none if it was opened strictly.
    pub problems: Problems,
}
