//! The programs that people open images with open ours, and find in them what is known of the guest. The programs
//! themselves are in `consumers`; what lies in each page is the cells' affair.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::consumers::{self, avml, drgn, makedumpfile, volatility};
use crate::lab::guest::{DISK, Guest};
use crate::lab::image::{By, Format, Image};
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::payload;
use crate::suites::opening::{with_crash, with_drgn, with_volatility};
use crate::suites::tool::{Missing, Tool, same_pages};
use crate::{command, scratch, setup};

/// The longest that an image here may take to be read.
const CONVERT_LIMIT: Duration = Duration::from_secs(180);

/// The formats that a LiME image is converted to for Volatility.
const CONVERTED: &[&str] = &["avml", "elf", "padded"];

/// Opens images of one guest of the series with every consumer; a line for each thing that was proved.
pub(crate) fn check(series: Series, programs: &[Program]) -> Result<Vec<String>> {
    setup::apt(&["qemu-system-x86"])?;
    let name = match series {
        Series::V6_1 => "6.1-opened",
        Series::V6_12 => "6.12-opened",
    };
    // Volatility knows no kernels with five levels of page tables.
    let mut guest = Guest::boot(Machine::new(name, series, 1024).four_levels(), programs)?;
    let mut proved = vec![kit(&mut guest)?];
    let elf = guest.acquire(Format::Elf.name())?;
    proved.push(with_drgn(&mut guest, "elf", &elf)?);
    proved.push(with_crash(&mut guest, "elf", &elf)?);
    proved.extend(kdump(&mut guest, &payload::memdump(programs)?)?);
    proved.push(with_volatility(&mut guest, "elf", &elf)?);
    guest.discard(&elf)?;
    let lime = guest.acquire(Format::Lime.name())?;
    proved.push(with_avml(&lime)?);
    proved.push(with_volatility(&mut guest, "lime", &lime)?);
    proved.extend(converted_with_volatility(&guest.release, &lime, programs)?);
    Ok(proved)
}

/// The kit of a guest: its files are the guest's own, its addresses those that VMCOREINFO tells, and its build identifier leads to
/// the debugging symbols that are here.
fn kit(guest: &mut Guest) -> Result<String> {
    guest.demand(
        "cd /tmp && memdump --quiet -s 16m -o part --kit kit.tar && mkdir kit && \
         busybox tar -xf kit.tar -C kit && busybox sha256sum -c part.sha256 && memdump verify part",
    )?;
    let same = [
        "sys/kernel/btf/vmlinux",
        "sys/kernel/notes",
        "proc/iomem",
        "proc/modules",
        "proc/cmdline",
    ];
    for file in same {
        guest.demand(&format!("busybox cmp /tmp/kit/{file} /{file}"))?;
    }
    let told = guest.demand("busybox sed -n 's/^SYMBOL(init_uts_ns)=//p' /tmp/kit/vmcoreinfo")?;
    let listed = guest.demand("busybox sed -n 's/ . init_uts_ns$//p' /tmp/kit/proc/kallsyms")?;
    ensure!(told.len() > 8 && told == listed, "kallsyms says {listed}, VMCOREINFO {told}");
    let id = guest.demand("busybox sed -n 's/^kernel //p' /tmp/kit/build-ids.txt")?;
    let mut readelf = Command::new("readelf");
    let notes = command::run(
        readelf.arg("--notes").arg(consumers::vmlinux(&guest.release)?),
        CONVERT_LIMIT,
    )?;
    let id = id.trim();
    ensure!(id.len() == 40 && notes.contains(id), "the kit's build identifier is {id}: {notes}");
    let files = guest.demand("busybox find /tmp/kit -type f | busybox wc -l")?;
    guest.demand("rm -r /tmp/kit /tmp/kit.tar /tmp/part /tmp/part.*")?;
    Ok(format!(
        "the kit of {}: {} files, equal to the guest's; by its build identifier the debugging symbols are found",
        guest.release,
        files.trim()
    ))
}

/// The rows of kdump: flattened through the port, put in order by makedumpfile, and as it is on the disk.
fn kdump(guest: &mut Guest, memdump: &Path) -> Result<Vec<String>> {
    let (mut proved, mut read) = (Vec::new(), Vec::new());
    // What Debian's crash makes of newer kernels is seen with elf.
    let crash_opens = !guest.release.starts_with("6.12");
    let open = |guest: &mut Guest, what: &str, image: &Path| -> Result<Vec<String>> {
        let mut proved = vec![with_drgn(guest, what, image)?];
        if crash_opens {
            proved.push(with_crash(guest, what, image)?);
        }
        Ok(proved)
    };
    for format in ["kdump", "kdump-zlib", "kdump-snappy"] {
        let flattened = guest.acquire(format)?;
        let what = format!("{format}, flattened,");
        proved.extend(open(guest, &what, &flattened)?);
        let ordered = flattened.with_extension("ordered");
        makedumpfile::put_in_order(&flattened, &ordered)?;
        let what = format!("{format}, put in order by makedumpfile,");
        proved.extend(open(guest, &what, &ordered)?);
        let pages = with_pages(memdump, &flattened, &ordered)?;
        if format == "kdump-zlib" {
            proved.extend(split(guest, memdump, &ordered)?);
        }
        guest.discard(&flattened)?;
        guest.discard(&ordered)?;
        guest.demand(&format!("memdump --quiet --format {format} -o {DISK}"))?;
        let disk = guest.disk();
        let what = format!("{format} on a disk");
        proved.extend(open(guest, &what, &disk)?);
        guest.discard(&disk)?;
        read.push(format!(
            "drgn and memdump read the same in all {} pages of {format}; it has none of {} more",
            pages.equal, pages.absent
        ));
    }
    proved.extend(read);
    Ok(proved)
}

