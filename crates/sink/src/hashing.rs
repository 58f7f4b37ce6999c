//! SHA-256 of an image on its way to a sink, taken by a thread of its own. Not of an image that is written over.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use memdump_image::Output;
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

use crate::Sink;

/// Pieces that wait to be hashed, and the size up to which they grow.
const QUEUE: usize = 8;
const PIECE_LEN: usize = 1 << 20;
/// Of a file that is read again, at most this many bytes stay in the page cache.
const CACHED_LEN: u64 = 32 << 20;

/// What is to be hashed.
enum Piece {
    Bytes(Vec<u8>),
    Zeros(u64),
}

/// A sink whose bytes are hashed.
pub struct Hashing {
    sink: Box<dyn Sink>,
    /// What was written and is not on its way to the thread.
    gathered: Vec<u8>,
    pieces: Option<Sender<Piece>>,
    spent: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Sha256>>,
    written: u64,
    is_written_over: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Bytes.
    pub size: u64,
    /// SHA-256, hexadecimal; none where something was written over, so that the file must be read to know.
    pub sha256: Option<String>,
}

impl Hashing {
    /// Hashes what is written to `sink` from now on.
    ///
    /// # Errors
    /// When no thread can be started.
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

    /// Gives the sink back, and what was written to it.
    pub fn finish(mut self) -> (Box<dyn Sink>, Hashed) {
        self.hand_over();
        self.pieces = None;
        let hasher = self.thread.take().and_then(|thread| thread.join().ok());
        let digest = hasher.map(|hasher| hex(&hasher.finalize()));
        let sha256 = digest.filter(|_| !self.is_written_over);
        (self.sink, Hashed { size: self.written, sha256 })
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

impl Write for Hashing {
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

impl Output for Hashing {
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

/// SHA-256 of all that `reader` gives, hexadecimal. `done` is told how many bytes were read, and may end it.
///
/// # Errors
/// When reading fails, and what `done` returns.
pub fn sha256(
    mut reader: impl io::Read,
    mut done: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(read) => {
                hasher.update(&piece[..read]);
                done(read as u64)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 of a file, hexadecimal. What was read of it does not stay in the page cache.
///
/// # Errors
/// As [`sha256`].
pub fn sha256_of_file(
    file: &File,
    mut done: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<String> {
    let (mut read, mut dropped) = (0, 0);
    let digest = sha256(file, |len| {
        read += len;
        if read - dropped >= CACHED_LEN {
            drop_cached(file, read);
            dropped = read;
        }
        done(len)
    });
    drop_cached(file, 0);
    digest
}

/// Up to `end`; all of it where that is 0. A file system that cannot is none the worse.
fn drop_cached(file: &File, end: u64) {
    let _ = fadvise(file, 0, NonZeroU64::new(end), Advice::DontNeed);
}

fn zeros(hasher: &mut Sha256, mut len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while len > 0 {
        let now = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..now as usize]);
        len -= now;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Leftover, SinkError};

    struct Kept(Vec<u8>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Not always all of it.
            let now = bytes.len().min(700_000);
            self.0.write(&bytes[..now])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output for Kept {
        fn is_positional(&self) -> bool {
            true
        }

        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.write_at(offset, bytes)
        }
    }

    impl Sink for Kept {
        fn commit(self: Box<Self>) -> Result<(), SinkError> {
            Ok(())
        }

        fn abort(self: Box<Self>) -> Leftover {
            Leftover::Nothing
        }
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let mut hashing = Hashing::new(Box::new(Kept(Vec::new()))).unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index / 7) as u8).collect();
        hashing.write_all(&bytes).unwrap();
        hashing.zeros(100_000).unwrap();
        hashing.write_all(b"end").unwrap();
        let all = [bytes, vec![0; 100_000], b"end".to_vec()].concat();
        let (_, hashed) = hashing.finish();
        assert_eq!(hashed.size, all.len() as u64);
        assert_eq!(hashed.sha256, Some(sha256(all.as_slice(), |_| Ok(())).unwrap()));
    }

    #[test]
    fn known_answers() {
        // FIPS 180-4's own example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..], |_| Ok(())).unwrap(), abc);
        let mut hashing = Hashing::new(Box::new(Kept(Vec::new()))).unwrap();
        hashing.write_all(b"abd").unwrap();
        hashing.write_at(2, b"c").unwrap();
        assert_eq!(hashing.finish().1.sha256, None, "what was written over is not known");
    }
}
