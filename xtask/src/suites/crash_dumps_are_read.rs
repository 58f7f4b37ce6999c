//! The kernel's own dump, `/proc/vmcore`: a guest crashes, its capture kernel hands out the dead kernel's memory, and the command
//! here reads that, and what makedumpfile makes of it. The hypervisor still has all of the memory, which is the truth.
//!
//! Not about images of running guests, which `consumers_open_images` opens, nor about other conversions, which are in
//! `images_survive_conversion`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab_guest::pattern::{self, PAGE};
use lab_guest::protocol::Held;
use serde_json::json;

use crate::consumers::makedumpfile::{self, How, Pages};
use crate::consumers::{self, Task, crash, drgn};
use crate::lab::Range;
use crate::lab::guest::{Guest, PORT};
use crate::lab::image::{By, Format, Image};
use crate::lab::initramfs::{self, Program};
use crate::lab::kernel::{Kernel, Series};
use crate::lab::machine::Machine;
use crate::suites::opening::{has_all, lasting};
use crate::suites::tool::{Missing, Tool, same_pages};
use crate::{command, scratch, setup};

const LIMIT: Duration = Duration::from_secs(60);
const SERIES: Series = Series::V6_1;
/// RAM of the guest, in MiB; a part is kept free for the capture kernel.
const RAM: u64 = 512;
/// The capture kernel's command line: one processor, and nothing but its own memory.
const CMDLINE: &str = "console=ttyS0 panic=-1 quiet nr_cpus=1 reset_devices";
/// Memory that a process of the guest holds, in bytes, and the seed of its pattern.
const HELD: u64 = 64 << 20;
const SEED: u64 = 11;
/// The name of each image in between, and what the command must be told to read it.
const FORMATS: &[(&str, &[&str])] = &[
    ("image.raw", &["--input-format", "raw"]),
    ("image.padded", &["--input-format", "padded"]),
    ("image.lime", &[]),
    ("image.avml", &[]),
    ("image.elf", &[]),
    ("image.kdump", &[]),
    ("image.kdump-zlib", &[]),
    ("image.kdump-snappy", &[]),
    ("image.elf.zst", &[]),
];

/// Crashes a guest; a line for each thing that was proved.
pub(crate) fn check(programs: &[Program]) -> Result<Vec<String>> {
    setup::apt(&["qemu-system-x86"])?;
    let folder = scratch::on_disk()?;
    let tool = Tool::new(programs, folder.path())?;
    let mut dead = Dead::new(programs, folder.path())?;
    let mut proved = vec![dead.has_the_truth()?];
    proved.push(dead.scanned(&tool)?);
    proved.extend(dead.through_every_format(&tool)?);
    proved.extend(dead.of_makedumpfile(&tool)?);
    proved.extend(dead.without_what_nobody_needs(&tool)?);
    proved.extend(dead.opened(&tool)?);
    Ok(proved)
}

/// A guest that crashed: its capture kernel runs.
struct Dead {
    guest: Guest,
    /// The release of the dead kernel; the capture kernel's is the same.
    release: String,
    /// Memory that a process held before the crash, as the guest reported it.
    held: Held,
    tasks: Vec<Task>,
    /// Its dump, in a file here.
    vmcore: PathBuf,
    /// The dump as the laboratory reads it.
    wanted: Image,
}

impl Dead {
    fn new(programs: &[Program], folder: &Path) -> Result<Self> {
        let kernel = Kernel::fetch(SERIES)?;
        let initramfs = folder.join("initramfs");
        initramfs::write(&initramfs, &kernel, programs)?;
        let mut with_kernel = programs.to_vec();
        for (path, file) in [("boot/vmlinuz", &kernel.vmlinuz), ("boot/initramfs", &initramfs)] {
            with_kernel.push(Program { path: path.to_owned(), file: file.clone() });
        }
        let machine = Machine::new("6.1-vmcore", SERIES, RAM).four_levels();
        let mut guest = Guest::boot(machine.cmdline("crashkernel=160M"), &with_kernel)?;
        fs::remove_file(&initramfs)?;

        guest.demand(&format!("lab-guest capture /boot/vmlinuz /boot/initramfs '{CMDLINE}'"))?;
        let held = guest.hold(&["fill", &HELD.to_string(), &SEED.to_string(), "small"])?;
        let tasks = lasting(&mut guest)?;
        let release = guest.release.clone();
        guest.crash()?;
        let vmcore = guest.collect("vmcore")?;
        guest.demand(&format!("cat /proc/vmcore > {PORT}"))?;
        guest.settle(&vmcore)?;
        let wanted = Image::open(&vmcore, Format::Elf, By::PhysicalBesideText, "", false)?;
        Ok(Self { guest, release, held, tasks, vmcore, wanted })
    }

