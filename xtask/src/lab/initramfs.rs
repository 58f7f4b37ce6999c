//! The guest's root file system: busybox, the kernel's modules, and the programs that run there. One archive in the `newc` form of
//! cpio(5) (Documentation/driver-api/early-userspace/buffer-format.rst), uncompressed: the kernel takes it as it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use crate::setup;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// A file of the guest.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The path in the guest, without the leading slash.
    pub(crate) path: String,
    /// The path on this machine.
    pub(crate) file: PathBuf,
}

/// Writes the archive for `kernel` to `path`.
pub(crate) fn write(path: &Path, kernel: &Kernel, programs: &[Program]) -> Result<()> {
    let mut archive = Archive::default();
    let read = |file: &Path| fs::read(file).with_context(|| format!("read {}", file.display()));

    for folder in ["bin", "dev", "etc", "lib", "lib/modules", "proc", "sys", "tmp"] {
        archive.add(folder, DIRECTORY, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &read(&setup::deb("busybox-static")?.join("bin/busybox"))?);
    archive.add("bin/sh", LINK, b"busybox");
    archive.add("init", LINK, b"bin/lab-guest");
    for program in programs {
        archive.add_folders(&program.path);
        archive.add(&program.path, PROGRAM, &read(&program.file)?);
    }
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let inside = format!("lib/modules/{name}");
        archive.add(&inside, PROGRAM, &read(module)?);
        order.push_str(&format!("/{inside}\n"));
    }
    archive.add("lib/modules/load", PROGRAM, order.as_bytes());
    fs::write(path, archive.finish()).with_context(|| format!("write {}", path.display()))
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let links = 1;
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize (NUL counted), check
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    /// The directories that lead to a file. One that is there already is taken again without harm.
    fn add_folders(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            self.add(&path[..end], DIRECTORY, &[]);
        }
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}
