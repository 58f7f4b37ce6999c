//! `PAGEMAP_SCAN` (Linux 6.7): which pages of a process are there, without touching them.
//!
//! Layout: `struct pm_scan_arg` and `struct page_region` in `include/uapi/linux/fs.h`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use memdump_image::Extent;

/// Categories of pages (`PAGE_IS_…`).
pub(crate) const PRESENT: u64 = 1 << 3;
pub(crate) const SWAPPED: u64 = 1 << 4;
pub(crate) const PFNZERO: u64 = 1 << 5;
/// Since Linux 6.15 or 6.16.
pub(crate) const GUARD: u64 = 1 << 8;

#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Pages of the same categories, one after another; addresses, `end` the first beyond.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = (3 << 30)
    | ((size_of::<ScanArgument>() as libc::c_ulong) << 16)
    | ((b'f' as libc::c_ulong) << 8)
    | 16;

/// Looks at `extent` by `pagemap`, an open `/proc/PID/pagemap`, from the front until `ranges` is full.
/// Pages that have any of `categories` come as ranges; gives how many, and how far it came.
///
/// # Errors
/// ENOTTY before Linux 6.7, EINVAL where it does not know one of the categories.
pub(crate) fn scan(
    pagemap: &File,
    extent: Extent,
    categories: u64,
    ranges: &mut [PageRange],
) -> io::Result<(usize, u64)> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        start: extent.start(),
        end: extent.end(),
        vec: ranges.as_mut_ptr() as u64,
        vec_len: ranges.len() as u64,
        category_anyof_mask: categories,
        return_mask: categories,
        ..ScanArgument::default()
    };
    // SAFETY: `argument` is the structure that the request names by its size, and `vec` with
    // `vec_len` names `ranges`, which is borrowed for writing.
    let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok((count.min(ranges.len()), argument.walk_end.clamp(extent.start(), extent.end())))
}
