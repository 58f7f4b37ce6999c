//! The ways in which a page is compressed.
//!
//! Every page stands for itself: no dictionary, no state between pages.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zstd::bulk::{Compressor, Decompressor};

use super::lzo;

/// `DUMP_DH_COMPRESSED_*` in `diskdump_mod.h`, which in a descriptor are what its page is.
mod flag {
    pub(super) const STORED: u32 = 0;
    pub(super) const ZLIB: u32 = 1;
    pub(super) const LZO: u32 = 2;
    pub(super) const SNAPPY: u32 = 4;
    pub(super) const ZSTD: u32 = 0x20;
}

/// The compression of a writer. A page that does not shrink is stored as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// zlib streams, level 1.
    Zlib,
    /// Raw snappy blocks.
    Snappy,
    /// One zstd frame each, level 1.
    Zstd,
}

/// As makedumpfile does (`Z_BEST_SPEED`): memory gains little from more.
const LEVEL: u32 = 1;

/// The state that is kept from page to page, because setting it up costs more than compressing a page.
#[derive(Default)]
struct Contexts {
    deflate: Option<Compress>,
    inflate: Option<Decompress>,
    snappy: Option<snap::raw::Encoder>,
    zstd: Option<Compressor<'static>>,
    unzstd: Option<Decompressor<'static>>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

impl Codec {
    /// The codec's bit, in a descriptor's `flags` and in the header's `status`.
    pub(super) fn flag(self) -> u32 {
        match self {
            Codec::Zlib => flag::ZLIB,
            Codec::Snappy => flag::SNAPPY,
            Codec::Zstd => flag::ZSTD,
        }
    }

    /// Appends `page` to `out`, compressed where that makes it shorter; how many bytes, and the
    /// flags of its descriptor.
    pub(super) fn pack(self, page: &[u8], out: &mut Vec<u8>) -> io::Result<(u32, u32)> {
        let start = out.len();
        // Room for less than the page: a codec that finds no place has not shrunk it. Snappy wants
        // room for the worst case.
        let room = match self {
            Codec::Snappy => snap::raw::max_compress_len(page.len()),
            Codec::Zlib | Codec::Zstd => page.len() - 1,
        };
        out.resize(start + room, 0);
        let packed = CONTEXTS
            .with_borrow_mut(|contexts| self.compress(contexts, page, &mut out[start..]))?;
        let (len, flags) = match packed.filter(|&len| len < page.len()) {
            Some(len) => (len, self.flag()),
            None => {
                out.truncate(start);
                out.extend(page);
                (page.len(), flag::STORED)
            }
        };
        out.truncate(start + len);
        Ok((len as u32, flags))
    }

    /// The number of bytes; none if they do not fit.
    fn compress(
        self,
        contexts: &mut Contexts,
        page: &[u8],
        out: &mut [u8],
    ) -> io::Result<Option<usize>> {
        match self {
            Codec::Zlib => {
                let new = || Compress::new(Compression::new(LEVEL), true);
                let deflate = contexts.deflate.get_or_insert_with(new);
                deflate.reset();
                let status = deflate.compress(page, out, FlushCompress::Finish)?;
                let is_whole = status == Status::StreamEnd;
                Ok(is_whole.then(|| deflate.total_out() as usize))
            }
            Codec::Snappy => {
                let snappy = contexts.snappy.get_or_insert_with(snap::raw::Encoder::new);
                snappy.compress(page, out).map(Some).map_err(io::Error::other)
            }
            Codec::Zstd => {
                let zstd = match &mut contexts.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Compressor::new(LEVEL.cast_signed())?),
                };
                // The only failure there is but no memory: `out` is too short.
                Ok(zstd.compress_to_buffer(page, out).ok())
            }
        }
    }
}

/// Fills `page` with what `packed` holds; none where that is damaged or of another length.
pub(super) fn unpack(flags: u32, packed: &[u8], page: &mut [u8]) -> Option<()> {
    let len = CONTEXTS.with_borrow_mut(|contexts| match flags {
        flag::STORED => {
            let is_whole = packed.len() == page.len();
            is_whole.then(|| page.copy_from_slice(packed))?;
            Some(packed.len())
        }
        flag::ZLIB => {
            let inflate = contexts.inflate.get_or_insert_with(|| Decompress::new(true));
            inflate.reset(true);
            let status = inflate.decompress(packed, page, FlushDecompress::Finish).ok()?;
            (status == Status::StreamEnd).then(|| inflate.total_out() as usize)
        }
        flag::LZO => lzo::decompress(packed, page).map(|()| page.len()),
        flag::SNAPPY => {
            // The decoder wants all the room that the block asks for.
            let fits = snap::raw::decompress_len(packed).ok()? == page.len();
            fits.then_some(())?;
            snap::raw::Decoder::new().decompress(packed, page).ok()
        }
        flag::ZSTD => {
            let zstd = match &mut contexts.unzstd {
                Some(zstd) => zstd,
                none => none.insert(Decompressor::new().ok()?),
            };
            zstd.decompress_to_buffer(packed, page).ok()
        }
        _ => None,
    });
    (len? == page.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_back_and_what_does_not_shrink_is_stored() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4096)
        .collect();
        let text: Vec<u8> = (0..4096_u32).map(|i| (i / 7) as u8).collect();
        for codec in [Codec::Zlib, Codec::Snappy, Codec::Zstd] {
            let mut out = vec![9; 3];
            for (page, flags) in
                [(&text, codec.flag()), (&noise, flag::STORED), (&text, codec.flag())]
            {
                let start = out.len();
                let (len, found) = codec.pack(page, &mut out).unwrap();
                assert_eq!((found, len as usize), (flags, out.len() - start), "{codec:?}");
                assert!(len == 4096 || found != flag::STORED);
                let mut back = vec![0; 4096];
                unpack(found, &out[start..], &mut back).unwrap();
                assert!(back == *page);
                assert_eq!(unpack(found, &out[start..], &mut back[1..]), None, "{codec:?}");
                assert_eq!(unpack(found, &out[start..out.len() - 1], &mut back), None, "{codec:?}");
            }
        }
    }
}
