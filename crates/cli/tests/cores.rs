//! `memdump strings` and `hexdump` on cores of processes, at the processes' addresses. The results are compared with GNU strings and
//! hexdump(1) on the same bytes. The tests of each command read cores as plain files instead.

#[path = "support/looking.rs"]
mod support;

use std::fs;
use std::path::Path;

use support::{Files, printed, run, said};

/// The contiguous stretches of memory in an ELF64 core (elf(5)): the address of the first byte, and the bytes.
fn stretches(core: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let word = |at: usize| u64::from_le_bytes(core[at..at + 8].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(core[at..at + 2].try_into().unwrap());
    let mut stretches: Vec<(u64, Vec<u8>)> = Vec::new();
    for index in 0..usize::from(half(56)) {
        let header = word(32) as usize + 56 * index;
        let (offset, addr, len) = (word(header + 8), word(header + 16), word(header + 32));
        // Only PT_LOAD; memory that the core leaves out has no bytes in the file.
        if word(header) as u32 != 1 || len == 0 {
            continue;
        }
        let bytes = &core[offset as usize..(offset + len) as usize];
        match stretches.last_mut() {
            Some((start, before)) if *start + before.len() as u64 == addr => {
                before.extend_from_slice(bytes);
            }
            _ => stretches.push((addr, bytes.to_vec())),
        }
    }
    stretches
}

/// A program's output for each stretch, with its lines' first numbers, in hexadecimal, as addresses.
fn expected(core: &Path, program: &str, args: &[&str], shown: fn(u64) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stretch");
    let mut all = Vec::new();
    for (start, bytes) in stretches(&fs::read(core).unwrap()) {
        fs::write(&file, bytes).unwrap();
        for line in printed(program, args, &file).split_inclusive(|&byte| byte == b'\n') {
            let begin = line.iter().position(|&byte| byte != b' ').unwrap();
            let digits = line[begin..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let (number, rest) = line[begin..].split_at(digits);
            if let Ok(offset) = u64::from_str_radix(std::str::from_utf8(number).unwrap(), 16) {
                all.extend_from_slice(shown(start + offset).as_bytes());
            }
            all.extend_from_slice(rest);
        }
    }
    all
}

#[test]
fn what_is_in_a_core_is_found_at_its_addresses() {
    let files = Files::new();
    for core in &files.paths[..2] {
        let wanted = expected(core, "hexdump", &["-C"], |addr| format!("{addr:016x}"));
        let output = run(&["hexdump", "-q"], core);
        assert!(output.stdout == wanted, "hexdump {core:?}: {}", said(&output));
        for encoding in ["s", "l", "L"] {
            let args = ["-e", encoding, "-n", "4", "-t", "x"];
            let wanted = expected(core, "strings", &[&["-a"], &args[..]].concat(), |addr| {
                format!("{addr:7x}")
            });
            let output = run(&[&["strings", "-q"], &args[..]].concat(), core);
            assert!(output.stdout == wanted, "strings {core:?} {encoding}: {}", said(&output));
        }
    }
}
