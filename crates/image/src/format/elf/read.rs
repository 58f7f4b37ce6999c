//! The reader: program headers and notes of any ELF64 core of a machine, and its memory.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, NoteHeader64, ProgramHeader64, SectionHeader64};
use object::pod::{self, Pod};

use super::super::{FormatError, Image, core, not_in_image, read_file};
use super::{EHDR_LEN, FORMAT, IDENT, NO_PADDR, PHDR_LEN, PN_XNUM};
use crate::{
    AddressSpace, Extent, Facts, MemoryMap, ReadAt, ReadError, Region, RegionKind, Space,
    VmCoreInfo,
};

/// More segments than any machine has; a file with more is not read.
const MAX_SEGMENTS: u64 = 1 << 20;
/// More notes than thousands of CPUs write.
const MAX_NOTES_LEN: u64 = 16 << 20;
/// Bytes of notes that are read at a time.
const NOTES_STEP: u64 = 64 << 10;

/// The headers of an ELF64 core.
#[derive(Clone, Debug)]
pub struct ElfCore {
    /// `e_machine`.
    pub machine: u16,
    /// The PT_LOAD headers, in the order of the file. Nothing of them has been checked.
    pub segments: Vec<Segment>,
    /// What the PT_NOTE segments hold, one after another.
    pub notes: Vec<u8>,
}

/// A note of a core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// Its name, without the NUL.
    pub name: &'a [u8],
    /// Its type, which means something together with the name.
    pub kind: u32,
    /// What it holds.
    pub descriptor: &'a [u8],
}

/// A PT_LOAD header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `p_offset`: where its bytes stand in the file.
    pub offset: u64,
    /// `p_vaddr`.
    pub vaddr: u64,
    /// `p_paddr`; [`NO_PADDR`] for kernel memory that is not contiguous there.
    pub paddr: u64,
    /// `p_filesz`: bytes in the file.
    pub file_size: u64,
    /// `p_memsz`: bytes in memory.
    pub memory_size: u64,
    /// `p_flags`.
    pub flags: u32,
    /// Where this header stands in the file.
    pub header: u64,
}

impl ElfCore {
    /// Reads the headers and notes of `file`, which may be `/proc/kcore`: its size is not asked for.
    ///
    /// # Errors
    /// When it is no little-endian ELF64 core or a header lies outside of it.
    pub fn read(file: &dyn ReadAt) -> Result<Self, FormatError> {
        let header: FileHeader64<LE> = read_pod(file, 0)?;
        if pod::bytes_of(&header)[..IDENT.len()] != IDENT {
            return Err(bad(0, "e_ident", "it is no little-endian 64-bit ELF file"));
        }
        if header.e_type.get(LE) != elf::ET_CORE {
            return Err(bad(16, "e_type", "it is no core file (ET_CORE)"));
        }
        if u64::from(header.e_phentsize.get(LE)) != PHDR_LEN {
            return Err(bad(54, "e_phentsize", "a program header has 56 bytes"));
        }
        let count = match u64::from(header.e_phnum.get(LE)) {
            PN_XNUM => {
                let section: SectionHeader64<LE> = read_pod(file, header.e_shoff.get(LE))?;
                u64::from(section.sh_info.get(LE))
            }
            count => count,
        };
        if count > MAX_SEGMENTS {
            let problem = format!("{count} program headers; at most {MAX_SEGMENTS} are read");
            return Err(bad(56, "e_phnum", problem));
        }

        let mut core =
            Self { machine: header.e_machine.get(LE).0, segments: Vec::new(), notes: Vec::new() };
        let table = header.e_phoff.get(LE);
        for index in 0..count {
            let at = table
                .checked_add(index * PHDR_LEN)
                .ok_or_else(|| bad(32, "e_phoff", "the program headers lie past any file"))?;
            let header: ProgramHeader64<LE> = read_pod(file, at)?;
            match header.p_type.get(LE) {
                elf::PT_LOAD => {
                    core.segments.push(Segment {
                        offset: header.p_offset.get(LE),
                        vaddr: header.p_vaddr.get(LE),
                        paddr: header.p_paddr.get(LE),
                        file_size: header.p_filesz.get(LE),
                        memory_size: header.p_memsz.get(LE),
                        flags: header.p_flags.get(LE).0,
                        header: at,
                    });
                }
                elf::PT_NOTE => core.read_notes(file, at, &header)?,
                _ => {}
            }
        }
        Ok(core)
    }

    fn read_notes(
        &mut self,
        file: &dyn ReadAt,
        at: u64,
        header: &ProgramHeader64<LE>,
    ) -> Result<(), FormatError> {
        let (offset, len) = (header.p_offset.get(LE), header.p_filesz.get(LE));
        // What is here already is no more than may be.
        if len > MAX_NOTES_LEN - self.notes.len() as u64 {
            let problem = format!("notes of {len} bytes; at most {MAX_NOTES_LEN} are read");
            return Err(bad(at + 32, "p_filesz", problem));
        }
        // In steps: the file may be shorter than it says.
        let mut done = 0;
        while done < len {
            let here = self.notes.len();
            let now = NOTES_STEP.min(len - done);
            self.notes.resize(here + now as usize, 0);
            read_exact(file, offset.saturating_add(done), &mut self.notes[here..])?;
            done += now;
        }
        Ok(())
    }

