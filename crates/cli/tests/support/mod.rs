//! A made-up `/proc` with a kcore, laid out by hand without the crates under test.

#![allow(dead_code, reason = "each test uses some of it")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) const PAGE: u64 = 4096;
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
const TEXT: u64 = 0xffff_ffff_8100_0000;

/// The RAM of the made-up machine, in whole pages: start and end (exclusive).
pub(crate) const RAM: [(u64, u64); 3] =
    [(0x1000, 0x9f000), (0x10_0000, 0x60_0000), (0x100_0000, 0x130_0000)];

/// Its `/proc/iomem`: the first range ends within a page.
const IOMEM: &str = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
00100000-005fffff : System RAM
  00200000-002fffff : Kernel code
01000000-012fffff : System RAM
";

pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
}

/// The byte at a physical address.
pub(crate) fn byte_at(phys: u64) -> u8 {
    (phys.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
}

/// The bytes of a range of physical addresses.
pub(crate) fn memory(start: u64, end: u64) -> Vec<u8> {
    (start..end).map(byte_at).collect()
}

/// All RAM, region after region.
pub(crate) fn all_memory() -> Vec<u8> {
    RAM.iter().flat_map(|&(start, end)| memory(start, end)).collect()
}

impl Machine {
    /// A machine without bad pages.
    pub(crate) fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.path("proc")).unwrap();
        let offset_of = |phys: u64| 0x2000 + phys;
        let mut segments = vec![
            // Offset, virtual address, physical address, size. The kernel's text is an alias of RAM.
            [offset_of(0x20_0000), TEXT, 0x20_0000, 0x10_0000],
            [0x2000, 0xffff_c900_0000_0000, u64::MAX, 1 << 45],
        ];
        for (start, end) in RAM {
            segments.push([offset_of(start), DIRECT_MAP + start, start, end - start]);
        }
        let note = laid_out::elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0-made-up\nPAGESIZE=4096\n");
        let head = laid_out::elf_head(&note, &segments);

        let kcore = fs::File::create(machine.kcore()).unwrap();
        kcore.write_all_at(&head, 0).unwrap();
        for (start, end) in RAM {
            kcore.write_all_at(&memory(start, end), offset_of(start)).unwrap();
        }
        fs::write(machine.path("proc/iomem"), IOMEM).unwrap();
        machine.flags(&[]);
        machine
    }

    pub(crate) fn kcore(&self) -> PathBuf {
        self.path("proc/kcore")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets the flags of page frames in `kpageflags`; all others are 0.
    pub(crate) fn flags(&self, flags: &[(u64, u64)]) {
        let file = fs::File::create(self.path("proc/kpageflags")).unwrap();
        file.set_len(0x130_0000 / PAGE * 8).unwrap();
        for (frame, value) in flags {
            file.write_all_at(&value.to_ne_bytes(), frame * 8).unwrap();
        }
    }

    /// The command, set up to read from this machine.
    pub(crate) fn memdump(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
        command.arg("--source").arg(self.kcore()).args(args);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the command and captures its output.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.memdump(args).output().unwrap()
    }
}

/// A program's standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The mode of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
