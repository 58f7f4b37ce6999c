//! `ptrace(2)`, request by request, each as a safe function. What a stop means and in which order
//! requests are made is not decided here.
//!
//! A request is refused by the kernel with `ESRCH` unless the calling thread itself traces `tid` and
//! `tid` is stopped; so none of these can touch a process that was not seized by this thread before.
//! Layouts and numbers are those of `include/uapi/linux/ptrace.h` and `elf.h`.

use std::ffi::c_void;
use std::ptr;

use rustix::io::{Errno, Result};

/// System call stops come with bit 7 set, so that they cannot be taken for a SIGTRAP.
pub(crate) const OPTION_MARK_SYSCALLS: u64 = 1;
/// A child made by `clone` is traced from its birth, with these same options.
pub(crate) const OPTION_TRACE_CLONE: u64 = 1 << 3;
/// The traced process is killed when its tracer ends.
pub(crate) const OPTION_KILL_ON_EXIT: u64 = 1 << 20;
/// Its seccomp filters do not apply as long as it is traced (for those with CAP_SYS_ADMIN).
pub(crate) const OPTION_SUSPEND_SECCOMP: u64 = 1 << 21;

/// The stop of a thread that was interrupted, or whose process is stopped by job control.
pub(crate) const EVENT_STOP: i32 = 128;
/// The stop of a thread that has just made a child by `clone`.
pub(crate) const EVENT_CLONE: i32 = 3;

/// The general registers.
pub(crate) const NT_PRSTATUS: u32 = 1;
/// The floating point registers.
pub(crate) const NT_PRFPREG: u32 = 2;
/// The x86 registers as XSAVE lays them out.
pub(crate) const NT_X86_XSTATE: u32 = 0x202;

/// Bytes of a `siginfo_t` (`SI_MAX_SIZE`).
pub(crate) const SIGINFO_LEN: usize = 128;

const CONT: u32 = 7;
const DETACH: u32 = 17;
const SYSCALL: u32 = 24;
const SETOPTIONS: u32 = 0x4200;
const GETEVENTMSG: u32 = 0x4201;
const GETSIGINFO: u32 = 0x4202;
const GETREGSET: u32 = 0x4204;
const SETREGSET: u32 = 0x4205;
const SEIZE: u32 = 0x4206;
const INTERRUPT: u32 = 0x4207;
const GETSIGMASK: u32 = 0x420a;
const SETSIGMASK: u32 = 0x420b;
const GET_RSEQ_CONFIGURATION: u32 = 0x420f;
const GET_SYSCALL_USER_DISPATCH_CONFIG: u32 = 0x4211;

