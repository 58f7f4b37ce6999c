//! The reason for the kernel's EPERM to ptrace. It does not say, so the same facts are looked at in
//! the order in which it checks them (`__ptrace_may_access` in `kernel/ptrace.c`, `security/commoncap.c`,
//! `security/yama/yama_lsm.c`).

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::status::{self, Status};

/// `CAP_SYS_PTRACE` (`include/uapi/linux/capability.h`).
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// The reason why a process may not be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// It belongs to another user or group.
    OtherUser {
        /// The effective user of the process.
        user: u32,
        /// Ours.
        ours: u32,
    },
    /// It changed its user or group, or its program may not be read, or it asked for it.
    NotDumpable,
    /// It has capabilities that we have not.
    Capabilities,
    /// The security module Yama, with its `ptrace_scope`.
    Yama(u8),
    /// Our capabilities count in our user namespace only.
    UserNamespace,
    /// Memdump itself runs under a seccomp filter, as containers do.
    OurFilter,
    /// None of these: another security module.
    Unknown,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUser { user, ours } => {
                write!(f, "it belongs to user {user}, memdump runs as user {ours}")
            }
            Self::NotDumpable => {
                write!(f, "it is not dumpable (its files in /proc belong to root)")
            }
            Self::Capabilities => {
                write!(f, "it has capabilities that memdump has not (CapPrm)")
            }
            Self::Yama(scope) => {
                write!(f, "Yama's ptrace_scope is {scope} (/proc/sys/kernel/yama/ptrace_scope)")
            }
            Self::UserNamespace => write!(
                f,
                "it is outside of memdump's user namespace, where memdump's capabilities do not count"
            ),
            Self::OurFilter => {
                write!(f, "memdump itself runs under a seccomp filter, which may forbid ptrace")
            }
            Self::Unknown => write!(
                f,
                "EPERM, though user, capabilities and Yama would allow it: probably a security module \
                 (SELinux, AppArmor)"
            ),
        }
    }
}

impl Denial {
    /// The remedy, in plain words.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OtherUser { .. } => "run as that user, or as root (CAP_SYS_PTRACE)",
            Self::NotDumpable | Self::Capabilities => "run as root (CAP_SYS_PTRACE)",
            Self::Yama(1) => {
                "run as root (CAP_SYS_PTRACE), or `sysctl kernel.yama.ptrace_scope=0` for the time"
            }
            Self::Yama(2) => "run as root (CAP_SYS_PTRACE)",
            Self::Yama(_) => "nobody may trace until the next boot: this scope cannot be lowered",
            Self::UserNamespace => "run memdump outside of the container, on the host",
            Self::OurFilter => "run outside of the container, or give it the capability SYS_PTRACE",
            Self::Unknown => "look at `dmesg` or the audit log for the refusal",
        }
    }
}

/// The facts about both sides.
#[derive(Clone, Debug, Default)]
struct Facts {
    ours: Status,
    target: Status,
    yama: Option<u8>,
    /// The owner of `/proc/PID`: root's when the process is not dumpable.
    owner: Option<u32>,
    /// Our user namespace is not the first one.
    nested: bool,
}

/// The reason why the thread may not be traced, right after EPERM.
pub(in crate::process) fn explain(tid: u32) -> Denial {
    let read = |path: &str| fs::read_to_string(path).ok();
    let facts = Facts {
        ours: Status::read(std::process::id()).unwrap_or_default(),
        target: Status::read(tid).unwrap_or_default(),
        yama: read("/proc/sys/kernel/yama/ptrace_scope")
            .and_then(|scope| scope.trim().parse().ok()),
        owner: fs::metadata(status::file(tid, "")).ok().map(|folder| folder.uid()),
        nested: read("/proc/self/uid_map").is_some_and(|map| !maps_everyone(&map)),
    };
    decide(&facts)
}

/// Returns true if a `uid_map` is that of the first user namespace: all 2^32-1 users onto themselves.
fn maps_everyone(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn decide(facts: &Facts) -> Denial {
    let Facts { ours, target, yama, owner, nested } = facts;
    let unknown = if ours.seccomp == 0 { Denial::Unknown } else { Denial::OurFilter };
    if *yama == Some(3) {
        return Denial::Yama(3);
    }
    if ours.effective & CAP_SYS_PTRACE != 0 {
        return if *nested { Denial::UserNamespace } else { unknown };
    }
    let one_user = target.users[..3].iter().all(|&user| user == ours.users[0]);
    let one_group = target.groups[..3].iter().all(|&group| group == ours.groups[0]);
    if !one_user || !one_group {
        return Denial::OtherUser { user: target.users[1], ours: ours.users[0] };
    }
    if owner.is_some_and(|owner| owner != target.users[1]) {
        return Denial::NotDumpable;
    }
    if target.permitted & !ours.permitted != 0 {
        return Denial::Capabilities;
    }
    match yama {
        Some(scope @ 1..) => Denial::Yama(*scope),
        _ => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32) -> Status {
        Status { users: [id; 4], groups: [id; 4], ..Status::default() }
    }

    #[test]
    fn each_cause_by_its_facts() {
        let same = Facts { ours: user(7), target: user(7), owner: Some(7), ..Facts::default() };
        assert_eq!(decide(&same), Denial::Unknown);
        assert_eq!(decide(&Facts { yama: Some(0), ..same.clone() }), Denial::Unknown);
        assert_eq!(decide(&Facts { yama: Some(1), ..same.clone() }), Denial::Yama(1));
        assert_eq!(decide(&Facts { yama: Some(2), ..same.clone() }), Denial::Yama(2));
        assert_eq!(decide(&Facts { owner: Some(0), ..same.clone() }), Denial::NotDumpable);
        let other = Facts { target: user(8), owner: Some(8), yama: Some(1), ..same.clone() };
        assert_eq!(decide(&other), Denial::OtherUser { user: 8, ours: 7 });
        let strong = Status { permitted: 1 << 10, ..user(7) };
        assert_eq!(decide(&Facts { target: strong, ..same.clone() }), Denial::Capabilities);

        let root = Status { effective: CAP_SYS_PTRACE, ..user(0) };
        let capable = Facts { ours: root, target: user(7), owner: Some(7), ..Facts::default() };
        assert_eq!(decide(&Facts { yama: Some(2), ..capable.clone() }), Denial::Unknown);
        assert_eq!(decide(&Facts { yama: Some(3), ..capable.clone() }), Denial::Yama(3));
        assert_eq!(decide(&Facts { nested: true, ..capable }), Denial::UserNamespace);
    }

    #[test]
    fn the_first_user_namespace() {
        assert!(maps_everyone("         0          0 4294967295\n"));
        assert!(!maps_everyone("         0       1000          1\n"));
    }
}
