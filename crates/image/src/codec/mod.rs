//! Compression of whole images: one line each in [`CODECS`]. Not formats that compress parts of themselves.
//!
//! An image is cut into blocks that are compressed by all CPUs at once, each so that the usual program
//! takes it for a whole file; put together they are what that program writes. A zstd file has the table of
//! its frames at the end (`seekable.rs`), so that an address can be read without unpacking what stands before.

mod compressor;
mod rewinding;
mod seekable;

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::{Output, ReadAt};
pub use compressor::Compressor;
use rewinding::Rewinding;
use seekable::Seekable;

/// Every compression there is, of which the first is the best.
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

/// Of zstd: near the speed of a disk; higher levels gain little on memory.
const LEVEL: i32 = 1;
/// Bytes of an image in a block.
const BLOCK_LEN: usize = 1 << 20;

/// What is read from front to back.
type Stream = Box<dyn Read + Send>;

/// A row of [`CODECS`].
#[derive(Debug)]
pub struct Codec {
    /// What `--compress` takes: the name of the usual program.
    pub name: &'static str,
    /// What stands after a dot in the names of its files.
    pub suffix: &'static str,
    /// What its files begin with.
    magics: &'static [&'static [u8]],
    /// Compresses a block.
    block: fn(&[u8]) -> io::Result<Vec<u8>>,
    /// What stands after the last block, by the sizes of all: compressed, and not.
    table: fn(&[(u32, u32)]) -> Vec<u8>,
    /// Unpacks from front to back.
    decoder: fn(Stream) -> io::Result<Stream>,
}

impl Codec {
    /// The codec of that name.
    pub fn by_name(name: &str) -> Option<&'static Codec> {
        CODECS.iter().find(|codec| codec.name == name)
    }

    /// The codec of a file that begins with `head`.
    pub fn detect(head: &[u8]) -> Option<&'static Codec> {
        CODECS.iter().find(|codec| codec.magics.iter().any(|magic| head.starts_with(magic)))
    }

    /// Starts a compressed file in `output`.
    ///
    /// ```
    /// use std::io::Write;
    /// use memdump_image::codec::Codec;
    ///
    /// let zstd = Codec::by_name("zstd").unwrap();
    /// let mut compressor = zstd.compressor(Vec::new());
    /// compressor.write_all(&[7; 1000])?;
    /// let file = compressor.finish()?;
    /// assert!(file.len() < 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn compressor<W: Output>(&'static self, output: W) -> Compressor<W> {
        Compressor::new(self, output)
    }
}

/// What a file holds when it is unpacked, and by what; the file itself when it is not compressed. Memory in use is bounded, whatever
/// the file says; reading backwards costs time where there is no table of blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn unpacked(file: Arc<dyn ReadAt>) -> io::Result<(Option<&'static Codec>, Arc<dyn ReadAt>)> {
    let mut head = [0; 8];
    let read = file.read_at(0, &mut head)?;
    let Some(codec) = Codec::detect(&head[..read]) else { return Ok((None, file)) };
    Ok(match Seekable::open(&file, codec)? {
        Some(seekable) => (Some(codec), Arc::new(seekable)),
        None => (Some(codec), Arc::new(Rewinding::new(file, codec))),
    })
}

/// Frame after frame to the end of the file: the decoder of one gives 0 at its end.
struct Frames<R: Read>(lz4_flex::frame::FrameDecoder<R>);

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Ok(self.0.read(buf)?),
            read => Ok(read),
        }
    }
}

/// A file as a stream from its front.
struct Front {
    file: Arc<dyn ReadAt>,
    at: u64,
}

impl Read for Front {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, buf)?;
        self.at += read as u64;
        Ok(read)
    }
}
