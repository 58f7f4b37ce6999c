//! The architecture of a processor. Layouts of registers and notes are chosen by it, never by a length.

use std::fmt;

use object::elf;

/// An architecture that memory, or a thread's registers, can be of. All of them are little-endian.
///
/// ```
/// use memdump_image::Arch;
///
/// assert_eq!(Arch::from_uname("armv7l"), Some(Arch::Arm));
/// assert_eq!(Arch::from_uname("i586").map(Arch::name), Some("i686"));
/// assert_eq!(Arch::X86_64.pointer_size(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// x86 with 64 bits. Programs of the x32 ABI are of it too: their registers are.
    X86_64,
    /// x86 with 32 bits (i386).
    X86,
    /// Arm with 64 bits.
    Aarch64,
    /// Arm with 32 bits.
    Arm,
    /// RISC-V with 64 bits.
    Riscv64,
    /// LoongArch with 64 bits.
    Loongarch64,
}

impl Arch {
    /// The architecture that this program was built for; none when it is not one of these.
    pub const fn here() -> Option<Self> {
        match () {
            () if cfg!(target_arch = "x86_64") => Some(Self::X86_64),
            () if cfg!(target_arch = "x86") => Some(Self::X86),
            () if cfg!(target_endian = "big") => None,
            () if cfg!(target_arch = "aarch64") => Some(Self::Aarch64),
            () if cfg!(target_arch = "arm") => Some(Self::Arm),
            () if cfg!(target_arch = "riscv64") => Some(Self::Riscv64),
            () if cfg!(target_arch = "loongarch64") => Some(Self::Loongarch64),
            () => None,
        }
    }

    /// The architecture of a machine that `uname -m` names so (`UTS_MACHINE` in the kernel's
    /// `arch/*/Makefile`; 32-bit Arm appends its version and its byte order).
    pub fn from_uname(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "i386" | "i486" | "i586" | "i686" => Some(Self::X86),
            "aarch64" => Some(Self::Aarch64),
            "arm" => Some(Self::Arm),
            // A `b` at the end means big-endian.
            _ if name.starts_with("armv") && name.ends_with('l') => Some(Self::Arm),
            "riscv64" => Some(Self::Riscv64),
            "loongarch64" => Some(Self::Loongarch64),
            _ => None,
        }
    }

    /// The name that `uname -m` has for it; of several the usual one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::X86 => "i686",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// The architecture of an ELF file with this `e_machine`, whose class is ELFCLASS64 or not.
    ///
    /// The class alone does not tell the width of an architecture: a machine of 32 bits can have a vmcore of 64
    /// (kexec's `--elf64-core-headers`), and x32 programs are ELFCLASS32.
    pub fn from_elf_machine(machine: u16, is_64_bit: bool) -> Option<Self> {
        match elf::Machine(machine) {
            elf::EM_X86_64 => Some(Self::X86_64),
            elf::EM_386 => Some(Self::X86),
            elf::EM_AARCH64 => Some(Self::Aarch64),
            elf::EM_ARM => Some(Self::Arm),
            // One number for both widths.
            elf::EM_RISCV if is_64_bit => Some(Self::Riscv64),
            elf::EM_LOONGARCH if is_64_bit => Some(Self::Loongarch64),
            _ => None,
        }
    }

    /// Its `e_machine` (`include/uapi/linux/elf-em.h`).
    pub const fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => elf::EM_X86_64.0,
            Self::X86 => elf::EM_386.0,
            Self::Aarch64 => elf::EM_AARCH64.0,
            Self::Arm => elf::EM_ARM.0,
            Self::Riscv64 => elf::EM_RISCV.0,
            Self::Loongarch64 => elf::EM_LOONGARCH.0,
        }
    }

    /// Bytes of an address, and of a `long`.
    pub const fn pointer_size(self) -> usize {
        match self {
            Self::X86 | Self::Arm => 4,
            Self::X86_64 | Self::Aarch64 | Self::Riscv64 | Self::Loongarch64 => 8,
        }
    }

    /// The architecture of the 32-bit programs that its kernels run too.
    pub const fn compat(self) -> Option<Self> {
        match self {
            Self::X86_64 => Some(Self::X86),
            Self::Aarch64 => Some(Self::Arm),
            _ => None,
        }
    }
}

/// Its name, as `uname -m` has it.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Arch; 6] =
        [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm, Arch::Riscv64, Arch::Loongarch64];

    #[test]
    fn names_and_numbers_lead_back() {
        for arch in ALL {
            assert_eq!(Arch::from_uname(arch.name()), Some(arch));
            let is_64_bit = arch.pointer_size() == 8;
            assert_eq!(Arch::from_elf_machine(arch.elf_machine(), is_64_bit), Some(arch));
        }
        let numbers = ALL.map(Arch::elf_machine);
        assert_eq!(numbers, [62, 3, 183, 40, 243, 258]);
    }

    #[test]
    fn other_names_of_a_machine() {
        assert_eq!(Arch::from_uname("i386"), Some(Arch::X86));
        assert_eq!(Arch::from_uname("armv8l"), Some(Arch::Arm));
        for other in ["armv7b", "aarch64_be", "ppc64le", "s390x", "riscv32", ""] {
            assert_eq!(Arch::from_uname(other), None, "{other}");
        }
        assert_eq!(Arch::from_elf_machine(243, false), None);
        assert_eq!(Arch::from_elf_machine(22, true), None); // EM_S390
    }
}