    /// The dump is the memory of the dead kernel: what the hypervisor has there, and in the held pages their pattern.
    fn has_the_truth(&mut self) -> Result<String> {
        let (wanted, mut pages, mut page) = (&self.wanted, 0_u64, [0; PAGE]);
        self.guest.paused(|_, memory| {
            for address in addresses(wanted.ranges()) {
                ensure!(wanted.read(address, &mut page)?, "the page at {address:#x} is cut");
                let truth = memory.page(address)?;
                ensure!(truth == Some(page), "/proc/vmcore has another page at {address:#x}");
                pages += 1;
            }
            Ok(())
        })?;
        let held: Vec<Range> = self.held.runs.iter().map(|&(start, end)| start..end).collect();
        for address in addresses(held.iter()) {
            ensure!(wanted.read(address, &mut page)?, "/proc/vmcore has no page at {address:#x}");
            ensure!(pattern::holds(&page, address, SEED), "the pattern at {address:#x} is gone");
        }
        let patterned = addresses(held.iter()).count();
        Ok(format!(
            "/proc/vmcore of {}: all {pages} pages equal to the hypervisor's, {patterned} patterned",
            self.release
        ))
    }

    /// Reading all of it finds no damage, and as many zeros as there are.
    fn scanned(&self, tool: &Tool) -> Result<String> {
        let mut info = Command::new(&tool.memdump);
        let said = command::run(info.args(["info", "--scan", "--json"]).arg(&self.vmcore), LIMIT)?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let (mut zeros, mut page) = (0, [0; PAGE]);
        for address in addresses(self.wanted.ranges()) {
            ensure!(self.wanted.read(address, &mut page)?, "there is no page at {address:#x}");
            zeros += u64::from(page == [0; PAGE]);
        }
        ensure!(said["damage"] == json!([]), "info finds damage: {}", said["damage"]);
        ensure!(said["problems"] == json!([]), "info finds problems: {}", said["problems"]);
        ensure!(said["zero"] == zeros * PAGE as u64, "info says {}, not {zeros}", said["zero"]);
        Ok(format!(
            "memdump info --scan of /proc/vmcore: no damage, the same {zeros} pages of zeros"
        ))
    }

    fn through_every_format(&self, tool: &Tool) -> Result<Vec<String>> {
        let size = fs::metadata(&self.vmcore)?.len() as f64;
        let mut proved = Vec::new();
        for &(name, input) in FORMATS {
            let map = tool.path("map");
            let map = map.to_str().context("a path")?;
            let is_raw = name.ends_with(".raw");
            let more: &[&str] = if is_raw { &["--write-map", map] } else { &[] };
            let image = tool.convert(&self.vmcore, name, more)?;
            let more: &[&str] = if is_raw { &["--map", map] } else { &[] };
            let back = tool.convert(&image, "back.elf", &[input, more].concat())?;
            // What is not laid out anew keeps the segment of text.
            let by = if name.contains(".elf") { By::PhysicalBesideText } else { By::Physical };
            let found = Image::open(&back, Format::Elf, by, "", false)?;
            let pages = same_pages(&self.wanted, &found, Missing::Wrong)?;
            // A padded image does not say where RAM is.
            if !name.ends_with(".padded") {
                ensure!(merged(&self.wanted) == merged(&found), "{name} has other memory as well");
            }
            let share = fs::metadata(&image)?.len() as f64 / size;
            proved.push(format!(
                "/proc/vmcore to {name} and back: all {pages} pages equal, {share:.2} of its size"
            ));
            fs::remove_file(&image)?;
            fs::remove_file(&back)?;
        }
        Ok(proved)
    }

    /// makedumpfile's images of the dump, compressed and flattened in each of its ways.
    fn of_makedumpfile(&self, tool: &Tool) -> Result<Vec<String>> {
        let theirs = tool.path("theirs.kdump");
        let mut proved = Vec::new();
        for (what, pages, level, flattened) in [
            ("zlib", Pages::Zlib, 0, false),
            ("zlib, flattened,", Pages::Zlib, 0, true),
            ("lzo", Pages::Lzo, 0, false),
            ("lzo and one page for all zeros, flattened,", Pages::Lzo, 1, true),
        ] {
            makedumpfile::compress(&self.vmcore, &theirs, How { pages, level, flattened })?;
            let back = tool.convert(&theirs, "back.elf", &[])?;
            let found = Image::open(&back, Format::Elf, By::Physical, "", false)?;
            let pages = same_pages(&self.wanted, &found, Missing::Wrong)?;
            ensure!(merged(&self.wanted) == merged(&found), "{what} has other memory as well");
            proved.push(format!(
                "makedumpfile's kdump with {what} of /proc/vmcore to elf: all {pages} pages equal"
            ));
            fs::remove_file(&theirs)?;
            fs::remove_file(&back)?;
        }
        Ok(proved)
    }

