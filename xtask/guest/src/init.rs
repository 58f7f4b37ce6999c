//! Process 1: mounts, kernel modules, the ports; then the agent, or a shell on the console when the kernel's command line says
//! `lab.shell`. Not a service manager: nothing is ever restarted.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab_guest::protocol::{CONTROL_PORT, DATA_PATH, DATA_PORT};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;

use crate::agent;

/// The modules to load, one path a line, in the order of their needs. The host writes it.
const MODULES: &str = "/lib/modules/load";
/// `MODULE_INIT_COMPRESSED_FILE` of include/uapi/linux/module.h: the kernel takes the compression off.
const COMPRESSED: i32 = 4;

pub(crate) fn run() -> Result<()> {
    mount_all()?;
    load_modules()?;
    // Pages that are locked still move when memory is compacted, and the pattern says where they were.
    fs::write("/proc/sys/vm/compact_unevictable_allowed", "0")
        .context("forbid that locked pages move")?;
    let control = port(CONTROL_PORT)?;
    symlink(port(DATA_PORT)?, DATA_PATH).with_context(|| format!("create {DATA_PATH}"))?;
    if fs::read_to_string("/proc/cmdline")?.split_whitespace().any(|word| word == "lab.shell") {
        return shell();
    }
    agent::serve(&control)
}

pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let refused = rustix::system::reboot(RebootCommand::PowerOff);
    eprintln!("lab-guest: power off: {refused:?}");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn mount_all() -> Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("securityfs", "/sys/kernel/security"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        fs::create_dir_all(target).ok();
        let mounted = rustix::mount::mount(kind, target, kind, MountFlags::empty(), None);
        // Debugfs is refused under lockdown; no test of those needs it.
        if kind != "debugfs" {
            mounted.with_context(|| format!("mount {kind} at {target}"))?;
        }
    }
    Ok(())
}

fn load_modules() -> Result<()> {
    for path in fs::read_to_string(MODULES).with_context(|| format!("read {MODULES}"))?.lines() {
        let file = File::open(path).with_context(|| format!("open module {path}"))?;
        let flags = if path.ends_with(".ko") { 0 } else { COMPRESSED };
        rustix::system::finit_module(&file, c"", flags)
            .with_context(|| format!("load module {path}"))?;
    }
    Ok(())
}

/// The device of the virtio-serial port called `name`; waits for it, as ports are announced after the driver is there.
fn port(name: &str) -> Result<PathBuf> {
    for _ in 0..500 {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let named = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let device = Path::new("/dev").join(entry.file_name());
            if named.trim() == name && device.exists() {
                return Ok(device);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("no virtio-serial port is called {name}")
}

fn shell() -> Result<()> {
    println!("\nmemdump's laboratory. The command is `memdump`; `exit` ends the machine.");
    Command::new("/bin/sh").arg("-l").status().context("start /bin/sh")?;
    power_off()
}
