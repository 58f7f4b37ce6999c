//! SHA-256 of the bytes on their way to a sink, computed by a thread of its own.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use memdump_image::Output;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::SinkError;
use crate::receipt::{Hashed, Leftover, Receipt};
use crate::sink::Sink;

/// Pieces that wait to be hashed.
const QUEUE: usize = 8;
/// The size that a piece grows to.
const PIECE_LEN: usize = 1 << 20;

/// A piece to be hashed.
enum Piece {
    Bytes(Vec<u8>),
    Zeros(u64),
}

/// A sink whose bytes are hashed. The hash is not known if bytes are written over.
pub struct Hash {
    sink: Box<dyn Sink>,
    /// Bytes that were written and are not on their way to the thread yet.
    gathered: Vec<u8>,
    pieces: Option<Sender<Piece>>,
    spent: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Sha256>>,
    written: u64,
    is_written_over: bool,
}

impl Hash {
    /// Hashes what is written to `sink` from now on.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(sink: Box<dyn Sink>) -> io::Result<Self> {
        let (pieces, received) = bounded::<Piece>(QUEUE);
        let (back, spent) = bounded::<Vec<u8>>(QUEUE + 1);
        let thread = thread::Builder::new().name("sha-256".into()).spawn(move || {
            let mut hasher = Sha256::new();
            for piece in received {
                match piece {
                    Piece::Bytes(mut bytes) => {
                        hasher.update(&bytes);
                        bytes.clear();
                        let _ = back.try_send(bytes);
                    }
                    Piece::Zeros(len) => zeros(&mut hasher, len),
                }
            }
            hasher
        })?;
        Ok(Self {
            sink,
            gathered: Vec::with_capacity(PIECE_LEN),
            pieces: Some(pieces),
            spent,
            thread: Some(thread),
            written: 0,
            is_written_over: false,
        })
    }

    /// Waits for the thread, and returns what was seen.
    fn finish(&mut self) -> Hashed {
        self.hand_over();
        self.pieces = None;
        let hasher = self.thread.take().and_then(|thread| thread.join().ok());
        let digest = hasher.map(|hasher| hex(&hasher.finalize()));
        let sha256 = digest.filter(|_| !self.is_written_over);
        Hashed { size: self.written, sha256 }
    }

    fn hand_over(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let fresh = self.spent.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE_LEN));
        let full = std::mem::replace(&mut self.gathered, fresh);
        self.send(Piece::Bytes(full));
    }

    fn send(&mut self, piece: Piece) {
        if let Some(pieces) = &self.pieces {
            // The thread ends only when this does.
            let _ = pieces.send(piece);
        }
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.written += written as u64;
        for part in bytes[..written].chunks(PIECE_LEN) {
            if self.gathered.len() + part.len() > PIECE_LEN {
                self.hand_over();
            }
            self.gathered.extend_from_slice(part);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Output for Hash {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        self.sink.zeros(len)?;
        self.written += len;
        self.hand_over();
        self.send(Piece::Zeros(len));
        Ok(())
    }

    fn is_positional(&self) -> bool {
        self.sink.is_positional()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.is_written_over = true;
        self.sink.write_at(offset, bytes)
    }
}

impl Sink for Hash {
    fn commit(mut self: Box<Self>) -> Result<Receipt, SinkError> {
        let hashed = self.finish();
        let mut receipt = self.sink.commit()?;
        receipt.sent.get_or_insert(hashed);
        Ok(receipt)
    }

    fn abort(self: Box<Self>) -> Leftover {
        self.sink.abort()
    }

    fn place(&self) -> &OsStr {
        self.sink.place()
    }
}

fn zeros(hasher: &mut Sha256, mut len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while len > 0 {
        let now = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..now as usize]);
        len -= now;
    }
}
