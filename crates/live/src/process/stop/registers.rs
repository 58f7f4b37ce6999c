//! The register sets of a thread that stands, as the kernel gives them.

use memdump_image::{Arch, Registers};
use rustix::io::{Errno, Result};

use crate::sys::ptrace;

/// Its general registers; none on an architecture that [`Arch`] does not know.
pub(super) fn general(tid: u32) -> Result<Option<Registers>> {
    let bytes = ptrace::registers(tid, ptrace::NT_PRSTATUS)?;
    Ok(Arch::here().map(|kernel| Registers::new(arch(kernel, &bytes), bytes)))
}

/// These and all other sets.
pub(super) fn with_others(tid: u32, mut registers: Registers) -> Result<Registers> {
    let others: &[u32] = match Arch::here() {
        Some(Arch::X86_64 | Arch::X86) => &[ptrace::NT_PRFPREG, ptrace::NT_X86_XSTATE],
        _ => &[ptrace::NT_PRFPREG],
    };
    for &kind in others {
        if let Some(bytes) = optional(ptrace::registers(tid, kind))?.filter(|set| !set.is_empty()) {
            registers = registers.with(kind, bytes);
        }
    }
    Ok(registers)
}

/// None where the kernel or the machine has no such thing to tell.
pub(super) fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::SRCH) => Err(Errno::SRCH),
        Err(_) => Ok(None),
    }
}

/// The architecture of a thread, on a kernel of the architecture `kernel`.
///
/// It is the thread's own, not its program's: a 64-bit program on x86-64 may run 32-bit code (Wine does), and then
/// PTRACE_GETREGSET answers with the registers of the mode in which the thread stands (`task_user_regset_view` in
/// `arch/x86/kernel/ptrace.c` and `arch/arm64/kernel/ptrace.c`). How much it answers is the only way in which the kernel says
/// which of the two sets that is, so it is asked here, and nowhere else.
fn arch(kernel: Arch, general: &[u8]) -> Arch {
    let is_compat = |arch: &Arch| general.len() == Registers::general_len(*arch);
    kernel.compat().filter(is_compat).unwrap_or(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_in_32_bit_code_has_registers_of_32_bits() {
        assert_eq!(arch(Arch::X86_64, &[0; 216]), Arch::X86_64);
        assert_eq!(arch(Arch::X86_64, &[0; 68]), Arch::X86);
        assert_eq!(arch(Arch::Aarch64, &[0; 272]), Arch::Aarch64);
        assert_eq!(arch(Arch::Aarch64, &[0; 72]), Arch::Arm);
        assert_eq!(arch(Arch::Riscv64, &[0; 256]), Arch::Riscv64);
    }
}
