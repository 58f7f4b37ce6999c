//! The laboratory: virtual machines that run Debian's kernels and the real command, and a comparison of each image with the
//! hypervisor's own view of the same memory. Nothing here shares code with what is tested, the readers of images included.
//!
//! ```text
//! kernel, initramfs, machine ─► guest ─► truth ─┐
//!                                 │             ├─► compare ─► cell ─► report
//!                                 └───► image ──┘
//! ```

pub(crate) mod cell;
pub(crate) mod compare;
pub(crate) mod devmem;
mod emulator;
mod gdb;
pub(crate) mod guest;
pub(crate) mod image;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod machine;
mod paging;
pub(crate) mod payload;
mod qmp;
pub(crate) mod report;
pub(crate) mod truth;
pub(crate) mod view;

pub(crate) use emulator::despite_the_emulator;
use lab_guest::pattern::PAGE;

/// Addresses from a first to one beyond, multiples of the page's size.
pub(crate) type Range = std::ops::Range<u64>;

/// The pages in a range.
fn pages(range: &Range) -> u64 {
    (range.end - range.start) / PAGE as u64
}
