//! Conversions of real images, by the command on this machine: the hypervisor's own dump through every format and back, AVML's images
//! and ours read by each other, and an image without the pages that debuggers do not need.
//!
//! Not about images that the guest itself wrote: those are opened in `consumers_open_images`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab_guest::pattern::PAGE;

use crate::consumers::avml;
use crate::consumers::makedumpfile::{self, How, Pages};
use crate::lab::guest::Guest;
use crate::lab::image::{By, Format, Image};
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::suites::opening::{with_crash, with_drgn, with_volatility};
use crate::suites::tool::{Missing, Tool, same_pages};
use crate::{scratch, setup};

/// Formats that the hypervisor's dump is converted to and back; `padded` does not say where RAM is.
const FORMATS: &[&str] = &["lime", "avml", "elf", "kdump", "kdump-zlib", "kdump-snappy", "padded"];
/// The format besides ELF that every QEMU can write a dump in; others it may have been built without.
const ALWAYS: &str = "kdump-zlib";
/// The options that leave pages out of an image.
const LESS: &str = "--exclude free,zero,cache,user";
/// The same for makedumpfile.
const WITHOUT: How = How { pages: Pages::Zlib, level: 31, flattened: false };
/// RAM of the guest, in MiB.
const RAM: u64 = 512;

/// Converts images of one guest; a line for each thing that was proved.
pub(crate) fn check(programs: &[Program]) -> Result<Vec<String>> {
    setup::apt(&["qemu-system-x86"])?;
    let machine = Machine::new("6.1-converted", Series::V6_1, RAM).four_levels();
    let mut guest = Guest::boot(machine, programs)?;
    let folder = scratch::on_disk()?;
    let tool = Tool::new(programs, folder.path())?;
    let mut proved = tool.through_every_format(&mut guest)?;
    proved.push(tool.of_the_hypervisor(&mut guest)?);
    let lime = guest.acquire(Format::Lime.name())?;
    proved.extend(tool.with_avml(&lime)?);
    guest.discard(&lime)?;
    proved.extend(tool.with_less(&mut guest)?);
    Ok(proved)
}

impl Tool {
    fn through_every_format(&self, guest: &mut Guest) -> Result<Vec<String>> {
        let truth = guest.hypervisor_dump();
        guest.dump(&truth)?;
        // QEMU writes the names of its ELF sections behind the memory.
        let wanted = Image::open(&truth, Format::Elf, By::Physical, "", true)?;
        let mut proved = Vec::new();
        for format in FORMATS {
            let image = self.convert(&truth, &format!("image.{format}"), &[])?;
            let input: &[&str] =
                if *format == "padded" { &["--input-format", "padded"] } else { &[] };
            let back = self.convert(&image, "back.lime", input)?;
            let found = Image::open(&back, Format::Lime, By::Physical, "", false)?;
            let pages = same_pages(&wanted, &found, Missing::Wrong)?;
            let share = fs::metadata(&image)?.len() as f64 / fs::metadata(&truth)?.len() as f64;
            proved.push(format!(
                "QEMU's own dump to {format} and back: all {pages} pages equal, {share:.2} of its size"
            ));
            fs::remove_file(&image)?;
            fs::remove_file(&back)?;
        }
        guest.discard(&truth)?;
        Ok(proved)
    }

    /// QEMU writes the kdump images of libvirt's `virsh dump --memory-only --format`: those of a paused guest are the same
    /// as its ELF image.
    fn of_the_hypervisor(&self, guest: &mut Guest) -> Result<String> {
        let (elf, kdump) = (guest.hypervisor_dump(), self.path("theirs.kdump"));
        guest.paused(|guest, _| {
            guest.dump(&elf)?;
            let wanted = Image::open(&elf, Format::Elf, By::Physical, "", true)?;
            let formats = guest.query("query-dump-guest-memory-capability")?;
            let formats = formats["formats"].as_array().context("what QEMU can write")?;
            let formats: Vec<&str> = formats
                .iter()
                .filter_map(serde_json::Value::as_str)
                .filter(|format| format.starts_with("kdump-"))
                .collect();
            ensure!(formats.contains(&ALWAYS), "QEMU writes only {formats:?}");
            let mut pages = 0;
            for format in &formats {
                guest.dump_as(&kdump, format)?;
                let back = self.convert(&kdump, "back.elf", &[])?;
                let found = Image::open(&back, Format::Elf, By::Physical, "", false)?;
                pages = same_pages(&wanted, &found, Missing::Wrong)
                    .with_context(|| format!("QEMU's {format}"))?;
            }
            fs::remove_file(&kdump)?;
            guest.discard(&elf)?;
            let formats = formats.join(", ");
            Ok(format!("QEMU's own {formats} to elf: all {pages} pages equal to those of its elf"))
        })
    }

