//! Chunks, which the copy hands to a writer: bytes, zeros that nobody had to read, or the reason that there is nothing.

use std::fmt;

use crate::Extent;

/// A run of memory at an address.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The address of its first byte.
    pub addr: u64,
    /// Its content.
    pub content: Content<'a>,
}

/// A chunk's content. A hole is not a run of zeros: the two stay apart until a writer must fill.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Memory that was read.
    Bytes(&'a [u8]),
    /// Memory that is known to be zero, and was not read.
    Zero {
        /// Bytes, at least 1.
        len: u64,
    },
    /// `len` bytes that could not be read.
    Hole {
        /// Bytes, at least 1.
        len: u64,
        /// The reason.
        cause: Cause,
    },
}

impl Content<'_> {
    /// Returns true if there is nothing, not even zeros. A page of zeros that is left out counts as content, because Volatility
    /// loses whatever reaches into a page that is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Content::Hole { cause, .. } if *cause != Cause::ZeroPage)
    }
}

impl<'a> Chunk<'a> {
    /// The part at `extent`, which lies within it.
    ///
    /// # Panics
    /// When it does not lie within it.
    pub fn part(&self, extent: Extent) -> Chunk<'a> {
        let from = (extent.start() - self.addr) as usize;
        let len = extent.len();
        let content = match self.content {
            Content::Bytes(bytes) => Content::Bytes(&bytes[from..from + len as usize]),
            Content::Zero { .. } => Content::Zero { len },
            Content::Hole { cause, .. } => Content::Hole { len, cause },
        };
        Chunk { addr: extent.start(), content }
    }

    /// The number of bytes of the address space that it stands for.
    pub fn len(&self) -> u64 {
        match self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zero { len } | Content::Hole { len, .. } => len,
        }
    }

    /// Returns true if it stands for nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Memory that is not in the image, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Its addresses.
    pub extent: Extent,
    /// The reason.
    pub cause: Cause,
}

/// The reason that memory was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The kernel has no mapping for it (EFAULT): crash kernel, guard pages, secret memory.
    Unmapped,
    /// The source refuses this page (EPERM).
    Refused,
    /// The device reports an error (EIO).
    Device,
    /// The page holds a hardware memory error (`KPF_HWPOISON`); it was not touched.
    Poisoned,
    /// The page is logically offline: ballooned, unplugged (`KPF_OFFLINE`); its bytes are gone.
    Offline,
    /// A part of a page at the end of a RAM range, which the kernel leaves out.
    PartialPage,
    /// RAM that the machine reports and the source does not offer.
    NotOffered,
    /// Memory that was unplugged during the copy.
    Removed,
    /// Memory that was plugged in during the copy.
    Added,
    /// An image file ends before it.
    Truncated,
    /// A guard page (MADV_GUARD_INSTALL), which has no content.
    Guard,
    /// The mapped file ends before it: the process would get SIGBUS.
    BeyondFile,
    /// A device's registers or its memory (VM_IO, VM_PFNMAP): to read them may change them.
    DeviceMemory,
    /// On swap, and left there as was asked.
    Swapped,
    /// Not in the process's page table, and its file cannot be read in its place.
    NotResident,
    /// A page that nobody uses, left out as was asked.
    FreePage,
    /// A page of a file's content, left out as was asked.
    PageCache,
    /// A page of a process's memory, left out as was asked.
    UserPage,
    /// A page of zeros, left out as was asked.
    ZeroPage,
    /// The image file is damaged there.
    Damaged,
    /// The image that it was read from has no content for it, and says so.
    NotInImage,
}

impl Cause {
    /// A short fixed word for JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Unmapped => "unmapped",
            Cause::Refused => "refused",
            Cause::Device => "device-error",
            Cause::Poisoned => "poisoned",
            Cause::Offline => "offline",
            Cause::PartialPage => "partial-page",
            Cause::NotOffered => "not-offered",
            Cause::Removed => "removed",
            Cause::Added => "added",
            Cause::Truncated => "truncated",
            Cause::Guard => "guard",
            Cause::BeyondFile => "beyond-file",
            Cause::DeviceMemory => "device-memory",
            Cause::Swapped => "swapped",
            Cause::NotResident => "not-resident",
            Cause::FreePage => "free",
            Cause::PageCache => "cache",
            Cause::UserPage => "user",
            Cause::ZeroPage => "zero",
            Cause::Damaged => "damaged",
            Cause::NotInImage => "not-in-image",
        }
    }

    /// Returns true if it was left out on request.
    pub fn is_excluded(self) -> bool {
        matches!(self, Cause::FreePage | Cause::PageCache | Cause::UserPage | Cause::ZeroPage)
    }

    /// Returns true if an image without such memory still has all that can be had.
    ///
    /// These pages have no content that any source could give: the kernel manages neither the odd
    /// bytes at the end of a range nor pages that were handed back, a device is no memory, and what an image does
    /// not have cannot be got out of it.
    pub fn is_inherent(self) -> bool {
        self.is_excluded()
            || matches!(
                self,
                Cause::PartialPage | Cause::Offline | Cause::DeviceMemory | Cause::NotInImage
            )
    }
}

/// One line for people.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Unmapped => "it is not mapped (EFAULT)",
            Cause::Refused => "the kernel refuses it (EPERM)",
            Cause::Device => "input/output error (EIO)",
            Cause::Poisoned => "hardware memory error, not touched",
            Cause::Offline => "page is offline (ballooned or unplugged), it has no content",
            Cause::PartialPage => {
                "part of a page at the end of a RAM range, left out by the kernel"
            }
            Cause::NotOffered => "RAM that the source does not offer",
            Cause::Removed => "unplugged during the copy",
            Cause::Added => "plugged in during the copy",
            Cause::Truncated => "the image file ends before it",
            Cause::Guard => "guard page, it has no content",
            Cause::BeyondFile => "the mapped file ends before it",
            Cause::DeviceMemory => "device memory, never read",
            Cause::Swapped => "on swap, left there",
            Cause::NotResident => "not in the page table, and its file cannot be read in its place",
            Cause::FreePage => "free, left out on request",
            Cause::PageCache => "page cache, left out on request",
            Cause::UserPage => "memory of processes, left out on request",
            Cause::ZeroPage => "zeros, left out on request",
            Cause::Damaged => "the image file is damaged there",
            Cause::NotInImage => "the image has no content for it",
        })
    }
}