    /// The notes, up to the first that is damaged.
    pub fn notes(&self) -> impl Iterator<Item = Note<'_>> {
        notes(&self.notes)
    }

    /// The descriptor of the first note of that name; its type is not looked at.
    pub fn note(&self, name: &str) -> Option<&[u8]> {
        self.notes().find(|note| note.name == name.as_bytes()).map(|note| note.descriptor)
    }

    /// VMCOREINFO, which stands in `/proc/kcore` since Linux 4.19.
    pub fn vmcoreinfo(&self) -> Option<VmCoreInfo> {
        VmCoreInfo::new(self.note("VMCOREINFO")?.to_vec())
    }

    /// What the headers say of the machine.
    pub fn facts(&self) -> Facts {
        let vmcoreinfo = self.vmcoreinfo();
        let machine = match elf::Machine(self.machine) {
            elf::EM_X86_64 => Some("x86_64"),
            elf::EM_AARCH64 => Some("aarch64"),
            elf::EM_RISCV => Some("riscv64"),
            elf::EM_LOONGARCH => Some("loongarch64"),
            _ => None,
        };
        Facts {
            release: vmcoreinfo.as_ref().and_then(|info| info.release().map(str::to_owned)),
            machine: machine.map(str::to_owned),
            elf_notes: Some(self.notes.clone()),
            vmcoreinfo,
            ..Facts::default()
        }
    }
}

/// The notes in the content of a PT_NOTE segment, up to the first that is damaged.
pub fn notes(mut rest: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let (header, after) = pod::from_bytes::<NoteHeader64<LE>>(rest).ok()?;
        let name_len = header.n_namesz.get(LE) as usize;
        let desc_len = header.n_descsz.get(LE) as usize;
        let desc_at = name_len.checked_next_multiple_of(4)?;
        let name = after.get(..name_len)?;
        let descriptor = after.get(desc_at..desc_at.checked_add(desc_len)?)?;
        rest = after.get(desc_at + desc_len.next_multiple_of(4)..).unwrap_or(&[]);
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        Some(Note { name, kind: header.n_type.get(LE).0, descriptor })
    })
}

/// An image of the kernel's virtual memory has segments without a physical address; in every other
/// core of a machine the physical addresses are the ones that no two segments share.
///
/// The core of a process is left to its own format.
pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Image, FormatError> {
    let core = ElfCore::read(&*file)?;
    if core::is_process(&core) {
        return core::from_headers(core, file);
    }
    let virtual_only = core.segments.iter().any(|segment| segment.paddr == NO_PADDR);
    let space = if virtual_only { Space::Kernel } else { Space::Physical };

    let mut found = Vec::new();
    for segment in &core.segments {
        let at = segment.header;
        let (start, other) = match space {
            Space::Physical => (segment.paddr, Some(segment.vaddr).filter(|&vaddr| vaddr != 0)),
            _ => (segment.vaddr, Some(segment.paddr).filter(|&p| p != NO_PADDR)),
        };
        if segment.file_size == 0 {
            continue;
        }
        let extent = Extent::with_len(start, segment.file_size)
            .map_err(|error| bad(at, "p_filesz", error.to_string()))?;
        if segment.offset.checked_add(segment.file_size).is_none() {
            return Err(bad(at, "p_offset", "the segment lies past any file"));
        }
        found.push((extent, segment.offset, other));
    }
    // The kernel's own vmcore has its text once more, as a part of RAM: it is the same memory.
    found.sort_unstable_by_key(|(extent, ..)| (extent.start(), Reverse(extent.end())));
    let mut segments = Vec::new();
    let mut regions = Vec::new();
    let mut end = 0_u64;
    for (extent, offset, other) in found {
        let (_, rest) = extent.split_at(end.saturating_sub(extent.start()));
        let Some(rest) = rest else { continue };
        let skipped = rest.start() - extent.start();
        end = rest.end();
        segments.push((rest, offset + skipped));
        let counterpart = other.map(|other: u64| other.wrapping_add(skipped));
        regions.push(Region { counterpart, ..Region::new(rest, RegionKind::Unknown) });
    }
    let map = MemoryMap::new(space, regions)
        .map_err(|error| bad(EHDR_LEN, "p_paddr", error.to_string()))?;
    Ok(Image { facts: core.facts(), space: Box::new(ElfImage { map, segments, file }) })
}

struct ElfImage {
    map: MemoryMap,
    /// Where each segment lies and where its bytes stand in the file; ascending.
    segments: Vec<(Extent, u64)>,
    file: Arc<dyn ReadAt>,
}

impl AddressSpace for ElfImage {
    fn map(&self) -> &MemoryMap {
        &self.map
    }

    fn read_at(&self, addr: u64, buf: &mut [u8]) -> Result<usize, ReadError> {
        let after = self.segments.partition_point(|(extent, _)| extent.start() <= addr);
        let segment = self.segments[..after].last().filter(|(extent, _)| extent.contains(addr));
        let Some((extent, offset)) = segment else {
            return Err(not_in_image(addr));
        };
        let within = addr - extent.start();
        let len = buf.len().min(usize::try_from(extent.len() - within).unwrap_or(usize::MAX));
        read_file(&*self.file, addr, offset + within, &mut buf[..len])
    }
}

fn bad(offset: u64, field: &'static str, problem: impl Into<String>) -> FormatError {
    FormatError::Field { format: FORMAT.name, offset, field, problem: problem.into() }
}

fn read_exact(file: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
    file.read_exact_at(offset, buf).map_err(|source: io::Error| FormatError::Read {
        format: FORMAT.name,
        offset,
        source,
    })
}

/// Reads a structure of plain bytes.
fn read_pod<T: Pod>(file: &dyn ReadAt, offset: u64) -> Result<T, FormatError> {
    // The largest of the headers read here has 64 bytes.
    let mut bytes = [0; 64];
    let bytes = &mut bytes[..size_of::<T>()];
    read_exact(file, offset, bytes)?;
    match pod::from_bytes::<T>(bytes) {
        Ok((value, _)) => Ok(*value),
        Err(()) => Err(bad(offset, "header", "it is cut short")),
    }
}
