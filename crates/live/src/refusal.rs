//! The reasons why a source cannot be used, and their remedies.

use std::fmt;
use std::path::PathBuf;

/// A source that was tried and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The path of the source.
    pub path: PathBuf,
    /// The reason of the refusal.
    pub reason: Reason,
}

/// One line: path, reason, and what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.reason, self.reason.remedy())
    }
}

/// The reason why a source cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no such file.
    #[error("it does not exist")]
    Missing,
    /// A file of size 0 that is not of procfs lies over it.
    #[error("masked by a container: what stands there is no file of /proc")]
    Masked,
    /// Ordinary file permissions.
    #[error("permission denied (EACCES)")]
    Permission,
    /// CAP_SYS_RAWIO is missing.
    #[error("the capability CAP_SYS_RAWIO is missing (CapEff)")]
    Capability,
    /// The kernel is locked down; its file names the level.
    #[error("kernel lockdown is {0} (/sys/kernel/security/lockdown)")]
    Lockdown(&'static str),
    /// EPERM although the capability is there.
    #[error("the kernel refuses it (EPERM) though the capability is there: probably lockdown")]
    Refused,
    /// Trial reads of RAM fail with EPERM.
    #[error("STRICT_DEVMEM: reads of RAM are refused (EPERM at {addr:#x})")]
    StrictDevmem {
        /// The first address that was refused.
        addr: u64,
    },
    /// A trial read failed otherwise.
    #[error("a trial read at {addr:#x} failed: {cause}")]
    Unreadable {
        /// The address.
        addr: u64,
        /// The error.
        cause: String,
    },
    /// Its headers are not valid.
    #[error("its headers make no sense: {0}")]
    Malformed(String),
    /// Its physical addresses are unknown.
    #[error("its headers name no physical addresses, and /proc/iomem does not fit them")]
    NoPhysicalAddresses,
    /// Nothing says which addresses are RAM.
    #[error("nothing says which addresses are RAM: {0}")]
    NoMap(String),
    /// Reading may kill the machine.
    #[error("this is a confidential guest (SEV, TDX), where reading /dev/mem can kill the machine")]
    ConfidentialGuest,
    /// It has no kernel virtual memory.
    #[error("it has only physical memory, and kernel memory was asked for")]
    PhysicalOnly,
    /// The kernel's virtual memory cannot be found in it.
    #[error("kernel memory cannot be found: {0}")]
    NoKernelMap(String),
    /// The uses of pages are not known.
    #[error("what pages are used for cannot be told: /proc/kpageflags: {0}")]
    NoPageFlags(String),
    /// The path is neither a kcore nor a memory device.
    #[error("it is no kcore, no memory device and no memory image")]
    UnknownKind,
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

impl Reason {
    /// The remedy, in plain words.
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::Missing => {
                "the kernel was built without it, or its module is not loaded, or /proc is not \
                 mounted"
            }
            Reason::NoPageFlags(_) => "run as root on the machine itself, or take all pages",
            Reason::Masked => {
                "run on the host, or give the container the host's /proc and name its kcore as the source"
            }
            Reason::Permission => "run as root",
            Reason::Capability => "run as root outside of a container, or grant CAP_SYS_RAWIO",
            Reason::Lockdown("confidentiality") => {
                "nothing on the running machine can read its memory now: boot without \
                 lockdown=confidentiality, or take a dump from the hypervisor or by kdump"
            }
            Reason::Lockdown(_) => "use /proc/kcore, which this level allows",
            Reason::Refused => "look at `dmesg` for a line that begins with Lockdown",
            Reason::StrictDevmem { .. } => "use /proc/kcore",
            Reason::Unreadable { .. } | Reason::Malformed(_) | Reason::Other(_) => {
                "use another source"
            }
            Reason::NoPhysicalAddresses => {
                "run with CAP_SYS_ADMIN so that /proc/iomem shows addresses"
            }
            Reason::NoMap(_) => "run as root, so that /proc/iomem shows addresses",
            Reason::ConfidentialGuest => "use /proc/kcore",
            Reason::PhysicalOnly => "use /proc/kcore, or take physical memory",
            Reason::NoKernelMap(_) => "take physical memory instead",
            Reason::UnknownKind => "name a path to a kcore, or kcore, crash, mem or auto",
        }
    }
}
