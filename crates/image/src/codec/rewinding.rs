//! The reader of compressed files without a table of blocks. It goes from front to back and keeps the last megabytes. To read
//! further back, it starts at the front again.
//!
//! A stream that is damaged or cut short can be read up to that place. Reads after it are errors.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::row::{BLOCK_LEN, Codec, Front, Stream};
use crate::ReadAt;

/// Blocks that are kept. Several readers at once are less far apart.
const MAX_KEPT: usize = 24;

pub(super) struct Rewinding {
    file: Arc<dyn ReadAt>,
    codec: &'static Codec,
    size: OnceLock<u64>,
    tape: Mutex<Option<Tape>>,
}

impl Rewinding {
    pub(super) fn new(file: Arc<dyn ReadAt>, codec: &'static Codec) -> Self {
        Self { file, codec, size: OnceLock::new(), tape: Mutex::default() }
    }

    fn rewound(&self) -> io::Result<Tape> {
        let packed = Box::new(Front { file: Arc::clone(&self.file), at: 0 });
        let decoder = (self.codec.decoder)(packed)?;
        let kept = VecDeque::new();
        Ok(Tape { codec: self.codec, decoder, kept, start: 0, end: 0, over: None })
    }
}

/// The stream, as far as it was decompressed.
struct Tape {
    codec: &'static Codec,
    decoder: Stream,
    /// The bytes from `start` to `end`, in blocks. Only the last block may be short.
    kept: VecDeque<Vec<u8>>,
    start: u64,
    end: u64,
    /// The reason why it goes no further.
    over: Option<Over>,
}

#[derive(Clone, Copy)]
enum Over {
    End,
    Cut,
    Damaged,
}

impl Tape {
    /// Decompresses one more block.
    fn advance(&mut self) -> io::Result<()> {
        let mut block = match self.kept.len() {
            MAX_KEPT => {
                self.start += BLOCK_LEN as u64;
                self.kept.pop_front().unwrap_or_default()
            }
            _ => Vec::with_capacity(BLOCK_LEN),
        };
        block.clear();
        let outcome =
            Read::by_ref(&mut self.decoder).take(BLOCK_LEN as u64).read_to_end(&mut block);
        self.over = match outcome {
            Ok(BLOCK_LEN) => None,
            Ok(_) => Some(Over::End),
            // The file itself cannot be read. The decoder is useless now, but another read may succeed.
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Over::Cut),
            Err(_) => Some(Over::Damaged),
        };
        self.end += block.len() as u64;
        self.kept.push_back(block);
        Ok(())
    }

    /// The outcome of a read after the end.
    fn behind(&self) -> io::Result<usize> {
        let (kind, how) = match self.over {
            None | Some(Over::End) => return Ok(0),
            Some(Over::Cut) => (io::ErrorKind::UnexpectedEof, "ends too early"),
            Some(Over::Damaged) => (io::ErrorKind::InvalidData, "is damaged"),
        };
        let (name, end) = (self.codec.name, self.end);
        Err(io::Error::new(
            kind,
            format!("the {name} stream {how}: it could be unpacked up to {end:#x}"),
        ))
    }
}

impl ReadAt for Rewinding {
    /// Decompresses all of it once.
    fn size(&self) -> io::Result<u64> {
        if let Some(&size) = self.size.get() {
            return Ok(size);
        }
        let mut tape = self.rewound()?;
        while tape.over.is_none() {
            tape.advance()?;
        }
        tape.behind()?;
        Ok(*self.size.get_or_init(|| tape.end))
    }

    fn known_size(&self) -> io::Result<Option<u64>> {
        Ok(self.size.get().copied())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        let mut here = match tape.take() {
            Some(here) if here.start <= offset => here,
            _ => self.rewound()?,
        };
        while here.end <= offset && here.over.is_none() {
            here.advance()?;
        }
        let read = if offset < here.end {
            let at = (offset - here.start) as usize;
            let rest = &here.kept[at / BLOCK_LEN][at % BLOCK_LEN..];
            let read = rest.len().min(buf.len());
            buf[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        } else {
            here.behind()
        };
        *tape = Some(here);
        read
    }
}