    /// The command reads what makedumpfile keeps when it leaves out all it can, and keeps the same itself: in the capture kernel it
    /// can replace makedumpfile.
    fn without_what_nobody_needs(&mut self, tool: &Tool) -> Result<Vec<String>> {
        let info = self.guest.demand("memdump info --json /proc/vmcore")?;
        let info: serde_json::Value = serde_json::from_str(&info)?;
        ensure!(info["release"] == self.release, "info says {}", info["release"]);
        let all = addresses(self.wanted.ranges()).count() as u64;
        ensure!(info["present"] == all * PAGE as u64, "info says {}", info["present"]);
        let ours = self.guest.collect("ours.kdump")?;
        self.guest.demand(&format!(
            "memdump convert --quiet --exclude free,zero,cache,user --format kdump /proc/vmcore - > {PORT}"
        ))?;
        self.guest.settle(&ours)?;

        let theirs = tool.path("theirs.kdump");
        let how = How { pages: Pages::Zlib, level: 31, flattened: false };
        let kept = all - makedumpfile::compress(&self.vmcore, &theirs, how)?;
        let mut proved = Vec::new();
        for (who, image) in [("memdump in the capture kernel", &ours), ("makedumpfile", &theirs)] {
            let present = tool.present(image)? / PAGE as u64;
            ensure!(present == kept, "makedumpfile keeps {kept} pages, of {who} are {present}");
            let padded = tool.convert(image, "back.padded", &[])?;
            // drgn knows which pages are there: in those that are not, memdump may have nothing but zeros.
            let read = drgn::compare(image, &padded)?;
            let different = &read.different[..read.different.len().min(16)];
            ensure!(different.is_empty(), "drgn reads other pages of {who} at {different:#x?}");
            ensure!(read.equal == kept, "drgn reads {} pages of {who}", read.equal);
            let found = Image::open(&padded, Format::Padded, By::Physical, "", false)?;
            same_or_zeros(&self.wanted, &found)?;
            fs::remove_file(&padded)?;
            fs::remove_file(image)?;
            proved.push(format!(
                "of /proc/vmcore {who} keeps {kept} pages: equal to those that drgn reads"
            ));
        }
        Ok(proved)
    }

    /// crash and drgn find where the kernel crashed in images that were made of the dump.
    fn opened(&self, tool: &Tool) -> Result<Vec<String>> {
        let vmlinux = consumers::vmlinux(&self.release)?;
        let kdump = tool.convert(&self.vmcore, "vmcore.kdump", &[])?;
        let found = drgn::open(&kdump, &vmlinux)?;
        ensure!(found.release == self.release, "drgn finds the release {}", found.release);
        let known = has_all("drgn", &self.tasks, &found.tasks)?;
        crashed_here("drgn", &found.crashed)?;
        let by_drgn = format!(
            "drgn opens kdump of /proc/vmcore: {} tasks, the {known} known ones among them, crashed in {CRASHED}",
            found.tasks.len()
        );

        let elf = tool.convert(&kdump, "vmcore.elf", &[])?;
        let crash::Outcome::Opened(found) = crash::open(&elf, &vmlinux)? else {
            bail!("crash gives up on elf of kdump of /proc/vmcore");
        };
        ensure!(found.release == self.release, "crash finds the release {}", found.release);
        crashed_here("crash", &found.crashed)?;
        let by_crash = format!(
            "crash opens elf of kdump of /proc/vmcore: crashed in {CRASHED}, {} frames",
            found.crashed.len()
        );
        Ok(vec![by_drgn, by_crash])
    }
}

/// The kernel's function that crashes it when it is asked to.
const CRASHED: &str = "sysrq_handle_crash";

fn crashed_here(who: &str, frames: &[String]) -> Result<()> {
    let is_there = frames.iter().any(|function| function == CRASHED);
    ensure!(is_there, "{who} finds that the kernel crashed in {frames:?}");
    Ok(())
}

/// Each page of `found` within `wanted` is equal, or zeros.
fn same_or_zeros(wanted: &Image, found: &Image) -> Result<()> {
    let (mut left, mut right) = ([0; PAGE], [0; PAGE]);
    for address in addresses(wanted.ranges()) {
        ensure!(wanted.read(address, &mut left)?, "there is no page at {address:#x}");
        // A padded image ends with the last page that has content.
        if found.read(address, &mut right)? && right != [0; PAGE] {
            ensure!(left == right, "the page at {address:#x} is another");
        }
    }
    Ok(())
}

/// The address of every page.
fn addresses<'a>(ranges: impl Iterator<Item = &'a Range>) -> impl Iterator<Item = u64> {
    ranges.flat_map(|range| range.clone().step_by(PAGE))
}

/// An image's ranges, those that touch made one.
fn merged(image: &Image) -> Vec<Range> {
    let mut merged: Vec<Range> = Vec::new();
    for range in image.ranges() {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range.clone()),
        }
    }
    merged
}
