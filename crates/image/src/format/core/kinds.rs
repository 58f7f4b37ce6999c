//! The kinds of a core's segments, as its notes tell them: files, stacks, the heap.
//!
//! A core says itself where each segment lies and which file is mapped there (`NT_FILE`); the rest follows from the
//! auxiliary vector and the registers. Where the notes do not say, nothing is made up.

use std::collections::BTreeSet;

use object::elf;

use crate::elf::ElfFile;
use crate::{Backing, Extent, Region, RegionKind, Registers};

/// `NT_FILE` in `include/uapi/linux/elf.h`.
const NT_FILE: u32 = 0x4649_4c45;
/// The offsets of the general registers in `struct elf_prstatus`, of 64 bits and of 32, in bytes.
const REGISTERS: usize = 112;
const REGISTERS_32: usize = 72;
/// In `include/uapi/linux/auxvec.h`; the first three are addresses in the program, in the vdso, and in the stack.
const AT_PHDR: u64 = 3;
const AT_SYSINFO_EHDR: u64 = 33;
const AT_RANDOM: u64 = 25;
/// The greatest distance of a heap from its program, in bytes (`arch_randomize_brk`: 32 MiB on x86-64, 1 GiB on arm64), and
/// what the program's zeros may take in between.
const HEAP_DISTANCE: u64 = 2 << 30;
/// More mappings of files than a process may have (`vm.max_map_count` is 65,530 where nobody has raised it).
const MAX_FILES: u64 = 1 << 20;
/// Names of shared memory that lies in no file system that keeps it: `memfd_create`, `MAP_SHARED` without a file, `shmget`,
/// `shm_open`.
const SHARED: [&[u8]; 4] = [b"/memfd:", b"/dev/zero", b"/SYSV", b"/dev/shm/"];
/// Huge pages without a file have this one nevertheless.
const HUGE: &[u8] = b"/anon_hugepage";

/// Says of each region what it is for. They are those of the core's segments, ascending or not.
pub(super) fn tell(core: &ElfFile, regions: &mut [Region]) {
    let Some(files) = files(core) else { return };
    let executable: BTreeSet<&[u8]> = core
        .segments
        .iter()
        .filter(|segment| segment.flags & elf::PF_X.0 != 0)
        .filter_map(|segment| Some(around(&files, segment.vaddr)?.path))
        .collect();
    let vdso = auxiliary(core, AT_SYSINFO_EHDR);
    let stack = auxiliary(core, AT_RANDOM);
    let pointers: BTreeSet<u64> = stack_pointers(core).collect();
    for region in regions.iter_mut() {
        let extent = region.extent;
        let is_around = |addr: &Option<u64>| addr.is_some_and(|addr| extent.contains(addr));
        let (kind, label) = match around(&files, extent.start()) {
            Some(file) => {
                let kind = match file.path {
                    path if path.starts_with(HUGE) => RegionKind::Anonymous,
                    path if SHARED.iter().any(|shared| path.starts_with(shared)) => {
                        RegionKind::Shared
                    }
                    path if executable.contains(path) => RegionKind::Library,
                    _ => RegionKind::File,
                };
                if let Some(mapping) = &mut region.mapping {
                    mapping.backing = Some(Backing {
                        path: file.path.to_vec(),
                        offset: file.offset.wrapping_add(extent.start() - file.extent.start()),
                        device: (0, 0),
                        inode: 0,
                    });
                }
                (kind, String::from_utf8_lossy(file.path).into_owned())
            }
            None if is_around(&vdso) => (RegionKind::Special, "[vdso]".to_owned()),
            None if is_around(&stack) => (RegionKind::Stack, "[stack]".to_owned()),
            None if pointers.range(extent.start()..extent.end()).next().is_some() => {
                (RegionKind::ThreadStack, String::new())
            }
            None => (RegionKind::Anonymous, String::new()),
        };
        region.kind = kind;
        region.label = label;
    }
    if let Some(heap) = auxiliary(core, AT_PHDR).and_then(|addr| heap(addr, &files, regions)) {
        regions[heap].kind = RegionKind::Heap;
        regions[heap].label = "[heap]".to_owned();
    }
}

