//! Compression of whole images: a row each in [`CODECS`]. Formats that compress parts of themselves do it on their own.
//!
//! An image is cut into blocks, and all CPUs compress blocks at once. Each block is a complete file for the usual program, and that
//! program takes several such files in a row for one. A zstd file ends with a table of its blocks (`seekable.rs`), so that an
//! address can be read without decompressing everything before it.

mod compressor;
mod rewinding;
mod row;
mod seekable;

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::ReadAt;
pub use compressor::Compressor;
use rewinding::Rewinding;
pub use row::Codec;
use seekable::Seekable;

/// Every codec. The first is the best.
pub static CODECS: &[Codec] = &[
    Codec {
        name: "zstd",
        suffix: "zst",
        magics: &[b"\x28\xb5\x2f\xfd"],
        block: |bytes| {
            let mut encoder = zstd::Encoder::new(Vec::with_capacity(bytes.len() / 2), LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
            encoder.write_all(bytes)?;
            encoder.finish()
        },
        table: seekable::table,
        decoder: |packed| Ok(Box::new(zstd::Decoder::new(packed)?)),
    },
    Codec {
        name: "lz4",
        suffix: "lz4",
        magics: &[b"\x04\x22\x4d\x18"],
        block: |bytes| {
            let mut info = lz4_flex::frame::FrameInfo::new();
            info.content_checksum = true;
            info.block_size = lz4_flex::frame::BlockSize::Max1MB;
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(bytes)?;
            encoder.finish().map_err(io::Error::other)
        },
        table: |_| Vec::new(),
        decoder: |packed| Ok(Box::new(Frames(lz4_flex::frame::FrameDecoder::new(packed)))),
    },
    Codec {
        name: "gzip",
        suffix: "gz",
        magics: &[b"\x1f\x8b"],
        block: |bytes| {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes)?;
            encoder.finish()
        },
        table: |_| Vec::new(),
        decoder: |packed| Ok(Box::new(flate2::read::MultiGzDecoder::new(packed))),
    },
];

/// The level of zstd. It is near the speed of a disk; higher levels gain little on memory.
const LEVEL: i32 = 1;

impl Codec {
    /// Returns the codec of that name.
    pub fn by_name(name: &str) -> Option<&'static Codec> {
        CODECS.iter().find(|codec| codec.name == name)
    }

    /// Returns the codec of a file that begins with `head`.
    pub fn detect(head: &[u8]) -> Option<&'static Codec> {
        CODECS.iter().find(|codec| codec.magics.iter().any(|magic| head.starts_with(magic)))
    }
}

/// Returns the decompressed content of a file, and its codec. A file that is not compressed is returned as it is.
///
/// The memory in use is bounded, whatever the file says. Reading backwards takes time if the file has no table of blocks.
///
/// # Errors
/// If the file cannot be read.
pub fn unpacked(file: Arc<dyn ReadAt>) -> io::Result<(Option<&'static Codec>, Arc<dyn ReadAt>)> {
    let mut head = [0; 8];
    let read = file.read_at(0, &mut head)?;
    let Some(codec) = Codec::detect(&head[..read]) else { return Ok((None, file)) };
    Ok(match Seekable::open(&file, codec)? {
        Some(seekable) => (Some(codec), Arc::new(seekable)),
        None => (Some(codec), Arc::new(Rewinding::new(file, codec))),
    })
}

/// Reads frame after frame to the end of the file. The decoder returns 0 at the end of each.
struct Frames<R: Read>(lz4_flex::frame::FrameDecoder<R>);

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Ok(self.0.read(buf)?),
            read => Ok(read),
        }
    }
}
