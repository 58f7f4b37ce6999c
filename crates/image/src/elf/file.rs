//! The headers of an ELF core file, of 64 bits or 32, read and checked.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader32, FileHeader64};
use object::pod::{self, Pod};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::layout::{IDENT, IDENT_32, PN_XNUM};
use super::note::{Note, notes};
use crate::problem::{Field, FormatError, OpenMode, Problems, read_up_to};
use crate::{Arch, Extent, Facts, ReadAt, VmCoreInfo};

/// The name of such files in errors.
pub(crate) const NAME: &str = "elf";
/// The offsets of fields in `Elf64_Phdr`, in bytes.
const P_OFFSET: u64 = 8;
const P_FILESZ: u64 = 32;
/// More segments than any machine has; a file with more is not read.
const MAX_SEGMENTS: u64 = 1 << 20;
/// More notes than thousands of CPUs write.
const MAX_NOTES_LEN: u64 = 16 << 20;
/// Bytes of notes that are read at a time.
const NOTES_STEP: u64 = 64 << 10;

/// The headers of an ELF core.
#[derive(Clone, Debug, Default)]
pub struct ElfFile {
    /// True if its class is ELFCLASS32.
    pub is_32_bit: bool,
    /// `e_machine`.
    pub machine: u16,
    /// The PT_LOAD headers, in the order of the file. Nothing of them has been checked.
    pub segments: Vec<Segment>,
    /// The content of the PT_NOTE segments, one after another.
    pub notes: Vec<u8>,
}

/// A PT_LOAD header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `p_offset`: where its bytes stand in the file.
    pub offset: u64,
    /// `p_vaddr`.
    pub vaddr: u64,
    /// `p_paddr`; [`NO_PADDR`](super::NO_PADDR) for kernel memory that is not contiguous there.
    pub paddr: u64,
    /// `p_filesz`: bytes in the file.
    pub file_size: u64,
    /// `p_memsz`: bytes in memory.
    pub memory_size: u64,
    /// `p_flags`.
    pub flags: u32,
    /// The offset of this header in the file, in bytes.
    pub header: u64,
    /// True if it is an `Elf32_Phdr`.
    pub is_32_bit: bool,
}

impl ElfFile {
    /// Reads the headers and notes of `file`, which may be `/proc/kcore`: its size is not asked for.
    ///
    /// # Errors
    /// When it is no little-endian ELF core or a header lies outside of it.
    pub fn read(file: &dyn ReadAt) -> Result<Self, FormatError> {
        match Self::read_with(file, &mut Problems::new(OpenMode::Strict))? {
            (core, None) => Ok(core),
            (_, Some(problem)) => Err(problem),
        }
    }

    /// The same, without headers that are not valid, if that is allowed. The second value is the problem of the notes: they stand
    /// at the end of some files, and missing memory is to be reported first.
    pub(crate) fn read_with(
        file: &dyn ReadAt,
        problems: &mut Problems,
    ) -> Result<(Self, Option<FormatError>), FormatError> {
        let mut ident = [0; IDENT.len()];
        Field { format: NAME, field: "ELF header", offset: 0 }.read(file, &mut ident)?;
        match ident {
            IDENT => Self::read_class::<FileHeader64<LE>>(file, problems),
            IDENT_32 => Self::read_class::<FileHeader32<LE>>(file, problems),
            _ => Err(bad(0, "e_ident", "it is no little-endian ELF file")),
        }
    }

    fn read_class<H: FileHeader<Endian = LE>>(
        file: &dyn ReadAt,
        problems: &mut Problems,
    ) -> Result<(Self, Option<FormatError>), FormatError> {
        let header: H = read_pod(file, 0, "ELF header")?;
        let is_32_bit = !header.is_type_64();
        // Where the fields stand that can be wrong: `Elf32_Ehdr` and `Elf64_Ehdr` in elf(5).
        let [phoff, phentsize, phnum] = if is_32_bit { [28, 42, 44] } else { [32, 54, 56] };
        if header.e_type(LE) != elf::ET_CORE {
            return Err(bad(16, "e_type", "it is no core file (ET_CORE)"));
        }
        let phdr_len = size_of::<H::ProgramHeader>() as u64;
        if u64::from(header.e_phentsize(LE)) != phdr_len {
            let problem = format!("a program header has {phdr_len} bytes");
            problems.found(bad(phentsize, "e_phentsize", problem))?;
        }
        let mut count = match u64::from(header.e_phnum(LE)) {
            PN_XNUM => {
                let section = read_pod(file, header.e_shoff(LE).into(), "section header 0");
                let section: Option<H::SectionHeader> = problems.or_none(section)?;
                section.map_or(PN_XNUM, |section| section.sh_info(LE).into())
            }
            count => count,
        };
        if count > MAX_SEGMENTS {
            let problem = format!("{count} program headers; at most {MAX_SEGMENTS} are read");
            problems.found(bad(phnum, "e_phnum", problem))?;
            count = MAX_SEGMENTS;
        }

        let machine = header.e_machine(LE).0;
        let mut core = Self { is_32_bit, machine, ..Self::default() };
        let mut with_notes = None;
        let table: u64 = header.e_phoff(LE).into();
        for index in 0..count {
            let Some(at) = table.checked_add(index * phdr_len) else {
                problems.found(bad(phoff, "e_phoff", "the program headers lie past any file"))?;
                break;
            };
            let header: Option<H::ProgramHeader> =
                problems.or_none(read_pod(file, at, "program header"))?;
            // Where one is not there, none is after it.
            let Some(header) = header else { break };
            let segment = Segment {
                offset: header.p_offset(LE).into(),
                vaddr: header.p_vaddr(LE).into(),
                paddr: header.p_paddr(LE).into(),
                file_size: header.p_filesz(LE).into(),
                memory_size: header.p_memsz(LE).into(),
                flags: header.p_flags(LE).0,
                header: at,
                is_32_bit,
            };
            match header.p_type(LE) {
                elf::PT_LOAD => core.segments.push(segment),
                elf::PT_NOTE => {
                    with_notes = with_notes.or(core.read_notes(file, &segment).err());
                }
                _ => {}
            }
        }
        Ok((core, with_notes))
    }

