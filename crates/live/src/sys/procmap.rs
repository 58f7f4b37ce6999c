//! `PROCMAP_QUERY` (Linux 6.11): where a process has something mapped, asked of one address instead of read as a list.
//!
//! Layout: `struct procmap_query` in `include/uapi/linux/fs.h`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use memdump_image::Extent;
use rustix::io::Errno;

/// `PROCMAP_QUERY_COVERING_OR_NEXT_VMA`: the mapping at the address, or the first above it.
const COVERING_OR_NEXT: u64 = 1 << 4;

#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong =
    (3 << 30) | ((size_of::<Query>() as libc::c_ulong) << 16) | ((b'f' as libc::c_ulong) << 8) | 17;

/// The mapping at `addr` or the first above it, by `maps`, an open `/proc/PID/maps`; none where there is no more.
///
/// # Errors
/// ENOTTY before Linux 6.11, ESRCH when the process has ended or runs another program.
pub(crate) fn mapping_from(maps: &File, addr: u64) -> io::Result<Option<Extent>> {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        query_flags: COVERING_OR_NEXT,
        query_addr: addr,
        ..Query::default()
    };
    // SAFETY: `query` is the structure that the request names by its size, borrowed for writing; it names no buffers.
    let status = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
    if status == 0 {
        return Extent::half_open(query.vma_start, query.vma_end)
            .map(Some)
            .map_err(io::Error::other);
    }
    let error = io::Error::last_os_error();
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => Ok(None),
        _ => Err(error),
    }
}
