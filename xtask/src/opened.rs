//! Whether the programs that people open images with open ours, and find in them what is known of the guest. The programs
//! themselves are in `consumers`; what lies in each page is the cells' affair.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab_guest::pattern::PAGE;

use crate::consumers::{self, Task, avml, crash, drgn, makedumpfile, volatility};
use crate::converted::Tool;
use crate::lab::guest::{DISK, Guest, PORT};
use crate::lab::image::{By, Format, Image};
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::payload;
use crate::{command, setup};

/// The longest that an image here may take to be read.
const CONVERT_LIMIT: Duration = Duration::from_secs(180);

/// What a LiME image is converted to for Volatility.
const CONVERTED: &[&str] = &["avml", "elf", "padded"];

/// Opens images of a guest of each series.
pub(crate) fn run() -> Result<()> {
    let programs = payload::build()?;
    for series in [Series::V6_1, Series::V6_12] {
        check(series, &programs)?.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}

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
    let elf = acquire(&mut guest, Format::Elf.name())?;
    proved.push(with_drgn(&mut guest, "elf", &elf)?);
    proved.push(with_crash(&mut guest, "elf", &elf)?);
    proved.extend(kdump(&mut guest, &payload::memdump(programs)?)?);
    proved.push(with_volatility(&mut guest, "elf", &elf)?);
    guest.discard(&elf)?;
    let lime = acquire(&mut guest, Format::Lime.name())?;
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

/// Takes the guest's memory in a format, into a file here.
pub(crate) fn acquire(guest: &mut Guest, format: &str) -> Result<PathBuf> {
    let image = guest.collect(format)?;
    guest.demand(&format!("memdump --quiet --format {format} > {PORT}"))?;
    guest.settle(&image)?;
    Ok(image)
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
        let flattened = acquire(guest, format)?;
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

/// drgn finds the kernel's release and the tasks that run in the guest.
pub(crate) fn with_drgn(guest: &mut Guest, what: &str, image: &Path) -> Result<String> {
    let found = drgn::open(image, &consumers::vmlinux(&guest.release)?)?;
    ensure!(found.release == guest.release, "drgn finds the release {}", found.release);
    let known = has_tasks("drgn", guest, &found.tasks)?;
    let count = found.tasks.len();
    Ok(format!(
        "drgn opens {what} of {}: {count} tasks, the {known} known ones among them",
        found.release
    ))
}

/// crash opens what it is new enough for: 8.0 gives up on Linux 6.12 whoever wrote the image.
pub(crate) fn with_crash(guest: &mut Guest, what: &str, image: &Path) -> Result<String> {
    let release = guest.release.clone();
    match crash::open(image, &consumers::vmlinux(&release)?)? {
        crash::Outcome::Opened(session) => {
            ensure!(session.release == release, "crash finds the release {}", session.release);
            let modules = guest.demand("busybox cut -d ' ' -f 1 /proc/modules")?;
            for module in modules.lines() {
                let is_there = session.modules.iter().any(|found| found == module);
                ensure!(is_there, "crash does not find the module {module}: {:?}", session.modules);
            }
            ensure!(!session.backtrace.is_empty(), "crash prints no backtrace");
            Ok(format!(
                "crash opens {what} of {release}: {} tasks, all {} modules, a backtrace of {} frames",
                session.tasks.len(),
                modules.lines().count(),
                session.backtrace.len()
            ))
        }
        crash::Outcome::GaveUp { said } if release.starts_with("6.12") => {
            let theirs = guest.hypervisor_dump();
            guest.dump(&theirs)?;
            let theirs_too = crash::open(&theirs, &consumers::vmlinux(&release)?)?;
            guest.discard(&theirs)?;
            match theirs_too {
                crash::Outcome::GaveUp { .. } => Ok(format!(
                    "crash is too old for {release}: it gives up on QEMU's own dump as well"
                )),
                crash::Outcome::Opened(_) => {
                    bail!("crash opens QEMU's dump of {release} and not ours: {said}")
                }
            }
        }
        crash::Outcome::GaveUp { said } => bail!("crash gives up on {release}: {said}"),
    }
}

/// AVML reads every byte of every range of our LiME image.
fn with_avml(lime: &Path) -> Result<String> {
    let output = lime.with_extension("by-avml");
    avml::lime_to_padded(lime, &output)?;
    let ours = Image::open(lime, Format::Lime, By::Physical, "", false)?;
    let theirs = Image::open(&output, Format::Padded, By::Physical, "", false)?;
    let mut pages = 0;
    let (mut left, mut right) = (vec![0; PAGE], vec![0; PAGE]);
    for address in ours.ranges().flat_map(|range| range.clone().step_by(PAGE)) {
        ensure!(ours.read(address, &mut left)?, "our image has no page at {address:#x}");
        ensure!(theirs.read(address, &mut right)?, "AVML's has no page at {address:#x}");
        ensure!(left == right, "AVML reads another page at {address:#x}");
        pages += 1;
    }
    std::fs::remove_file(&output).with_context(|| format!("remove {}", output.display()))?;
    Ok(format!("AVML converts lime: all {pages} pages equal"))
}

/// Volatility lists the processes that run in the guest. Without symbol files for the kernel it cannot.
pub(crate) fn with_volatility(guest: &mut Guest, format: &str, image: &Path) -> Result<String> {
    let release = guest.release.clone();
    let Some(symbols) = volatility::Symbols::find(&release)? else {
        return Ok(format!(
            "Volatility 3 NOT run on {format} of {release}, there is no symbol file for it: {}",
            volatility::Symbols::ADVICE
        ));
    };
    let found = volatility::processes(image, &symbols)?;
    let known = has_tasks("Volatility", guest, &found)?;
    Ok(format!(
        "Volatility 3 linux.pslist on {format} of {release}: {} processes, the {known} known ones among them",
        found.len()
    ))
}

/// What was taken once and converted is the same memory in every format: Volatility lists the same processes.
fn converted_with_volatility(
    release: &str,
    lime: &Path,
    programs: &[Program],
) -> Result<Option<String>> {
    // That there is none was said of the image itself.
    let Some(symbols) = volatility::Symbols::find(release)? else { return Ok(None) };
    let folder = tempfile::tempdir()?;
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

/// Tasks that live as long as the machine and keep their names.
const LASTING: &[&str] =
    &["lab-guest", "kthreadd", "kswapd0", "rcu_preempt", "khungtaskd", "kdevtmpfs"];

/// Holds the tasks that were found against the lasting ones of the guest; how many those are.
fn has_tasks(who: &str, guest: &mut Guest, found: &[Task]) -> Result<usize> {
    has_all(who, &lasting(guest)?, found)
}

/// The lasting tasks of the guest.
pub(crate) fn lasting(guest: &mut Guest) -> Result<Vec<Task>> {
    let list = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(busybox cat $p/comm); done";
    let listed = guest.demand(list)?;
    let mut known = Vec::new();
    for line in listed.lines() {
        let Some((pid, comm)) = line.split_once(' ') else { continue };
        if LASTING.contains(&comm) {
            let pid = pid.parse().context("a number of a process")?;
            known.push(Task { pid, comm: comm.to_owned() });
        }
    }
    ensure!(known.len() >= 4, "the guest runs only {listed}");
    Ok(known)
}

/// Holds the tasks that were found against those that are known; how many those are.
pub(crate) fn has_all(who: &str, known: &[Task], found: &[Task]) -> Result<usize> {
    for task in known {
        ensure!(found.contains(task), "{who} does not find {task:?}: {found:?}");
    }
    Ok(known.len())
}
