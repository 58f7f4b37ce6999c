//! Opens an image of any format that can be told by how it begins.

use std::io;
use std::sync::Arc;

use super::row::{Format, Image};
use super::table::FORMATS;
use crate::ReadAt;
use crate::codec::{self, Codec};
use crate::problem::{Field, FormatError, OpenMode, read_up_to};

/// Opens an image of any format, compressed or not, that can be told by how it begins.
///
/// # Errors
/// When the format is unknown, or the image is damaged; with [`OpenMode::Salvage`] only when nothing can be recovered.
pub fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<OpenedImage, OpenError> {
    let (codec, unpacked) = codec::unpacked(file)?;
    let mut head = [0; 16];
    let read = read_up_to(&*unpacked, 0, &mut head)?;
    let head = &head[..read];
    let detected = Format::detect(head);
    let Some((format, open)) = detected.and_then(|format| Some((format, format.open?))) else {
        // The start of a magic, and no more: it is known what was to come.
        let begun =
            |magic: &&[u8]| !head.is_empty() && magic.len() > read && magic.starts_with(head);
        if let Some(format) = FORMATS.iter().find(|format| format.magics.iter().any(begun)) {
            let magic = Field { format: format.name, field: "magic", offset: 0 };
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
    /// The codec that the whole file was compressed with.
    pub codec: Option<&'static Codec>,
    /// Its memory and facts.
    pub image: Image,
}

/// The reason that an image cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
