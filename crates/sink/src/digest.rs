//! SHA-256 of bytes that are there already: of a reader, and of a file. On the way to a sink it is `layer/hash.rs`.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const PIECE_LEN: usize = 1 << 20;
/// Of a file that is read again, at most this many bytes stay in the page cache.
const CACHED_LEN: u64 = 32 << 20;

/// Returns the SHA-256 of all that `reader` gives, in hexadecimal. `done` is told how many bytes were read, and may end it.
///
/// # Errors
/// If reading fails, and what `done` returns.
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

/// Returns the SHA-256 of a file, in hexadecimal. What was read of it does not stay in the page cache.
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

/// Drops cached pages up to `end`, or all if that is 0. A file system that cannot do it is none the worse.
fn drop_cached(file: &File, end: u64) {
    let _ = fadvise(file, 0, NonZeroU64::new(end), Advice::DontNeed);
}

/// The bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // The example of FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..], |_| Ok(())).unwrap(), abc);
    }
}
