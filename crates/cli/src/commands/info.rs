//! `memdump info`: describes an image (its format, origin, time and completeness), or live memory.

use std::fmt::Write;

use memdump_acquire::{Human, InputImage, TargetName, holes_json};
use memdump_image::{
    AddressSpace, Cause, Extent, Facts, Hole, HoleList, MemoryMap, Presence, ReadError, Run,
    VmCoreInfo, is_zero, known_holes,
};
use serde_json::json;

use super::{print, target};
use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::{log, options};

/// The largest number of regions that are shown one by one.
const SHOWN_REGIONS: usize = 40;
/// The size of a read when looking for zeros and damage, in bytes.
const PIECE_LEN: usize = 1 << 20;

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    log::init(args.target.of.verbose);
    let name = &args.target.target;
    if let TargetName::File(path) = TargetName::parse(name) {
        let opened = InputImage::open(path, &options::input(&args.target.file.image))?;
        let subject = Subject {
            file: Some(&opened),
            name: name.to_string_lossy().into_owned(),
            space: opened.space(),
            map: opened.map().clone(),
            facts: &opened.image.facts,
            page_size: opened.page_size(),
            problems: opened.problems(),
        };
        return report(args, &subject);
    }
    let target = target::open(name, &args.target.of, &args.target.file)?;
    let subject = Subject {
        file: None,
        name: target.name.clone(),
        space: target.space(),
        map: target.plan.map.subtract(&target.plan.left_out),
        facts: &target.plan.facts,
        page_size: target.plan.page_size,
        problems: target.notes.clone(),
    };
    report(args, &subject)
}

fn report(args: &InfoArgs, subject: &Subject<'_>) -> anyhow::Result<Exit> {
    let (_, holes) = known_holes(subject.space, &subject.map);
    let scanned = args.scan.then(|| scan(subject));
    let report = Report { subject, holes: holes.by_cause().collect(), scanned };
    print(&if args.json { report.json() } else { report.text() })?;
    let damage = report.scanned.as_ref().is_some_and(|scanned| !scanned.damage.is_empty());
    let is_damaged = damage || subject.file.is_some() && !subject.problems.is_empty();
    Ok(if is_damaged { Exit::Incomplete } else { Exit::Complete })
}

/// The memory that is described.
struct Subject<'a> {
    /// The image. `None` for a live process or machine.
    file: Option<&'a InputImage>,
    name: String,
    space: &'a dyn AddressSpace,
    map: MemoryMap,
    facts: &'a Facts,
    page_size: u64,
    /// The problems of an image, or notes on live memory.
    problems: Vec<String>,
}

/// The result of reading all of the memory.
struct Scanned {
    /// The number of bytes in pages of zeros.
    zero: u64,
    /// The memory that cannot be read although the image has a place for it.
    damage: Vec<Hole>,
}

struct Report<'a> {
    subject: &'a Subject<'a>,
    /// The number of bytes without content, by cause.
    holes: Vec<(Cause, u64)>,
    scanned: Option<Scanned>,
}

