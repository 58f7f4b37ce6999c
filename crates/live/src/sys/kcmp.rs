//! The test for shared memory of two processes: `kcmp(2)`, which the C library has no function for.

use rustix::io::{Errno, Result};

/// `KCMP_VM` (`include/uapi/linux/kcmp.h`).
const KCMP_VM: libc::c_long = 1;

/// Returns true if the two threads share one address space.
///
/// # Errors
/// `ENOSYS` from a kernel built without `CONFIG_KCMP`, `EPERM` where either may not be traced, `ESRCH`.
pub(crate) fn same_memory(one: u32, other: u32) -> Result<bool> {
    let (one, other) = (libc::c_long::from(one), libc::c_long::from(other));
    let zero: libc::c_long = 0;
    // SAFETY: kcmp(2) takes numbers only and changes nothing.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, zero, zero) };
    match order {
        -1 => Err(last_error()),
        order => Ok(order == 0),
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