/// # Safety
/// `data` is a number, or points to what the request reads or writes there; `addr` says how much.
unsafe fn request(request: u32, tid: u32, addr: usize, data: *mut c_void) -> Result<usize> {
    let tid = libc::pid_t::try_from(tid).map_err(|_| Errno::SRCH)?;
    // SAFETY: the caller vouches for `data`; all four arguments have the width of a register.
    let answer =
        unsafe { libc::ptrace(request as _, tid, ptr::without_provenance::<c_void>(addr), data) };
    match usize::try_from(answer) {
        Ok(answer) => Ok(answer),
        Err(_) => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// A request that takes numbers only.
fn plain(number: u32, tid: u32, data: usize) -> Result<()> {
    // SAFETY: these requests take `data` as a number and touch no memory of ours.
    unsafe { request(number, tid, 0, ptr::without_provenance_mut(data)) }.map(drop)
}

/// Begins to trace, without stopping it.
pub(crate) fn seize(tid: u32) -> Result<()> {
    plain(SEIZE, tid, 0)
}

/// Makes it stop as soon as it can, without a signal: with `EVENT_STOP`. In one that is stopped already, it
/// takes effect after the present stop.
pub(crate) fn interrupt(tid: u32) -> Result<()> {
    plain(INTERRUPT, tid, 0)
}

/// Lets it run on, with the signal delivered (0: none).
pub(crate) fn resume(tid: u32, signal: i32) -> Result<()> {
    plain(CONT, tid, signal.unsigned_abs() as usize)
}

/// Lets it run to the next entry or return of a system call.
pub(crate) fn resume_to_syscall(tid: u32, signal: i32) -> Result<()> {
    plain(SYSCALL, tid, signal.unsigned_abs() as usize)
}

/// Ends the tracing and lets it run on, with the signal delivered (0: none).
pub(crate) fn detach(tid: u32, signal: i32) -> Result<()> {
    plain(DETACH, tid, signal.unsigned_abs() as usize)
}

/// Replaces the options, `OPTION_…` together.
pub(crate) fn set_options(tid: u32, options: u64) -> Result<()> {
    plain(SETOPTIONS, tid, options as usize)
}

/// The message of the event that it is stopped at: of a clone, the child, as seen from our pid namespace.
pub(crate) fn event_message(tid: u32) -> Result<usize> {
    let mut message = 0_usize;
    // SAFETY: the kernel writes one unsigned long.
    unsafe { request(GETEVENTMSG, tid, 0, (&raw mut message).cast()) }?;
    Ok(message)
}

/// The `siginfo_t` of the signal that it is stopped at.
pub(crate) fn siginfo(tid: u32) -> Result<Vec<u8>> {
    let mut info = vec![0; SIGINFO_LEN];
    // SAFETY: the kernel writes one siginfo_t, and that is `SIGINFO_LEN` bytes.
    unsafe { request(GETSIGINFO, tid, 0, info.as_mut_ptr().cast()) }?;
    Ok(info)
}

/// The signals that it blocks; bit 0 is signal 1. Within a system call that blocks others for its own
/// duration (`sigsuspend`, `ppoll`), those that it will block afterwards.
pub(crate) fn signal_mask(tid: u32) -> Result<u64> {
    let mut mask = 0_u64;
    // SAFETY: `addr` is the size of the mask, and the kernel writes as much.
    unsafe { request(GETSIGMASK, tid, size_of::<u64>(), (&raw mut mask).cast()) }?;
    Ok(mask)
}

/// Makes it block these signals. SIGKILL and SIGSTOP cannot be blocked.
pub(crate) fn set_signal_mask(tid: u32, mut mask: u64) -> Result<()> {
    // SAFETY: `addr` is the size of the mask, and the kernel reads as much.
    unsafe { request(SETSIGMASK, tid, size_of::<u64>(), (&raw mut mask).cast()) }.map(drop)
}

/// A set of registers as the kernel gives it. `ENODEV` where the machine or the thread has no such set.
pub(crate) fn registers(tid: u32, set: u32) -> Result<Vec<u8>> {
    // XSAVE with AMX takes 11 KiB.
    let mut bytes = vec![0; if set == NT_X86_XSTATE { 16 << 10 } else { 1 << 10 }];
    loop {
        let mut area = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: the kernel writes at most `iov_len` bytes to `iov_base`, then how many to `iov_len`.
        unsafe { request(GETREGSET, tid, set as usize, (&raw mut area).cast()) }?;
        if area.iov_len < bytes.len() {
            bytes.truncate(area.iov_len);
            return Ok(bytes);
        }
        bytes.resize(bytes.len() * 2, 0);
    }
}

/// Replaces a set of registers by one of the same layout.
pub(crate) fn set_registers(tid: u32, set: u32, bytes: &[u8]) -> Result<()> {
    let mut area = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel reads `iov_len` bytes from `iov_base` and writes to `iov_len` only.
    unsafe { request(SETREGSET, tid, set as usize, (&raw mut area).cast()) }.map(drop)
}

/// The place of a thread's `struct rseq` (`include/uapi/linux/rseq.h`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct RseqConfiguration {
    /// The address; 0 when the thread has none.
    pub(crate) pointer: u64,
    size: u32,
    signature: u32,
    flags: u32,
    pad: u32,
}

/// The thread's registration of restartable sequences. `EIO` before Linux 5.13.
pub(crate) fn rseq_configuration(tid: u32) -> Result<RseqConfiguration> {
    let mut found = RseqConfiguration::default();
    let len = size_of::<RseqConfiguration>();
    // SAFETY: `addr` is the size of the structure, and the kernel writes no more.
    unsafe { request(GET_RSEQ_CONFIGURATION, tid, len, (&raw mut found).cast()) }?;
    Ok(found)
}

/// `struct ptrace_sud_config`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct DispatchConfiguration {
    mode: u64,
    selector: u64,
    offset: u64,
    len: u64,
}

/// Returns true if the thread catches its own system calls (`PR_SET_SYSCALL_USER_DISPATCH`). `EIO` before
/// Linux 6.4.
pub(crate) fn dispatches_syscalls(tid: u32) -> Result<bool> {
    let mut found = DispatchConfiguration::default();
    let len = size_of::<DispatchConfiguration>();
    // SAFETY: `addr` is the size of the structure, and the kernel writes no more.
    unsafe { request(GET_SYSCALL_USER_DISPATCH_CONFIG, tid, len, (&raw mut found).cast()) }?;
    Ok(found.mode != 0)
}
