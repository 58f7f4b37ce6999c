//! Facts that an image carries beside bytes.

mod process;
mod registers;

use std::fmt;
use std::time::Duration;

pub use process::{ProcessFacts, Thread, XsaveComponent};
pub use registers::Registers;

use crate::Arch;

/// Facts about the machine that memory came from, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `uname -n`.
    pub host: Option<String>,
    /// `uname -r`.
    pub release: Option<String>,
    /// `uname -v`: which build of the release it is.
    pub version: Option<String>,
    /// The architecture of the machine, which selects layouts and the ELF machine number. None where it is not
    /// known, or is not one that [`Arch`] knows: then `machine_name` may say more.
    pub arch: Option<Arch>,
    /// `uname -m` where it is not the usual name of `arch`: `armv7l`, or a machine that [`Arch`] does not know. It is
    /// only shown; [`set_machine`](Self::set_machine) keeps both in step.
    pub machine_name: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// When the memory was taken, since 1970 (UTC).
    pub taken: Option<Duration>,
    /// The kernel's description of itself for crash tools.
    pub vmcoreinfo: Option<VmCoreInfo>,
    /// The content of the source's own PT_NOTE segment, whole and as found, VMCOREINFO included.
    pub elf_notes: Option<Vec<u8>>,
    /// The process, where the memory is one's.
    pub process: Option<ProcessFacts>,
}

impl Facts {
    /// `uname -m` of the machine.
    pub fn machine(&self) -> Option<&str> {
        self.machine_name.as_deref().or_else(|| self.arch.map(Arch::name))
    }

    /// Takes over what `uname -m` says: the architecture, and the name where that does not follow from it.
    pub fn set_machine(&mut self, name: &str) {
        self.arch = Arch::from_uname(name);
        let is_usual = self.arch.is_some_and(|arch| arch.name() == name);
        self.machine_name = (!is_usual).then(|| name.to_owned());
    }

    /// Returns true if the memory is known to come from a machine of another architecture, be it one that [`Arch`]
    /// does not know.
    pub fn is_of_other_arch(&self, arch: Arch) -> bool {
        match self.arch {
            Some(known) => known != arch,
            None => self.machine_name.is_some(),
        }
    }
}

/// The kernel's VMCOREINFO: lines of `KEY=VALUE`, written by `crash_save_vmcoreinfo_init`
/// in `kernel/vmcore_info.c`.
#[derive(Clone, PartialEq, Eq)]
pub struct VmCoreInfo(Vec<u8>);

impl VmCoreInfo {
    /// More than any kernel writes (it reserves one page); a longer text is not VMCOREINFO.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Takes `text` as it is; none when it is too long or holds no line `KEY=VALUE`. Trailing NULs
    /// go.
    pub fn new(mut text: Vec<u8>) -> Option<Self> {
        let used = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        text.truncate(used);
        (text.len() <= Self::MAX_LEN && text.contains(&b'=')).then_some(Self(text))
    }

    /// The text, as the kernel wrote it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of the line `key=…`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.split(|&byte| byte == b'\n').find_map(|line| {
            let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        })
    }

    /// `SYMBOL(name)=…`, a hexadecimal address.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.get(&format!("SYMBOL({name})"))?, 16).ok()
    }

    /// `NUMBER(name)=…`, decimal (it may be negative) or `0x` hexadecimal.
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(&format!("NUMBER({name})"))?;
        match value.strip_prefix("0x") {
            // The kernel prints unsigned addresses this way: keep the bits.
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
            None => value.parse().ok(),
        }
    }

    /// `OSRELEASE=…`.
    pub fn release(&self) -> Option<&str> {
        self.get("OSRELEASE")
    }

    /// `PAGESIZE=…`, in bytes, where it is a power of two.
    pub fn page_size(&self) -> Option<u64> {
        self.get("PAGESIZE")?.parse().ok().filter(|size: &u64| size.is_power_of_two())
    }
}

/// Only how long it is: the text belongs to the evidence, not to logs.
impl fmt::Debug for VmCoreInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmCoreInfo({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines as Linux 6.1 writes them, the values made up.
    const SAMPLE: &str = "OSRELEASE=6.1.0-56-cloud-amd64\nBUILD-ID=00ff\nPAGESIZE=4096\n\
        SYMBOL(init_uts_ns)=ffffffffbd01a8c0\nSYMBOL(swapper_pg_dir)=ffffffffbdc0a000\n\
        SIZE(list_head)=16\nNUMBER(phys_base)=-1006632960\nNUMBER(pgtable_l5_enabled)=0\n\
        NUMBER(PHYS_OFFSET)=0xffff000000000000\nKERNELOFFSET=3bc00000\n";

    #[test]
    fn reads_what_the_kernel_writes() {
        let mut padded = SAMPLE.as_bytes().to_vec();
        padded.extend([0; 7]);
        let info = VmCoreInfo::new(padded).unwrap();
        assert_eq!(info.as_bytes(), SAMPLE.as_bytes());
        assert_eq!(info.release(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(info.page_size(), Some(4096));
        assert_eq!(info.symbol("swapper_pg_dir"), Some(0xffff_ffff_bdc0_a000));
        assert_eq!(info.number("phys_base"), Some(-1_006_632_960));
        assert_eq!(info.number("PHYS_OFFSET"), Some(0xffff_0000_0000_0000_u64.cast_signed()));
        assert_eq!(info.symbol("nothing"), None);
    }

    #[test]
    fn a_machine_keeps_its_name() {
        let mut facts = Facts::default();
        assert!(facts.machine().is_none() && !facts.is_of_other_arch(Arch::X86_64));
        for (name, arch, kept) in [
            ("x86_64", Some(Arch::X86_64), None),
            ("armv7l", Some(Arch::Arm), Some("armv7l")),
            ("ppc64le", None, Some("ppc64le")),
        ] {
            facts.set_machine(name);
            assert_eq!((facts.arch, facts.machine_name.as_deref()), (arch, kept));
            assert_eq!(facts.machine(), Some(name));
            assert_eq!(facts.is_of_other_arch(Arch::X86_64), name != "x86_64");
        }
    }

    #[test]
    fn what_is_no_vmcoreinfo_is_none() {
        assert!(VmCoreInfo::new(vec![0; 4096]).is_none());
        assert!(VmCoreInfo::new(vec![b'='; VmCoreInfo::MAX_LEN + 1]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..300), key in ".{0,5}") {
            if let Some(info) = VmCoreInfo::new(text) {
                let _ = (info.get(&key), info.symbol(&key), info.number(&key), info.page_size());
            }
        }
    }
}