    /// AVML turns ours into LiME, and ours what AVML made of LiME.
    fn with_avml(&self, lime: &Path) -> Result<Vec<String>> {
        let wanted = Image::open(lime, Format::Lime, By::Physical, "", false)?;
        let ours = self.convert(lime, "ours.avml", &[])?;
        let theirs = self.path("theirs.lime");
        avml::convert(&ours, "lime_compressed", &theirs, "lime")?;
        let found = Image::open(&theirs, Format::Lime, By::Physical, "", false)?;
        let pages = same_pages(&wanted, &found, Missing::Wrong)?;
        let mut proved = vec![format!("AVML converts our avml to lime: all {pages} pages equal")];

        let theirs = self.path("theirs.avml");
        avml::convert(lime, "lime", &theirs, "lime_compressed")?;
        let back = self.convert(&theirs, "back.lime", &[])?;
        let found = Image::open(&back, Format::Lime, By::Physical, "", false)?;
        // AVML leaves out long runs of zeros.
        let pages = same_pages(&wanted, &found, Missing::Zero)?;
        proved.push(format!("AVML's avml is converted to lime: all {pages} pages equal"));
        Ok(proved)
    }

    /// A kdump without the pages that debuggers do not need is small, and has all that they look for, whether the guest dumps it or
    /// it is made of a complete image. makedumpfile makes the same of that image.
    fn with_less(&self, guest: &mut Guest) -> Result<Vec<String>> {
        let taken = guest.acquire_with("less", &format!("{LESS} --format kdump"))?;
        let whole = guest.acquire(Format::Elf.name())?;
        let arguments: Vec<&str> = LESS.split(' ').collect();
        let converted = self.convert(&whole, "less.kdump", &arguments)?;
        let peer = self.path("peer.kdump");
        makedumpfile::compress(&whole, &peer, WITHOUT)?;
        let mut proved = Vec::new();
        for (what, image) in [("taken", &taken), ("converted", &converted)] {
            let share = self.present(image)? as f64 / (RAM << 20) as f64;
            ensure!(share < 0.25, "the image that was {what} has {share:.2} of RAM");
            proved.push(format!(
                "{what} without free pages, zeros, page cache and processes: {share:.3} of RAM"
            ));
            let what = format!("kdump {what} without them");
            proved.push(with_drgn(guest, &what, image)?);
            proved.push(with_crash(guest, &what, image)?);
        }
        let (ours, theirs) = (self.present(&converted)?, self.present(&peer)?);
        let ratio = ours as f64 / theirs as f64;
        ensure!((0.98..1.02).contains(&ratio), "makedumpfile keeps {theirs} bytes, memdump {ours}");
        proved.push(format!(
            "of the same image makedumpfile keeps {theirs} bytes and memdump {ours}"
        ));
        guest.discard(&whole)?;
        proved.extend(self.with_gaps(guest, &taken)?);
        guest.discard(&taken)?;
        proved.push(self.with_less_of_lime(guest)?);
        Ok(proved)
    }

    /// A LiME image of the guest without those pages is as small, and has as much.
    fn with_less_of_lime(&self, guest: &mut Guest) -> Result<String> {
        let taken = guest.acquire_with("less.lime", &format!("{LESS} --format lime"))?;
        let share = fs::metadata(&taken)?.len() as f64 / (RAM << 20) as f64;
        ensure!(share < 0.25, "the file has {share:.2} of RAM");
        let opened = with_volatility(guest, "lime taken without them", &taken)?;
        guest.discard(&taken)?;
        Ok(format!("{opened}; {share:.3} of RAM"))
    }

    /// Pages that a kdump leaves out become gaps in formats that know only regions, and are still left out after the way back.
    fn with_gaps(&self, guest: &mut Guest, less: &Path) -> Result<Vec<String>> {
        let present = self.present(less)?;
        let mut proved = Vec::new();
        for name in ["elf", "lime", "avml"] {
            let gaps = self.convert(less, &format!("gaps.{name}"), &[])?;
            ensure!(self.present(&gaps)? == present, "{name} does not have what kdump has");
            ensure!(fs::metadata(&gaps)?.len() < RAM << 18, "{name} is not small");
            let back = self.convert(&gaps, "back.elf", &[])?;
            let (wanted, found) = (
                Image::open(&self.path("gaps.elf"), Format::Elf, By::Physical, "", false)?,
                Image::open(&back, Format::Elf, By::Physical, "", false)?,
            );
            let pages = same_pages(&wanted, &found, Missing::Wrong)?;
            ensure!(pages == present / PAGE as u64, "{pages} pages of {present} bytes");
            proved.push(format!("kdump without them to {name} with gaps: all {pages} pages equal"));
        }
        let elf = self.path("gaps.elf");
        proved.push(with_drgn(guest, "elf with gaps", &elf)?);
        proved.push(with_crash(guest, "elf with gaps", &elf)?);
        Ok(proved)
    }
}
