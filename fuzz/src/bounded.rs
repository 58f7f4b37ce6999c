//! An allocator that gives no more than [`LIMIT`]: a reader that believes a length in a small file is stopped
//! there, which libFuzzer's own limit does only together with a sanitizer. Not for what C code allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use at most: what the readers keep of a compressed file (32 MiB), three times.
const LIMIT: usize = 96 << 20;

#[global_allocator]
static BOUNDED: Bounded = Bounded;
static IN_USE: AtomicUsize = AtomicUsize::new(0);

struct Bounded;

impl Bounded {
    /// Counts `len` bytes, has `allocate` get them, and counts them back where they are not to be had.
    fn within(len: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
        let before = IN_USE.fetch_add(len, Ordering::Relaxed);
        let fits = before.checked_add(len).is_some_and(|after| after <= LIMIT);
        let place = if fits { allocate() } else { std::ptr::null_mut() };
        if place.is_null() {
            IN_USE.fetch_sub(len, Ordering::Relaxed);
        }
        place
    }
}

// SAFETY: every call goes to the system's allocator unchanged, or gives null, which is allowed.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one that is asked for.
        Self::within(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        Self::within(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above; the place came from the system's allocator.
        unsafe { System.dealloc(place, layout) };
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // SAFETY: as above; the place came from the system's allocator.
        let moved = Self::within(len, || unsafe { System.realloc(place, layout, len) });
        if !moved.is_null() {
            IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }
}
