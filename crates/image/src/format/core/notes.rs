//! The notes of a process, in the order of the kernel's own dump (`fill_note_info` in
//! `fs/binfmt_elf.c`): for the first thread PRSTATUS, PRPSINFO, SIGINFO, AUXV, FILE and its other
//! registers, then each further thread.

use object::elf;

use super::fields::{Class, Fields};
use crate::elf::note;
use crate::{MemoryMap, ProcessFacts, Registers, Thread};

/// `NT_SIGINFO`, `NT_FILE` and `NT_X86_XSAVE_LAYOUT` in `include/uapi/linux/elf.h`.
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const NT_X86_XSAVE_LAYOUT: u32 = 0x205;
/// `sizeof(siginfo_t)`.
const SIGINFO_LEN: usize = 128;

/// All notes, one after another.
pub(super) fn all(
    process: &ProcessFacts,
    map: &MemoryMap,
    page_size: u64,
    class: Class,
) -> Vec<u8> {
    let mut notes = Vec::new();
    let mut core = |kind: u32, descriptor: &[u8]| notes.extend(note("CORE", kind, descriptor));
    let mut threads = process.threads.iter();
    let first = threads.next();
    if let Some(thread) = first {
        core(elf::NT_PRSTATUS.0, &prstatus(process, thread, class));
    }
    core(elf::NT_PRPSINFO.0, &prpsinfo(process, class));
    if let Some(thread) = first {
        let mut siginfo = thread.signal.clone().unwrap_or_default();
        siginfo.resize(SIGINFO_LEN, 0);
        core(NT_SIGINFO, &siginfo);
    }
    core(elf::NT_AUXV.0, &process.auxv);
    core(NT_FILE, &files(map, page_size, class));
    if let Some(thread) = first {
        notes.extend(other_registers(process, thread));
    }
    for thread in threads {
        notes.extend(note("CORE", elf::NT_PRSTATUS.0, &prstatus(process, thread, class)));
        notes.extend(other_registers(process, thread));
    }
    notes
}

/// All registers but the general ones. The layout of the extended ones comes once, with the first
/// thread, as it is the same for all.
fn other_registers(process: &ProcessFacts, thread: &Thread) -> Vec<u8> {
    let mut notes = Vec::new();
    let sets = thread.registers.iter().flat_map(Registers::sets);
    for (kind, set) in sets.filter(|&(kind, _)| kind != elf::NT_PRSTATUS.0) {
        // The floating point registers are the one set besides the general ones that all systems have.
        let name = if kind == elf::NT_PRFPREG.0 { "CORE" } else { "LINUX" };
        notes.extend(note(name, kind, set));
    }
    let is_first = process.threads.first().is_some_and(|first| first.tid == thread.tid);
    if is_first && !process.xsave_layout.is_empty() {
        notes.extend(note("LINUX", NT_X86_XSAVE_LAYOUT, &xsave_layout(process)));
    }
    notes
}

/// `struct elf_prstatus` in `include/linux/elfcore.h`; 336 bytes on x86-64.
fn prstatus(process: &ProcessFacts, thread: &Thread, class: Class) -> Vec<u8> {
    let mut fields = Fields { class, bytes: Vec::new() };
    let signal = thread.signal.as_deref().and_then(|info| info.first_chunk::<4>());
    let signal = signal.map_or(0, |&number| u32::from_le_bytes(number));
    fields.u32(signal).u32(0).u32(0).u16(signal as u16).pad_to_word(); // si_signo, si_code, si_errno, pr_cursig
    fields.word(thread.pending).word(thread.blocked); // pr_sigpend, pr_sighold
    fields.u32(thread.tid).u32(process.ppid).u32(process.pgrp).u32(process.sid);
    for time in [thread.user_time, thread.system_time, Default::default(), Default::default()] {
        fields.word(time.as_secs()).word(u64::from(time.subsec_micros())); // pr_utime … pr_cstime
    }
    let registers = thread.registers.as_ref();
    fields.put(registers.map_or(&[], Registers::general)); // pr_reg
    let floating = registers.and_then(Registers::floating);
    fields.u32(floating.is_some().into()).pad_to_word(); // pr_fpvalid
    fields.bytes
}

/// `struct elf_prpsinfo` in `include/linux/elfcore.h`; 136 bytes on x86-64.
fn prpsinfo(process: &ProcessFacts, class: Class) -> Vec<u8> {
    let mut fields = Fields { class, bytes: Vec::new() };
    // The kernel numbers the states as its letters stand in this text.
    let state = b"RSDTZW".iter().position(|&letter| letter == process.state).unwrap_or(0);
    let is_zombie = process.state == b'Z';
    let nice = process.nice.cast_unsigned();
    fields.put(&[state as u8, process.state, is_zombie.into(), nice]).pad_to_word();
    fields.word(process.flags);
    match class {
        Class::Elf64 => fields.u32(process.uid).u32(process.gid),
        Class::Elf32 => fields.u16(process.uid as u16).u16(process.gid as u16),
    };
    fields.u32(process.pid).u32(process.ppid).u32(process.pgrp).u32(process.sid);
    fields.text(&process.name, 16).text(&process.arguments, 80); // pr_fname, pr_psargs
    fields.bytes
}

/// The files behind mappings (`fill_files_note`): count, page size, then start, end and offset of
/// each, the offset in pages, then their names.
fn files(map: &MemoryMap, page_size: u64, class: Class) -> Vec<u8> {
    let mapped = map.regions().iter().filter_map(|region| {
        let backing = region.mapping.as_ref()?.backing.as_ref()?;
        Some((region.extent, backing))
    });
    let mapped: Vec<_> = mapped.collect();
    let mut fields = Fields { class, bytes: Vec::new() };
    fields.word(mapped.len() as u64).word(page_size);
    for (extent, backing) in &mapped {
        fields.word(extent.start()).word(extent.end()).word(backing.offset / page_size);
    }
    for (_, backing) in &mapped {
        fields.put(&backing.path).put(b"\0");
    }
    fields.bytes
}

/// `struct x86_xfeat_component` in `arch/x86/include/uapi/asm/elf.h`, one after another: type, size,
/// offset, flags.
fn xsave_layout(process: &ProcessFacts) -> Vec<u8> {
    let words = process.xsave_layout.iter().flat_map(|component| {
        [component.number, component.size, component.offset, 0].map(u32::to_le_bytes)
    });
    words.flatten().collect()
}
