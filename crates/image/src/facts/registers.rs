//! The registers of a thread, as `PTRACE_GETREGSET` gives them and a core's notes hold them.

use std::fmt;

use crate::Arch;

/// `NT_PRSTATUS`: as a register set, the general registers.
const NT_PRSTATUS: u32 = 1;
/// `NT_PRFPREG`: the floating point registers.
const NT_PRFPREG: u32 = 2;

/// The register sets of a thread and the architecture that they are of.
#[derive(Clone, PartialEq, Eq)]
pub struct Registers {
    arch: Arch,
    /// By their types, in the order of the core's notes; the general ones are always first.
    sets: Vec<(u32, Vec<u8>)>,
}

impl Registers {
    /// The general registers of a thread: `struct user_regs_struct` on x86 and x86-64, `struct user_pt_regs` on arm64,
    /// `struct pt_regs` on arm, `struct user_regs_struct` on RISC-V.
    pub fn new(arch: Arch, general: Vec<u8>) -> Self {
        Self { arch, sets: vec![(NT_PRSTATUS, general)] }
    }

    /// The same with one more set, whose type is `kind`: `NT_PRFPREG`, `NT_X86_XSTATE`, `NT_ARM_TLS` and so on
    /// (`include/uapi/linux/elf.h`). A core holds the sets in the order in which they are added.
    #[must_use]
    pub fn with(mut self, kind: u32, bytes: Vec<u8>) -> Self {
        self.sets.push((kind, bytes));
        self
    }

    /// Their architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The general registers, as the kernel laid them out.
    pub fn general(&self) -> &[u8] {
        &self.sets[0].1
    }

    /// The floating point registers (`NT_PRFPREG`), if the thread has any.
    pub fn floating(&self) -> Option<&[u8]> {
        self.set(NT_PRFPREG)
    }

    /// The set of that type.
    pub fn set(&self, kind: u32) -> Option<&[u8]> {
        self.sets().find(|&(of, _)| of == kind).map(|(_, bytes)| bytes)
    }

    /// All sets and their types, the general registers first.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.sets.iter().map(|(kind, bytes)| (*kind, &bytes[..]))
    }

    /// The stack pointer.
    pub fn stack_pointer(&self) -> Option<u64> {
        self.word(layout(self.arch).stack_pointer)
    }

    /// The address of the next instruction.
    pub fn program_counter(&self) -> Option<u64> {
        self.word(layout(self.arch).program_counter)
    }

    /// The bytes of an architecture's general registers.
    pub const fn general_len(arch: Arch) -> usize {
        layout(arch).words * arch.pointer_size()
    }

    /// The general register of that number; none where the set is not whole.
    fn word(&self, index: usize) -> Option<u64> {
        if self.general().len() != Self::general_len(self.arch) {
            return None;
        }
        let len = self.arch.pointer_size();
        let mut word = [0; 8];
        word[..len].copy_from_slice(&self.general()[index * len..][..len]);
        Some(u64::from_le_bytes(word))
    }
}

/// The places of the general registers, counted in words of the architecture.
struct Layout {
    words: usize,
    stack_pointer: usize,
    program_counter: usize,
}

/// The layouts in the kernel's `arch/*/include/{uapi/,}asm`.
const fn layout(arch: Arch) -> Layout {
    let (words, stack_pointer, program_counter) = match arch {
        // `struct user_regs_struct` in `user_64.h`: `sp`, `ip`.
        Arch::X86_64 => (27, 19, 16),
        // The same in `user_32.h`.
        Arch::X86 => (17, 15, 12),
        // `struct user_pt_regs` in `ptrace.h`: 31 registers, `sp`, `pc`, `pstate`.
        Arch::Aarch64 => (34, 31, 32),
        // `struct pt_regs` in `ptrace.h`: 16 registers, `cpsr`, `orig_r0`.
        Arch::Arm => (18, 13, 15),
        // `struct user_regs_struct` in `ptrace.h`: `pc`, `ra`, `sp`, 29 more.
        Arch::Riscv64 => (32, 2, 0),
        // `struct user_pt_regs` in `ptrace.h`: 32 registers, `orig_a0`, `csr_era`, `csr_badv`, 10 reserved.
        Arch::Loongarch64 => (45, 3, 33),
    };
    Layout { words, stack_pointer, program_counter }
}

/// The architecture and which sets there are: registers are memory too.
impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<u32> = self.sets().map(|(kind, _)| kind).collect();
        f.debug_struct("Registers").field("arch", &self.arch).field("kinds", &kinds).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word of general registers holds its own number.
    fn numbered(arch: Arch) -> Registers {
        let word = |index: u64| index.to_le_bytes()[..arch.pointer_size()].to_vec();
        let words = (Registers::general_len(arch) / arch.pointer_size()) as u64;
        Registers::new(arch, (0..words).flat_map(word).collect())
    }

    #[test]
    fn the_kernels_layouts() {
        for (arch, len, stack_pointer, program_counter) in [
            (Arch::X86_64, 216, 19, 16),
            (Arch::X86, 68, 15, 12),
            (Arch::Aarch64, 272, 31, 32),
            (Arch::Arm, 72, 13, 15),
            (Arch::Riscv64, 256, 2, 0),
            (Arch::Loongarch64, 360, 3, 33),
        ] {
            let registers = numbered(arch);
            assert_eq!(registers.general().len(), len, "{arch}");
            assert_eq!(registers.stack_pointer(), Some(stack_pointer), "{arch}");
            assert_eq!(registers.program_counter(), Some(program_counter), "{arch}");
        }
    }

    #[test]
    fn a_set_that_is_not_whole_has_no_pointers() {
        for len in [0, 68, 215, 217, 272] {
            let registers = Registers::new(Arch::X86_64, vec![1; len]);
            assert_eq!((registers.stack_pointer(), registers.program_counter()), (None, None));
        }
    }

    #[test]
    fn other_sets_by_their_type_and_none_in_debug_output() {
        let registers = Registers::new(Arch::X86_64, vec![77; 216]).with(2, vec![78; 512]);
        assert_eq!(registers.floating(), Some(&[78; 512][..]));
        assert_eq!(registers.set(0x202), None);
        let kinds: Vec<u32> = registers.sets().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [1, 2]);
        assert_eq!(format!("{registers:?}"), "Registers { arch: X86_64, kinds: [1, 2] }");
    }
}