/// makedumpfile splits an image: memdump reads of the parts what it reads of the whole, and drgn opens what makedumpfile makes
/// of the parts.
fn split(guest: &mut Guest, memdump: &Path, image: &Path) -> Result<Vec<String>> {
    let named = |suffix: &str| image.with_extension(suffix);
    let (first, second, whole) = (named("part-1"), named("part-2"), named("reassembled"));
    let (of_parts, of_image) = (named("of-parts"), named("of-image"));
    makedumpfile::split(image, &[&first, &second])?;
    for part in [&first, &second] {
        let alone = command::finish(Command::new(memdump).arg("info").arg(part), CONVERT_LIMIT)?;
        ensure!(!alone.status.success(), "{} is all of the image", part.display());
    }
    makedumpfile::reassemble(&[&first, &second], &whole)?;
    let opened = with_drgn(guest, "kdump, split and put together by makedumpfile,", &whole)?;
    let convert = |from: &Path, to: &Path, parts: &[&Path]| {
        let mut convert = Command::new(memdump);
        convert.args(["convert", "--quiet", "--format", "padded"]).arg(from).arg(to);
        for part in parts {
            convert.arg("--part").arg(part);
        }
        command::run(&mut convert, CONVERT_LIMIT)
    };
    convert(image, &of_image, &[])?;
    // In another order than makedumpfile's.
    convert(&second, &of_parts, &[&first])?;
    command::run(Command::new("cmp").arg(&of_parts).arg(&of_image), CONVERT_LIMIT)
        .context("compare what memdump reads of the parts with the whole")?;
    for file in [first, second, whole, of_parts, of_image] {
        std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    }
    let split = "memdump reads the same of makedumpfile's two files as of the kdump that it split";
    Ok(vec![split.into(), opened])
}

/// memdump reads the flattened image and drgn the one in order; what both read is the same.
fn with_pages(memdump: &Path, flattened: &Path, ordered: &Path) -> Result<drgn::Pages> {
    let padded = flattened.with_extension("padded");
    let mut convert = Command::new(memdump);
    convert.args(["--quiet", "--format", "padded", "--source"]).arg(flattened);
    command::run(convert.arg("-o").arg(&padded), CONVERT_LIMIT)?;
    let found = drgn::compare(ordered, &padded)?;
    std::fs::remove_file(&padded).with_context(|| format!("remove {}", padded.display()))?;
    let different = &found.different[..found.different.len().min(16)];
    ensure!(different.is_empty(), "drgn reads other pages at {different:#x?}");
    ensure!(found.equal > 200_000, "drgn reads only {} pages", found.equal);
    Ok(found)
}

/// AVML reads every byte of every range of our LiME image.
fn with_avml(lime: &Path) -> Result<String> {
    let output = lime.with_extension("by-avml");
    avml::lime_to_padded(lime, &output)?;
    let ours = Image::open(lime, Format::Lime, By::Physical, "", false)?;
    let theirs = Image::open(&output, Format::Padded, By::Physical, "", false)?;
    let pages = same_pages(&ours, &theirs, Missing::Wrong).context("AVML's padded image")?;
    std::fs::remove_file(&output).with_context(|| format!("remove {}", output.display()))?;
    Ok(format!("AVML converts lime: all {pages} pages equal"))
}

/// A converted image holds the same memory in every format: Volatility lists the same processes.
fn converted_with_volatility(
    release: &str,
    lime: &Path,
    programs: &[Program],
) -> Result<Option<String>> {
    // That there is none was said of the image itself.
    let Some(symbols) = volatility::Symbols::find(release)? else { return Ok(None) };
    let folder = scratch::on_disk()?;
    let tool = Tool::new(programs, folder.path())?;
    let wanted = volatility::processes(lime, &symbols)?;
    for format in CONVERTED {
        let image = tool.convert(lime, &format!("image.{format}"), &[])?;
        let found = volatility::processes(&image, &symbols)
            .with_context(|| format!("lime converted to {format}"))?;
        ensure!(
            found == wanted,
            "Volatility lists {wanted:?} of lime and {found:?} of {format} made of it"
        );
        std::fs::remove_file(&image).with_context(|| format!("remove {}", image.display()))?;
    }
    Ok(Some(format!(
        "Volatility 3 linux.pslist lists the same {} processes of lime of {release} converted to {}",
        wanted.len(),
        CONVERTED.join(", ")
    )))
}
