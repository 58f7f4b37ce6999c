//! The check of an image against the hashes in its manifest.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::hashes::zeros;
use super::{Manifest, RegionRecord};
use memdump_image::{AddressSpace, Cause, Extent, MemoryMap, ReadError, Region};

/// The size of one read, in bytes. Large enough that a read costs little beside the hash.
const PIECE_LEN: usize = 4 << 20;

/// A region that does not match the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The region, as the manifest lists it.
    pub region: Extent,
    /// The problem, in words.
    pub problem: String,
}

/// The result of checking the regions.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// The number of regions that were hashed.
    pub regions: usize,
    /// The number of bytes that were hashed.
    pub bytes: u64,
    /// The regions that do not match, in address order.
    pub mismatches: Vec<Mismatch>,
}

/// Reads every region that has a hash in the manifest, and compares the hashes. `done` is called with the number of bytes of each
/// read.
pub fn verify(
    space: &dyn AddressSpace,
    manifest: &Manifest,
    threads: usize,
    done: &(dyn Fn(u64) + Sync),
) -> Verified {
    let hashed: Vec<&RegionRecord> =
        manifest.regions.iter().filter(|record| record.blake3.is_some()).collect();
    let results = in_parallel(&hashed, threads, |record, piece| region(space, record, piece, done));
    let bytes = hashed.iter().map(|record| record.end.saturating_sub(record.start));
    let mut mismatches: Vec<Mismatch> = results.into_iter().filter_map(Result::err).collect();
    mismatches.sort_by_key(|mismatch| mismatch.region);
    Verified { regions: hashed.len(), bytes: bytes.fold(0, u64::saturating_add), mismatches }
}

/// Reads the regions of `map` from `space`, and hashes those for which `wants` returns true. Hashing stops once `goes_on` returns
/// false: the regions after that have no hash.
///
/// # Errors
/// The first address that cannot be read, and the cause.
pub fn hash_regions(
    space: &dyn AddressSpace,
    map: &MemoryMap,
    threads: usize,
    wants: &(dyn Fn(&Region) -> bool + Sync),
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<RegionRecord>, (u64, Cause)> {
    let records = in_parallel(map.regions(), threads, |region, piece| {
        let hash = match wants(region) {
            true => hash(space, region.extent, piece, &|_| goes_on())?,
            false => None,
        };
        Ok(RegionRecord::new(region, hash))
    });
    records.into_iter().collect()
}

/// The results of `work` for each item, in the order of the items. Each call gets a buffer of [`PIECE_LEN`] bytes.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T, &mut [u8]) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let mut piece = vec![0; PIECE_LEN];
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item, &mut piece);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, result)| result).collect()
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
    let done = |len| {
        done(len);
        true
    };
    match hash(space, region, piece, &done) {
        Err((addr, cause)) => {
            Err(Mismatch { region, problem: format!("cannot be read at {addr:#x}: {cause}") })
        }
        Ok(hash) if record.blake3 != hash.map(|hash| hash.to_hex().to_string()) => {
            Err(Mismatch { region, problem: "its BLAKE3 is another".into() })
        }
        Ok(_) => Ok(()),
    }
}

/// The hash of a region, in which memory without content counts as zeros; or the first address that cannot be read. `done` is
/// called with the number of bytes of each read. If it returns false, reading stops and there is no hash.
fn hash(
    space: &dyn AddressSpace,
    region: Extent,
    piece: &mut [u8],
    done: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Option<blake3::Hash>, (u64, Cause)> {
    let mut hasher = blake3::Hasher::new();
    let mut damaged: Option<(u64, Cause)> = None;
    let mut at = region.start();
    while at < region.end() {
        let left = region.end() - at;
        let len = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut read = space.read_at(at, &mut piece[..len]);
        // Page by page, because memory without content was hashed as zeros.
        let page = (4096 - at % 4096).min(left) as usize;
        if read.is_err() {
            read = space.read_at(at, &mut piece[..page]);
        }
        let len = match read {
            Ok(read) => {
                hasher.update(&piece[..read]);
                read
            }
            Err(error) => {
                match error {
                    ReadError::Fault { cause: Cause::NotInImage | Cause::NotOffered, .. } => {}
                    ReadError::Fault { cause, .. } => drop(damaged.get_or_insert((at, cause))),
                    ReadError::Io(_) => drop(damaged.get_or_insert((at, Cause::Damaged))),
                }
                zeros(&mut hasher, page as u64);
                page
            }
        };
        at += len as u64;
        if !done(len as u64) {
            return Ok(None);
        }
    }
    damaged.map_or_else(|| Ok(Some(hasher.finalize())), Err)
}
