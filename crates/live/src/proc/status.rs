//! Small files: `/proc/self/status` and `/sys/kernel/security/lockdown`.

/// The value of the line `key:` in a file like `/proc/self/status` or `/proc/meminfo`.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
}

/// A value such as `1234 kB`, in bytes.
pub(crate) fn kilobytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The capabilities that matter here, by their bit in `CapEff` (`include/uapi/linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    SysRawio = 17,
    SysAdmin = 21,
}

/// Returns true if `CapEff` of a status file has the capability.
pub(crate) fn has_capability(status: &str, capability: Capability) -> Option<bool> {
    let mask = u64::from_str_radix(field(status, "CapEff")?, 16).ok()?;
    Some(mask >> capability as u32 & 1 == 1)
}

/// The level of kernel lockdown (`security/lockdown/lockdown.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lockdown {
    None,
    Integrity,
    Confidentiality,
}

impl Lockdown {
    /// The kernel's name for the level.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }

    /// The file's levels stand in a row, the one in force in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once('[')?;
        match rest.split_once(']')?.0 {
            "none" => Some(Self::None),
            "integrity" => Some(Self::Integrity),
            "confidentiality" => Some(Self::Confidentiality),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_capabilities_and_levels() {
        let status = "Name:\tmemdump\nVmHWM:\t    2048 kB\nCapEff:\t0000000000200000\n";
        assert_eq!(field(status, "VmHWM").and_then(kilobytes), Some(2 << 20));
        assert_eq!(has_capability(status, Capability::SysAdmin), Some(true));
        assert_eq!(has_capability(status, Capability::SysRawio), Some(false));
        assert_eq!(has_capability("", Capability::SysRawio), None);
        assert_eq!(kilobytes("12 pages"), None);

        let level = |text| Lockdown::parse(text);
        assert_eq!(level("[none] integrity confidentiality\n"), Some(Lockdown::None));
        assert_eq!(level("none [integrity] confidentiality\n"), Some(Lockdown::Integrity));
        assert_eq!(level("none integrity [confidentiality]\n"), Some(Lockdown::Confidentiality));
        assert_eq!(level("none"), None);
    }
}
