//! The reader of compressed files without a table: from front to back, and from the front again for what lies
//! further back than the last megabytes, which are kept.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{BLOCK_LEN, Codec, Front};
use crate::ReadAt;

/// Blocks that are kept: what several readers are apart, with room to spare.
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
        Ok(Tape { decoder, kept: VecDeque::new(), start: 0, end: 0, is_over: false })
    }
}

/// The stream as far as it was unpacked.
struct Tape {
    decoder: Box<dyn Read + Send>,
    /// The last of it: from `start` to `end`, in blocks of which only the very last is not whole.
    kept: VecDeque<Vec<u8>>,
    start: u64,
    end: u64,
    is_over: bool,
}

impl Tape {
    /// Unpacks one more block.
    fn advance(&mut self) -> io::Result<()> {
        let mut block = match self.kept.len() {
            MAX_KEPT => {
                self.start += BLOCK_LEN as u64;
                self.kept.pop_front().unwrap_or_default()
            }
            _ => Vec::with_capacity(BLOCK_LEN),
        };
        block.clear();
        let read =
            Read::by_ref(&mut self.decoder).take(BLOCK_LEN as u64).read_to_end(&mut block)?;
        self.is_over = read < BLOCK_LEN;
        self.end += read as u64;
        self.kept.push_back(block);
        Ok(())
    }
}

impl ReadAt for Rewinding {
    /// Unpacks all of it once.
    fn size(&self) -> io::Result<u64> {
        if let Some(&size) = self.size.get() {
            return Ok(size);
        }
        let packed = Box::new(Front { file: Arc::clone(&self.file), at: 0 });
        let size = io::copy(&mut (self.codec.decoder)(packed)?, &mut io::sink())?;
        Ok(*self.size.get_or_init(|| size))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        let mut here = match tape.take() {
            Some(here) if here.start <= offset => here,
            _ => self.rewound()?,
        };
        while here.end <= offset && !here.is_over {
            // After an error the decoder is of no use: it is taken anew for the next read.
            here.advance()?;
        }
        let mut read = 0;
        if offset < here.end {
            let at = (offset - here.start) as usize;
            let rest = &here.kept[at / BLOCK_LEN][at % BLOCK_LEN..];
            read = rest.len().min(buf.len());
            buf[..read].copy_from_slice(&rest[..read]);
        }
        *tape = Some(here);
        Ok(read)
    }
}
