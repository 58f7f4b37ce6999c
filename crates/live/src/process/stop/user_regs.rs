//! The general registers of an x86-64 thread: `struct user_regs_struct` (`arch/x86/include/asm/user_64.h`), 27
//! words. The registers of a 32-bit thread are not these.

use memdump_image::{Arch, Registers};
use rustix::io::Result;

use super::registers;
use crate::sys::ptrace;

/// The values in `rax` of a thread that stopped on its way out of an interrupted system call
/// (`include/linux/errno.h`): which of ways to call it again when no signal is handled.
const RESTART: std::ops::RangeInclusive<i64> = -516..=-512;
/// `ERESTARTNOHAND`: call it again, unless a handler runs: then it is EINTR.
const RESTART_UNLESS_HANDLED: i64 = -514;

/// The registers, in the kernel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserRegs([u64; 27]);

impl UserRegs {
    const R10: usize = 7;
    const R9: usize = 8;
    const R8: usize = 9;
    const RAX: usize = 10;
    const RDX: usize = 12;
    const RSI: usize = 13;
    const RDI: usize = 14;
    const ORIG_RAX: usize = 15;
    const RIP: usize = 16;
    const FLAGS: usize = 18;
    /// The arguments of a system call, in order.
    const ARGUMENTS: [usize; 6] = [Self::RDI, Self::RSI, Self::RDX, Self::R10, Self::R8, Self::R9];
    /// The trap flag.
    const TF: u64 = 1 << 8;

    /// Takes them apart; none when they are not those of a 64-bit thread.
    pub(crate) fn of(registers: &Registers) -> Option<Self> {
        if registers.arch() != Arch::X86_64 {
            return None;
        }
        let (words, rest) = registers.general().as_chunks::<8>();
        let words: [[u8; 8]; 27] = words.try_into().ok()?;
        rest.is_empty().then(|| Self(words.map(u64::from_ne_bytes)))
    }

    pub(crate) fn read(tid: u32) -> Result<Option<Self>> {
        Ok(registers::general(tid)?.as_ref().and_then(Self::of))
    }

    pub(crate) fn write(&self, tid: u32) -> Result<()> {
        ptrace::set_registers(tid, ptrace::NT_PRSTATUS, self.0.map(u64::to_ne_bytes).as_flattened())
    }

    /// The next instruction.
    pub(crate) fn instruction(&self) -> u64 {
        self.0[Self::RIP]
    }

    pub(crate) fn set_instruction(&mut self, addr: u64) {
        self.0[Self::RIP] = addr;
    }

    /// The result of a system call.
    pub(crate) fn result(&self) -> i64 {
        self.0[Self::RAX].cast_signed()
    }

    /// The system call that the thread is in; none when it is in its own code.
    pub(crate) fn syscall(&self) -> Option<u64> {
        u64::try_from(self.0[Self::ORIG_RAX].cast_signed()).ok()
    }

    /// An argument of the system call, counted from 0.
    pub(crate) fn argument(&self, index: usize) -> u64 {
        self.0[Self::ARGUMENTS[index]]
    }

    /// Returns true if the kernel will make the interrupted system call again when the thread runs on.
    pub(crate) fn restarts(&self) -> bool {
        self.syscall().is_some() && RESTART.contains(&self.result())
    }

    /// These registers with the next instruction, at `site`, making a system call. In the eyes of the kernel the
    /// thread comes from no system call now, so that it restarts none on the way there.
    pub(crate) fn calling(&self, site: u64, number: i64, arguments: &[u64]) -> Self {
        let mut call = *self;
        call.0[Self::RIP] = site;
        call.0[Self::RAX] = number.cast_unsigned();
        call.0[Self::ORIG_RAX] = u64::MAX;
        call.0[Self::FLAGS] &= !Self::TF;
        for (&register, &argument) in Self::ARGUMENTS.iter().zip(arguments) {
            call.0[register] = argument;
        }
        call
    }

    /// These registers with the kernel told to make the system call again, unless a handler runs.
    pub(crate) fn restarting(&self) -> Self {
        let mut again = *self;
        again.0[Self::RAX] = RESTART_UNLESS_HANDLED.cast_unsigned();
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_the_kernels_order() {
        let words: [u64; 27] = std::array::from_fn(|index| index as u64);
        let bytes = words.map(u64::to_ne_bytes);
        let registers = Registers::new(Arch::X86_64, bytes.as_flattened().to_vec());
        let mut registers = UserRegs::of(&registers).expect("27 words");
        assert_eq!(registers.instruction(), 16);
        assert_eq!(registers.syscall(), Some(15));
        assert_eq!(registers.result(), 10);
        let arguments: Vec<u64> = (0..6).map(|index| registers.argument(index)).collect();
        assert_eq!(arguments, [14, 13, 12, 7, 9, 8]);

        registers.0[UserRegs::FLAGS] = 0x346;
        let call = registers.calling(0x1000, 56, &[1, 2]);
        assert_eq!((call.instruction(), call.result(), call.syscall()), (0x1000, 56, None));
        assert_eq!((call.argument(0), call.argument(1), call.argument(2)), (1, 2, 12));
        assert_eq!(call.0[UserRegs::FLAGS], 0x246);
        assert!(!call.restarts() && registers.restarting().restarts());
        assert_eq!(UserRegs::of(&Registers::new(Arch::X86, vec![0; 17 * 4])), None);
    }
}