/// The heap is the first memory without a file behind the program, but for what touches it: that is the program's own, its
/// variables that are zero at the start. Where other files lie below the program it was not loaded in the usual way.
fn heap(in_program: u64, files: &[File<'_>], regions: &[Region]) -> Option<usize> {
    let program = around(files, in_program)?.path;
    let of_program = files.iter().filter(|file| file.path == program);
    let end = of_program.map(|file| file.extent.end()).max()?;
    if files.first()?.path != program {
        return None;
    }
    let behind = regions.iter().enumerate().filter(|(_, region)| {
        let is_writable = region.mapping.as_ref().is_some_and(|m| m.permissions.write);
        region.kind == RegionKind::Anonymous && is_writable && region.extent.start() > end
    });
    let (index, first) = behind.min_by_key(|(_, region)| region.extent.start())?;
    (first.extent.start() - end < HEAP_DISTANCE).then_some(index)
}

/// A mapping of a file.
struct File<'a> {
    extent: Extent,
    /// The offset in the file at which it begins, in bytes.
    offset: u64,
    path: &'a [u8],
}

/// The mappings of files (`fill_files_note` in `fs/binfmt_elf.c`): their number and the page size, then the start, the end and the
/// offset in pages of each, then their names; ascending. None where the note is missing or is not valid.
fn files(core: &ElfFile) -> Option<Vec<File<'_>>> {
    let note = core.notes().find(|note| note.name == b"CORE" && note.kind == NT_FILE)?;
    let word = |index: usize| word(core, note.descriptor, index);
    let (count, page_size) = (word(0)?, word(1)?);
    if count > MAX_FILES {
        return None;
    }
    let count = count as usize;
    let mut names =
        note.descriptor.get(word_len(core) * (2 + 3 * count)..)?.split(|&byte| byte == 0);
    let mut files = Vec::new();
    for index in 0..count {
        let at = 2 + 3 * index;
        let extent = Extent::half_open(word(at)?, word(at + 1)?).ok()?;
        let offset = word(at + 2)?.checked_mul(page_size)?;
        files.push(File { extent, offset, path: names.next()? });
    }
    files.sort_by_key(|file| file.extent);
    Some(files)
}

/// The file that is mapped at an address.
fn around<'a, 'b>(files: &'b [File<'a>], addr: u64) -> Option<&'b File<'a>> {
    let after = files.partition_point(|file| file.extent.start() <= addr);
    files[..after].last().filter(|file| file.extent.contains(addr))
}

/// A value of the auxiliary vector.
fn auxiliary(core: &ElfFile, key: u64) -> Option<u64> {
    let note = core.notes().find(|note| note.name == b"CORE" && note.kind == elf::NT_AUXV.0)?;
    let pairs = note.descriptor.len() / (2 * word_len(core));
    let word = |index: usize| word(core, note.descriptor, index);
    (0..pairs).find(|pair| word(2 * pair) == Some(key)).and_then(|pair| word(2 * pair + 1))
}

/// Bytes in an address or a `long` of the process.
fn word_len(core: &ElfFile) -> usize {
    if core.is_32_bit { 4 } else { 8 }
}

/// The word of that number.
fn word(core: &ElfFile, bytes: &[u8], index: usize) -> Option<u64> {
    let len = word_len(core);
    let found = bytes.get(index.checked_mul(len)?..)?.get(..len)?;
    let mut word = [0; 8];
    word[..len].copy_from_slice(found);
    Some(u64::from_le_bytes(word))
}

/// The stack pointers of the threads, where the layout of their registers is known.
fn stack_pointers(core: &ElfFile) -> impl Iterator<Item = u64> {
    let at = if core.is_32_bit { REGISTERS_32 } else { REGISTERS };
    let threads = core.notes().filter(|n| n.name == b"CORE" && n.kind == elf::NT_PRSTATUS.0);
    threads.filter_map(move |thread| {
        let arch = core.arch()?;
        let general = thread.descriptor.get(at..)?.get(..Registers::general_len(arch))?;
        Registers::new(arch, general.to_vec()).stack_pointer()
    })
}
