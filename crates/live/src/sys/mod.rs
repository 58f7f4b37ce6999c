//! System calls that no safe library has, each behind a safe function. The one place for unsafe code.

pub(crate) mod cpuid;
pub(crate) mod kcmp;
pub(crate) mod memory;
pub(crate) mod pagemap;
pub(crate) mod procmap;
pub(crate) mod ptrace;
