//! System calls that no safe library has, each behind a safe function. The one place for unsafe code.

pub(crate) mod cpuid;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only snapshots need all of it")
)]
pub(crate) mod kcmp;
pub(crate) mod memory;
pub(crate) mod pagemap;
pub(crate) mod procmap;
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only snapshots need all of it")
)]
pub(crate) mod ptrace;
