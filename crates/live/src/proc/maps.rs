//! `/proc/PID/maps` and `/proc/PID/smaps`, as bytes: a path may be any.
//!
//! Format: `show_map_vma` and `show_smap` in `fs/proc/task_mmu.c`: `START-END PERMS OFFSET MAJOR:MINOR
//! INODE`, END the first address beyond, all hexadecimal but the inode; then blanks and the name. A
//! newline in a path is written as `\012`.

use std::str;

use memdump_image::{Extent, Permissions};

/// A mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vma {
    pub(crate) extent: Extent,
    pub(crate) permissions: Permissions,
    /// Bytes.
    pub(crate) offset: u64,
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    /// The path of its file, or a name in brackets; empty where it has none.
    pub(crate) name: Vec<u8>,
}

/// The facts that smaps adds: how much of a mapping is where, in bytes, and its flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) resident: u64,
    pub(crate) swapped: u64,
    /// Private pages: written, or without a file.
    pub(crate) anonymous: u64,
    pub(crate) flags: VmFlags,
}

/// The flags of a mapping that matter here (`VmFlags`, two letters each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VmFlags {
    /// `dd`, MADV_DONTDUMP.
    pub(crate) dont_dump: bool,
    /// `dc`, MADV_DONTFORK.
    pub(crate) dont_fork: bool,
    /// `wf`, MADV_WIPEONFORK.
    pub(crate) wipe_on_fork: bool,
    /// `io` or `pf`: device memory, or pages without a page structure.
    pub(crate) device: bool,
    /// `ht`, of hugetlbfs.
    pub(crate) huge: bool,
}

/// The mappings that `text`, a maps file, names, in its order; lines that make no sense are none.
pub(crate) fn parse_maps(text: &[u8]) -> Vec<Vma> {
    text.split(|&byte| byte == b'\n').filter_map(vma).collect()
}

/// The mappings that `text`, an smaps file, names, each with what it says of them.
pub(crate) fn parse_smaps(text: &[u8]) -> Vec<(Vma, Usage)> {
    let mut mappings: Vec<(Vma, Usage)> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        if let Some(vma) = vma(line) {
            mappings.push((vma, Usage::default()));
            continue;
        }
        if let (Some((_, usage)), Ok(line)) = (mappings.last_mut(), str::from_utf8(line)) {
            attribute(usage, line);
        }
    }
    mappings
}

fn attribute(usage: &mut Usage, line: &str) {
    let Some((key, value)) = line.split_once(':') else { return };
    let bytes = || super::status::kilobytes(value.trim()).unwrap_or(0);
    match key {
        "Rss" => usage.resident = bytes(),
        "Swap" => usage.swapped = bytes(),
        "Anonymous" => usage.anonymous = bytes(),
        "VmFlags" => {
            for flag in value.split_whitespace() {
                match flag {
                    "dd" => usage.flags.dont_dump = true,
                    "dc" => usage.flags.dont_fork = true,
                    "wf" => usage.flags.wipe_on_fork = true,
                    "io" | "pf" => usage.flags.device = true,
                    "ht" => usage.flags.huge = true,
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn vma(line: &[u8]) -> Option<Vma> {
    // Five fields, then blanks up to a column, then the name, which may have blanks itself.
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.strip_prefix(b" ").unwrap_or(after);
        word
    };
    let hex = |text: &[u8]| u64::from_str_radix(str::from_utf8(text).ok()?, 16).ok();
    let pair = |text: &[u8], separator| -> Option<(u64, u64)> {
        let at = text.iter().position(|&byte| byte == separator)?;
        Some((hex(&text[..at])?, hex(&text[at + 1..])?))
    };
    let (start, end) = pair(field(), b'-')?;
    let permissions = Permissions::parse(field())?;
    let offset = hex(field())?;
    let (major, minor) = pair(field(), b':')?;
    let inode = str::from_utf8(field()).ok()?.parse().ok()?;
    Some(Vma {
        extent: Extent::half_open(start, end).ok()?,
        permissions,
        offset,
        device: (major.try_into().ok()?, minor.try_into().ok()?),
        inode,
        name: unescape(rest.trim_ascii_start()),
    })
}

/// Undoes `\012`, the one character that the kernel escapes here.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match rest.strip_prefix(b"\\012") {
            Some(after) => {
                plain.push(b'\n');
                after
            }
            None => {
                plain.push(byte);
                after
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Laid out as Linux 6.18 prints it, the values made up; one path is no UTF-8.
    const MAPS: &[u8] = b"55d0c0a00000-55d0c0a02000 r--p 00003000 fe:01 1048602                    /usr/bin/a b (deleted)\n\
        7f10c0000000-7f10c0021000 rw-p 00000000 00:00 0 \n\
        7f10d0000000-7f10d0001000 rw-s 00000000 00:01 2049                       /dev/zero (deleted)\n\
        7f10e0000000-7f10e0001000 ---p 00000000 fe:01 7                          /tmp/\xff\xfe\\012x\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

    #[test]
    fn every_kind_of_line() {
        let vmas = parse_maps(MAPS);
        assert_eq!(vmas.len(), 5);
        assert_eq!(vmas[0].extent, Extent::half_open(0x55d0_c0a0_0000, 0x55d0_c0a0_2000).unwrap());
        assert_eq!((vmas[0].offset, vmas[0].device, vmas[0].inode), (0x3000, (0xfe, 1), 1_048_602));
        assert_eq!(vmas[0].name, b"/usr/bin/a b (deleted)");
        assert_eq!(vmas[1].name, b"");
        assert_eq!(vmas[2].permissions.to_string(), "rw-s");
        assert_eq!(vmas[3].name, b"/tmp/\xff\xfe\nx");
        assert_eq!(vmas[4].extent.end(), 0xffff_ffff_ff60_1000);
    }

    #[test]
    fn smaps_adds_sizes_and_flags() {
        let text =
            b"1000-3000 rw-p 00000000 00:00 0 \nSize:    8 kB\nRss:    4 kB\nAnonymous: 4 kB\n\
            Swap:   4 kB\nVmFlags: rd wr mr dd wf dc \n3000-4000 rw-p 00000000 00:00 0 [heap]\n\
            VmFlags: rd io pf ht\n";
        let mappings = parse_smaps(text);
        let usage = mappings[0].1;
        assert_eq!((usage.resident, usage.swapped, usage.anonymous), (4096, 4096, 4096));
        let flags = usage.flags;
        assert!(flags.dont_dump && flags.wipe_on_fork && flags.dont_fork && !flags.device);
        assert!(mappings[1].1.flags.device && mappings[1].1.flags.huge);
        assert_eq!(mappings[1].0.name, b"[heap]");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..400)) {
            parse_smaps(&noise);
            parse_maps(&[MAPS, &noise].concat());
        }
    }
}