impl Report<'_> {
    fn present(&self) -> u64 {
        self.subject.map.total() - self.holes.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    fn json(&self) -> String {
        let Subject { file, map, facts, page_size, problems, .. } = self.subject;
        let regions = map.regions().iter().map(|region| {
            json!({
                "start": region.extent.start(),
                "end": region.extent.end(),
                "kind": region.kind.name(),
                "label": region.label,
                "counterpart": region.alias,
            })
        });
        let holes = self.holes.iter().map(|(cause, bytes)| (cause.name().to_owned(), json!(bytes)));
        let object = json!({
            "format": file.map(|file| file.format.name),
            "compression": file.and_then(|file| file.codec).map(|codec| codec.name),
            "file_size": file.map(|file| file.size),
            "space": map.space().to_string(),
            "host": facts.host,
            "release": facts.release,
            "version": facts.version,
            "taken": facts.taken.map(|taken| taken.as_secs_f64()),
            "machine": facts.machine(),
            "page_size": page_size,
            "process": facts.process.as_ref().map(|process| json!({
                "pid": process.pid,
                "name": String::from_utf8_lossy(&process.name),
                "threads": self.threads(),
            })),
            "vmcoreinfo": facts.vmcoreinfo.as_ref().map(VmCoreInfo::as_bytes).map(String::from_utf8_lossy),
            "size": map.total(),
            "present": self.present(),
            "holes": holes.collect::<serde_json::Map<_, _>>(),
            "zero": self.scanned.as_ref().map(|scanned| scanned.zero),
            "problems": problems,
            "damage": self.scanned.as_ref().map(|scanned| holes_json(&scanned.damage)),
            "regions": regions.collect::<Vec<_>>(),
        });
        format!("{object}\n")
    }

    /// The number of threads: those with registers in a core (NT_PRSTATUS notes), or those of a live process.
    fn threads(&self) -> usize {
        let Subject { file, facts, .. } = self.subject;
        if let (None, Some(process)) = (file, &facts.process) {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid));
            return tasks.map_or(process.threads.len(), Iterator::count);
        }
        let notes = facts.elf_notes.as_deref().unwrap_or_default();
        memdump_image::elf::notes(notes)
            .filter(|note| note.name == b"CORE" && note.kind == NT_PRSTATUS)
            .count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.origin(&mut text);
        self.content(&mut text);
        self.damage(&mut text);
        self.regions(&mut text);
        text
    }

    /// The format, and the machine or process that the memory is of.
    fn origin(&self, text: &mut String) {
        let Subject { file, name, map, facts, page_size, .. } = self.subject;
        match file {
            Some(InputImage { format, codec, .. }) => {
                let packed = codec
                    .map_or(String::new(), |codec| format!(", compressed with {}", codec.name));
                line(text, "format", format!("{}{packed}", format.name));
                line(text, "opened by", format.opened_by);
            }
            None => line(text, "live", name),
        }
        line(text, "memory of", map.space());
        if let Some(process) = &facts.process {
            let name = String::from_utf8_lossy(&process.name);
            let (pid, threads) = (process.pid, self.threads());
            let plural = if threads == 1 { "" } else { "s" };
            line(text, "process", format!("{pid} ({name}), {threads} thread{plural}"));
        }
        for (key, value) in [
            ("host", facts.host.as_deref()),
            ("release", facts.release.as_deref()),
            ("version", facts.version.as_deref()),
            ("machine", facts.machine()),
        ] {
            value.into_iter().for_each(|value| line(text, key, value));
        }
        let date = |seconds: i64| jiff::Timestamp::from_second(seconds).ok();
        let taken = facts.taken.and_then(|taken| date(i64::try_from(taken.as_secs()).ok()?));
        taken.into_iter().for_each(|taken| line(text, "taken", taken));
        line(text, "page size", Human(*page_size));
        // In the kernel's own dump, seconds since 1970 (`crash_save_vmcoreinfo` in `kernel/vmcore_info.c`).
        let crashed = facts.vmcoreinfo.as_ref().and_then(|info| info.get("CRASHTIME"));
        let crashed = crashed.and_then(|seconds| date(seconds.parse().ok()?));
        crashed.into_iter().for_each(|crashed| line(text, "crashed", crashed));
    }

    /// The amount of memory, and what is known to be missing or wrong.
    fn content(&self, text: &mut String) {
        let Subject { file, problems, .. } = self.subject;
        match file {
            Some(InputImage { size, .. }) => {
                line(text, "file", Human(*size));
                let ratio = self.present() as f64 / (*size).max(1) as f64;
                let present = Human(self.present());
                line(text, "memory", format!("{present}, {ratio:.2} times the file"));
            }
            None => line(text, "memory", Human(self.present())),
        }
        for (cause, bytes) in &self.holes {
            line(text, "not in it", format!("{}: {cause}", Human(*bytes)));
        }
        for problem in problems {
            line(text, if file.is_some() { "problem" } else { "note" }, problem);
        }
    }

    /// The result of reading all of it.
    fn damage(&self, text: &mut String) {
        let Some(Scanned { zero, damage }) = &self.scanned else {
            return line(text, "damage", "not looked for (--scan reads all of it)");
        };
        line(text, "zero pages", Human(*zero));
        for hole in damage {
            let len = Human(hole.extent.len());
            line(text, "damaged", format!("{len} at {}: {}", hole.extent, hole.cause));
        }
        if damage.is_empty() {
            line(text, "damaged", "nothing: all of it was read");
        }
    }

    /// The regions, of very many the first.
    fn regions(&self, text: &mut String) {
        let regions = self.subject.map.regions();
        line(text, "regions", regions.len());
        for region in regions.iter().take(SHOWN_REGIONS) {
            let len = Human(region.extent.len()).to_string();
            let kind = region.kind.name();
            let _ = writeln!(
                text,
                "  {:#018x}-{:#018x} {len:>10}  {kind} {}",
                region.extent.start(),
                region.extent.end(),
                region.label
            );
        }
        if regions.len() > SHOWN_REGIONS {
            let _ =
                writeln!(text, "  and {} more (--json lists them)", regions.len() - SHOWN_REGIONS);
        }
    }
}

