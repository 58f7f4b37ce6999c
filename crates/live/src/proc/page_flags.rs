//! `/proc/kpageflags`: eight bytes for each page frame, in the machine's byte order.
//!
//! Bits: `include/uapi/linux/kernel-page-flags.h`.

use memdump_image::{Cause, PageUse};

/// `KPF_HWPOISON`: the frame has a hardware memory error.
const HWPOISON: u64 = 1 << 19;
/// `KPF_NOPAGE`: there is no such frame.
const NOPAGE: u64 = 1 << 20;
/// `KPF_OFFLINE`: ballooned, or part of a block that is not plugged in.
const OFFLINE: u64 = 1 << 23;

/// `KPF_LRU`: on a list of pages that can be reclaimed.
const LRU: u64 = 1 << 5;
/// `KPF_SLAB`.
const SLAB: u64 = 1 << 7;
/// `KPF_BUDDY`: free, in the hands of the page allocator.
const BUDDY: u64 = 1 << 10;
/// `KPF_ANON`: memory of processes without a file.
const ANON: u64 = 1 << 12;
/// `KPF_SWAPBACKED`: shared memory and tmpfs, which have no other place.
const SWAPBACKED: u64 = 1 << 14;

/// The use of a frame with these flags; none where it may be the kernel's.
pub(crate) fn use_of(flags: u64) -> Option<PageUse> {
    if flags & (SLAB | NOPAGE | HWPOISON | OFFLINE) != 0 {
        None
    } else if flags & BUDDY != 0 {
        Some(PageUse::Free)
    } else if flags & ANON != 0 || flags & LRU != 0 && flags & SWAPBACKED != 0 {
        Some(PageUse::User)
    } else if flags & LRU != 0 {
        Some(PageUse::Cache)
    } else {
        None
    }
}

/// The reason why a frame with these flags must not be read.
pub(crate) fn objection(flags: u64) -> Option<Cause> {
    if flags & HWPOISON != 0 {
        Some(Cause::Poisoned)
    } else if flags & OFFLINE != 0 {
        Some(Cause::Offline)
    } else if flags & NOPAGE != 0 {
        Some(Cause::Removed)
    } else {
        None
    }
}

/// The frames before the first that must not be read, and why not that one. `flags` is a piece of
/// the file.
pub(crate) fn readable_prefix(flags: &[u8]) -> (usize, Option<Cause>) {
    let (frames, _) = flags.as_chunks::<8>();
    let objections = frames.iter().map(|frame| objection(u64::from_ne_bytes(*frame)));
    match objections.enumerate().find_map(|(index, cause)| Some((index, cause?))) {
        Some((index, cause)) => (index, Some(cause)),
        None => (frames.len(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_frame_ends_the_prefix_with_its_cause() {
        let frames = |flags: &[u64]| -> Vec<u8> {
            flags.iter().flat_map(|flags| flags.to_ne_bytes()).collect()
        };
        assert_eq!(readable_prefix(&frames(&[0, 1 << 5, 0])), (3, None));
        assert_eq!(readable_prefix(&frames(&[0, HWPOISON, OFFLINE])), (1, Some(Cause::Poisoned)));
        assert_eq!(readable_prefix(&frames(&[OFFLINE])), (0, Some(Cause::Offline)));
        assert_eq!(readable_prefix(&frames(&[0, 0, NOPAGE])), (2, Some(Cause::Removed)));
        assert_eq!(readable_prefix(&[1, 2, 3]), (0, None));
    }
}
