//! The kernel that is booted when this one crashes: it stands ready in the memory that `crashkernel=` keeps free for it
//! (Documentation/admin-guide/kdump/kdump.rst). Not the crash itself, which the host asks for.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::sys;

/// Returns true if a capture kernel is loaded.
const LOADED: &str = "/sys/kernel/kexec_crash_loaded";

/// Loads the capture kernel with its root file system and its command line, to which the running kernel adds where its
/// own memory is described (`elfcorehdr=`).
pub(crate) fn load(kernel: &Path, initramfs: &Path, cmdline: &str) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("open {}", path.display()));
    let cmdline = CString::new(cmdline).context("the command line of the capture kernel")?;
    sys::load_capture_kernel(&open(kernel)?, &open(initramfs)?, &cmdline)
        .context("kexec_file_load (it needs `crashkernel=SIZE` on the kernel's command line)")?;
    let loaded = fs::read_to_string(LOADED).with_context(|| format!("read {LOADED}"))?;
    ensure!(loaded.trim() == "1", "{LOADED} says {}", loaded.trim());
    Ok(())
}