/// Adds a line of a key and its value. Writing to a string cannot fail.
fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{key:<12} {value}");
}

/// `NT_PRSTATUS` (`include/uapi/linux/elf.h`).
const NT_PRSTATUS: u32 = 1;

/// Reads all of the memory, except pages that are known to be absent. Reading those would fault them into a live process.
fn scan(subject: &Subject<'_>) -> Scanned {
    let Subject { space, map, .. } = subject;
    let mut scanned = Scanned { zero: 0, damage: Vec::new() };
    let mut holes = HoleList::default();
    for region in map.regions() {
        let mut rest = Some(region.extent);
        while let Some(here) = rest {
            let whole = || vec![Run { extent: here, presence: Presence::Memory }];
            let runs = space.survey(here).unwrap_or_else(|_| whole());
            for run in &runs {
                match run.presence {
                    Presence::Zero => scanned.zero += run.extent.len(),
                    Presence::Nothing(_) => {}
                    _ => read_run(subject, *run, &mut scanned.zero, &mut holes),
                }
            }
            let end = runs.last().map_or(here.end(), |run| run.extent.end());
            rest = Extent::half_open(end, here.end()).ok();
        }
    }
    scanned.damage = holes.listed().to_vec();
    scanned
}

/// Reads a run. Adds the bytes in pages of zeros to `zero`, and the memory that cannot be read to `holes`.
fn read_run(subject: &Subject<'_>, run: Run, zero: &mut u64, holes: &mut HoleList) {
    let page = subject.page_size;
    let mut piece = vec![0; PIECE_LEN];
    let mut rest = Some(run.extent);
    // Set after a failed read: the failure may be due to memory after the first page.
    let mut is_single = false;
    while let Some(here) = rest {
        let step = if is_single { page - here.start() % page } else { PIECE_LEN as u64 };
        let now = here.split_at(step).0.unwrap_or(here);
        let buf = &mut piece[..now.len() as usize];
        let done = match subject.space.read_runs(&[Run { extent: now, ..run }], buf) {
            Ok(read) => {
                let pages = buf[..read].chunks(page as usize);
                let zeros = pages.filter(|page| is_zero(page));
                *zero += zeros.map(|page| page.len() as u64).sum::<u64>();
                is_single = false;
                read as u64
            }
            Err(_) if !is_single => {
                is_single = true;
                0
            }
            Err(error) => {
                let cause = match error {
                    ReadError::Fault { cause, .. } => cause,
                    ReadError::Io(_) => Cause::Damaged,
                };
                holes.add(Hole { extent: now, cause });
                now.len()
            }
        };
        rest = here.split_at(done).1;
    }
}
