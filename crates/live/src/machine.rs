//! The directories in which this machine shows itself, and the facts that are there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memdump_image::{Extent, ExtentSet, Facts};
use rustix::io::Errno;

use crate::proc::iomem::{self, IomemError, Resource};
use crate::proc::status::{self, Capability, Lockdown};
use crate::refusal::Reason;

/// The directories that a machine shows itself in.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// `/proc`, or another mount of it.
    pub(crate) proc: PathBuf,
    /// `/sys`.
    pub(crate) sys: PathBuf,
}

impl Machine {
    pub(crate) fn here() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }

    /// The machine whose `/proc` holds `kcore`. When that is not this system's own, nothing is known
    /// of its `/sys` but what stands beside it.
    pub(crate) fn of_kcore(kcore: &Path) -> Self {
        let proc = kcore.parent().unwrap_or(Path::new("/"));
        match proc == Path::new("/proc") {
            true => Self::here(),
            false => Self { proc: proc.into(), sys: proc.join("../sys") },
        }
    }

    fn read(&self, path: PathBuf) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    /// A file below `/proc`, as text.
    pub(crate) fn proc_text(&self, name: &str) -> Option<String> {
        self.read(self.proc.join(name))
    }

    /// A file below `/sys`, as text.
    pub(crate) fn sys_text(&self, name: &str) -> Option<String> {
        self.read(self.sys.join(name))
    }

    /// The resources in `/proc/iomem`; none when there is no such file or it may not be read.
    pub(crate) fn iomem(&self) -> Option<Result<Vec<Resource>, IomemError>> {
        Some(iomem::parse(&self.proc_text("iomem")?))
    }

    /// The RAM that the firmware reported at boot (`/sys/firmware/memmap`, inclusive ends); none where
    /// the kernel does not keep it.
    pub(crate) fn firmware_ram(&self) -> Option<ExtentSet> {
        let entries = fs::read_dir(self.sys.join("firmware/memmap")).ok()?;
        let ram = entries.filter_map(|entry| {
            let folder = entry.ok()?.path();
            let text = |name| fs::read_to_string(folder.join(name)).ok();
            let number = |name| {
                let text: String = text(name)?;
                u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
            };
            let is_ram = text("type")?.trim() == "System RAM";
            is_ram.then_some(Extent::inclusive(number("start")?, number("end")?).ok()?)
        });
        Some(ram.collect())
    }

    /// The kernel's level of lockdown; none when securityfs is not mounted.
    pub(crate) fn lockdown(&self) -> Option<Lockdown> {
        Lockdown::parse(&self.sys_text("kernel/security/lockdown")?)
    }

    /// Returns true if we hold a capability; none when that is not known.
    pub(crate) fn has(&self, capability: Capability) -> Option<bool> {
        status::has_capability(&fs::read_to_string("/proc/self/status").ok()?, capability)
    }

    /// Returns true if a hypervisor protects this guest's memory from itself, where a wrong access can kill
    /// it (SEV, TDX).
    pub(crate) fn is_confidential_guest(&self) -> bool {
        let flags = self.proc_text("cpuinfo").unwrap_or_default();
        let flagged = status_flags(&flags).any(|flag| {
            matches!(flag, "tdx_guest" | "sev_guest" | "sev_snp_guest" | "sev_es_guest")
        });
        flagged || Path::new("/dev/sev-guest").exists() || Path::new("/dev/tdx_guest").exists()
    }

    /// The reason why `path` could not be opened.
    pub(crate) fn refusal_of_open(&self, path: &Path, error: &io::Error) -> Reason {
        match Errno::from_io_error(error) {
            Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => Reason::Missing,
            Some(Errno::ACCESS) => Reason::Permission,
            Some(Errno::PERM) => match (self.has(Capability::SysRawio), self.lockdown()) {
                (Some(false), _) => Reason::Capability,
                (_, Some(level @ (Lockdown::Integrity | Lockdown::Confidentiality))) => {
                    Reason::Lockdown(level.name())
                }
                _ => Reason::Refused,
            },
            _ => Reason::Other(format!("cannot open {}: {error}", path.display())),
        }
    }

    /// The facts that every image should carry.
    pub(crate) fn facts(&self) -> Facts {
        let uname = rustix::system::uname();
        let text = |value: &std::ffi::CStr| value.to_str().ok().map(str::to_owned);
        let boot_id = self.proc_text("sys/kernel/random/boot_id");
        let mut facts = Facts {
            host: text(uname.nodename()),
            release: text(uname.release()),
            version: text(uname.version()),
            taken: SystemTime::now().duration_since(UNIX_EPOCH).ok(),
            boot_id: boot_id.map(|id| id.trim().to_owned()),
            ..Facts::default()
        };
        if let Ok(machine) = uname.machine().to_str() {
            facts.set_machine(machine);
        }
        facts
    }
}

/// The words of the first `flags` line of `/proc/cpuinfo`.
fn status_flags(cpuinfo: &str) -> impl Iterator<Item = &str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, flags)| flags).split_whitespace()
}

/// The machine's page size, in bytes.
pub(crate) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// The time since boot, sleep included: a clock that nobody sets (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The facts about this machine.
pub fn here() -> Facts {
    Machine::here().facts()
}

/// The most memory that this process has had, in bytes (`VmHWM`).
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status::kilobytes(status::field(&status, "VmHWM")?)
}
