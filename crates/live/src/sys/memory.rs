//! `process_vm_readv(2)`: the memory of another process, many ranges at a time.

use std::io;

use memdump_image::Extent;

/// The most ranges that one call takes (`UIO_MAXIOV`).
pub(crate) const MAX_RANGES: usize = 1024;

/// Reads `ranges` of the process, one after another, into the front of `buf`; says how many bytes
/// were read before the first that cannot be. At most [`MAX_RANGES`] are looked at.
///
/// # Errors
/// EFAULT when the first byte cannot be read, ESRCH when the process is gone, EPERM.
pub(crate) fn read_process(pid: u32, ranges: &[Extent], buf: &mut [u8]) -> io::Result<usize> {
    let mut room = buf.len();
    let remote = ranges.iter().take(MAX_RANGES).map_while(|range| {
        let len = room.min(usize::try_from(range.len()).unwrap_or(usize::MAX));
        room -= len;
        let base = range.start() as usize as *mut libc::c_void;
        (len > 0).then_some(libc::iovec { iov_base: base, iov_len: len })
    });
    let remote: Vec<libc::iovec> = remote.collect();
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: `local` names all of `buf`, which is borrowed for writing; `remote` names addresses of
    // another process, which the kernel checks, and never more bytes than `buf` has.
    let read = unsafe {
        libc::process_vm_readv(
            pid.cast_signed(),
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_one_after_another_up_to_the_first_that_cannot_be_read() {
        let bytes = [1_u8, 2, 3, 4, 5, 6, 7, 8];
        let at = bytes.as_ptr() as u64;
        let range = |start, len| Extent::with_len(start, len).unwrap();
        let mut buf = [0; 5];
        let read = read_process(
            std::process::id(),
            &[range(at + 4, 2), range(at, 2), range(16, 1)],
            &mut buf,
        );
        assert_eq!((read.unwrap(), buf), (4, [5, 6, 1, 2, 0]));
        let error = read_process(std::process::id(), &[range(16, 8)], &mut buf).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
