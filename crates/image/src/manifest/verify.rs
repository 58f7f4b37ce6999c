//! Whether an image still has what its manifest says.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::hashes::zeros;
use super::{Manifest, RegionRecord};
use crate::{AddressSpace, Cause, Extent, ReadError};

/// Bytes that are read at a time, and hashed by several threads where a region has that many.
const PIECE_LEN: usize = 4 << 20;

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The region by the manifest.
    pub region: Extent,
    /// What is wrong with it.
    pub problem: String,
}

/// What checking the regions has shown.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Regions that were hashed.
    pub regions: usize,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Those that do not fit, in the order of addresses.
    pub mismatches: Vec<Mismatch>,
}

/// Reads every region that the manifest names and compares its hash. `done` is told how many bytes were read.
pub fn verify(
    space: &dyn AddressSpace,
    manifest: &Manifest,
    threads: usize,
    done: &(dyn Fn(u64) + Sync),
) -> Verified {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Verified::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut piece = vec![0; PIECE_LEN];
                while let Some(record) = manifest.regions.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let result = region(space, record, &mut piece, done);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.regions += 1;
                    found.bytes += record.end.saturating_sub(record.start);
                    found.mismatches.extend(result.err());
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.mismatches.sort_by_key(|mismatch| mismatch.region);
    found
}

fn region(
    space: &dyn AddressSpace,
    record: &RegionRecord,
    piece: &mut [u8],
    done: &(dyn Fn(u64) + Sync),
) -> Result<(), Mismatch> {
    let region = Extent::half_open(record.start, record.end).map_err(|error| Mismatch {
        region: Extent::with_len(0, 1).unwrap_or_else(|_| unreachable!("one byte at 0")),
        problem: format!("the manifest has a region that is none: {error}"),
    })?;
    let mut hasher = blake3::Hasher::new();
    let mut damaged: Option<(u64, Cause)> = None;
    let mut at = region.start();
    while at < region.end() {
        let left = region.end() - at;
        let len = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match space.read_at(at, &mut piece[..len]) {
            Ok(read) => {
                hasher.update(&piece[..read]);
                at += read as u64;
                done(read as u64);
            }
            Err(error) => {
                // Page by page: what has no content was hashed as zeros.
                let len = (4096 - at % 4096).min(left) as usize;
                match space.read_at(at, &mut piece[..len]) {
                    Ok(read) => {
                        hasher.update(&piece[..read]);
                        at += read as u64;
                        done(read as u64);
                        continue;
                    }
                    Err(ReadError::Fault {
                        cause: Cause::NotInImage | Cause::NotOffered, ..
                    }) => {}
                    Err(ReadError::Fault { cause, .. }) => drop(damaged.get_or_insert((at, cause))),
                    Err(ReadError::Io(_)) => drop(damaged.get_or_insert((at, Cause::Damaged))),
                }
                let _ = error;
                zeros(&mut hasher, len as u64);
                at += len as u64;
                done(len as u64);
            }
        }
    }
    let is_same = hasher.finalize().to_hex().as_str() == record.blake3;
    match (damaged, is_same) {
        (Some((addr, cause)), _) => {
            Err(Mismatch { region, problem: format!("cannot be read at {addr:#x}: {cause}") })
        }
        (None, false) => Err(Mismatch { region, problem: "its BLAKE3 is another".into() }),
        (None, true) => Ok(()),
    }
}
