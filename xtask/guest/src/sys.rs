//! All unsafe code of the guest: anonymous and secret memory, waiting for a child with what it used, and loading a kernel.
//! Not policy: what is done with the memory is decided by the callers.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A private or secret mapping, resident and locked, unmapped only when the process ends.
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
}

/// The pages that the kernel is to back anonymous memory with.
#[derive(Clone, Copy)]
pub(crate) enum Pages {
    /// 4 KiB pages only.
    Small,
    /// 2 MiB pages where it has them.
    Huge,
}

impl Memory {
    /// `length` bytes of anonymous memory, every page present and locked.
    pub(crate) fn anonymous(length: usize, pages: Pages) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice changes no existing memory.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let memory = Self::new(start, length)?;
        let advice = match pages {
            Pages::Small => Advice::LinuxNoHugepage,
            Pages::Huge => Advice::LinuxHugepage,
        };
        memory.advise(0..length, advice)?;
        memory.advise(0..length, Advice::LinuxPopulateWrite)?;
        memory.lock()?;
        Ok(memory)
    }

    /// `length` bytes that the kernel takes out of its own page tables (`memfd_secret(2)`).
    pub(crate) fn secret(length: usize) -> io::Result<Self> {
        // SAFETY: the call takes flags only and returns a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        rustix::fs::ftruncate(&fd, length as u64)?;
        // SAFETY: a new mapping at an address of the kernel's choice changes no existing memory.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &fd,
                0,
            )
        }?;
        Self::new(start, length)
    }

    fn new(start: *mut std::ffi::c_void, length: usize) -> io::Result<Self> {
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, length })
    }

    /// The mapping's bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `length` bytes, readable and writable, lives as long as the process, and `&mut self` makes this
        // the only reference into it.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// The virtual address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Tells the kernel that the pages in `range` (offsets in bytes, page-aligned) are broken, as broken hardware would.
    pub(crate) fn poison(&self, range: std::ops::Range<usize>) -> io::Result<()> {
        self.advise(range, Advice::LinuxHwPoison)
    }

    fn advise(&self, range: std::ops::Range<usize>, advice: Advice) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: the range lies in this mapping, and no advice given here changes what its bytes are: `LinuxHwPoison` takes
        // pages away, which a later access would see as a signal; `poison`'s caller makes none.
        unsafe {
            rustix::mm::madvise(self.start.as_ptr().add(range.start).cast(), range.len(), advice)
        }?;
        Ok(())
    }

    fn lock(&self) -> io::Result<()> {
        // SAFETY: the range is exactly this mapping.
        unsafe { rustix::mm::mlock(self.start.as_ptr().cast(), self.length) }?;
        Ok(())
    }
}

/// The end of a child.
pub(crate) struct Ended {
    /// As a shell states it: 128 and the signal's number when a signal ended it.
    pub(crate) status: i32,
    /// The largest resident set of the child or of what it waited for, in KiB.
    pub(crate) peak_kib: u64,
}

/// Waits for the child `pid` with `wait4(2)`, which alone tells the peak of that very child.
pub(crate) fn wait(pid: u32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let done = unsafe { libc::wait4(pid as libc::pid_t, &mut status, 0, &mut usage) };
        if done >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let status = if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    };
    Ok(Ended { status, peak_kib: usage.ru_maxrss as u64 })
}

/// Loads the kernel that a crash boots (`kexec_file_load(2)`).
pub(crate) fn load_capture_kernel(
    kernel: &File,
    initramfs: &File,
    cmdline: &CStr,
) -> io::Result<()> {
    /// `KEXEC_FILE_ON_CRASH` of include/uapi/linux/kexec.h.
    const ON_CRASH: libc::c_ulong = 2;
    // SAFETY: the descriptors are open and the pointer is to as many bytes as are stated, the NUL counted; the kernel only reads
    // them, and what is loaded runs only after this one has crashed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initramfs.as_raw_fd(),
            cmdline.to_bytes_with_nul().len() as libc::c_ulong,
            cmdline.as_ptr(),
            ON_CRASH,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