    /// Keeps the notes that are there, also when they are not whole.
    fn read_notes(&mut self, file: &dyn ReadAt, segment: &Segment) -> Result<(), FormatError> {
        let (offset, len) = (segment.offset, segment.file_size);
        // What is here already is no more than may be.
        if len > MAX_NOTES_LEN - self.notes.len() as u64 {
            let problem = format!("notes of {len} bytes; at most {MAX_NOTES_LEN} are read");
            return Err(bad(segment.place(P_FILESZ), "p_filesz", problem));
        }
        // In steps: the file may be shorter than it says.
        let mut done = 0;
        while done < len {
            let here = self.notes.len();
            let now = NOTES_STEP.min(len - done);
            self.notes.resize(here + now as usize, 0);
            let offset = offset.saturating_add(done);
            let notes = Field { format: NAME, field: "notes", offset };
            let read = read_up_to(file, offset, &mut self.notes[here..]);
            let found = *read.as_ref().unwrap_or(&0);
            self.notes.truncate(here + found);
            if read.map_err(|source| notes.failed(source))? < now as usize {
                return Err(notes.cut(found, now as usize));
            }
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

    /// The architecture that the header names.
    pub fn arch(&self) -> Option<Arch> {
        Arch::from_elf_machine(self.machine, !self.is_32_bit)
    }

    /// The facts of the machine that the headers tell.
    pub fn facts(&self) -> Facts {
        let vmcoreinfo = self.vmcoreinfo();
        Facts {
            release: vmcoreinfo.as_ref().and_then(|info| info.release().map(str::to_owned)),
            arch: self.arch(),
            elf_notes: Some(self.notes.clone()),
            vmcoreinfo,
            ..Facts::default()
        }
    }
}

impl Segment {
    /// The offset in the file of a field of the header. `distance` is its offset in `Elf64_Phdr`; in `Elf32_Phdr` the fields that
    /// can be wrong stand at half of that.
    pub(crate) fn place(&self, distance: u64) -> u64 {
        self.header + if self.is_32_bit { distance / 2 } else { distance }
    }

    /// The addresses of its content of `len` bytes from `start` on; none if it has no content.
    pub(crate) fn extent(&self, start: u64, len: u64) -> Result<Option<Extent>, FormatError> {
        if len == 0 {
            return Ok(None);
        }
        let end = self.offset.checked_add(len);
        if end.is_none_or(|end| end > i64::MAX.cast_unsigned()) {
            return Err(bad(self.place(P_OFFSET), "p_offset", "the segment lies past any file"));
        }
        let extent = Extent::with_len(start, len);
        extent.map(Some).map_err(|error| bad(self.place(P_FILESZ), "p_filesz", error.to_string()))
    }
}

fn bad(offset: u64, field: &'static str, problem: impl Into<String>) -> FormatError {
    FormatError::Field { format: NAME, offset, field, problem: problem.into() }
}

/// Reads a structure of plain bytes.
fn read_pod<T: Pod>(file: &dyn ReadAt, offset: u64, field: &'static str) -> Result<T, FormatError> {
    // The largest of the headers read here has 64 bytes.
    let mut bytes = [0; 64];
    let bytes = &mut bytes[..size_of::<T>()];
    let header = Field { format: NAME, field, offset };
    header.read(file, bytes)?;
    match pod::from_bytes::<T>(bytes) {
        Ok((value, _)) => Ok(*value),
        Err(()) => Err(header.bad("it is cut short")),
    }
}
