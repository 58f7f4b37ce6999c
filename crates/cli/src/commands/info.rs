//! `memdump info`: what an image is, from when and of what, and how complete.

use std::fmt::Write;

use memdump_image::{Cause, Hole, Presence, ReadError, VmCoreInfo};
use serde_json::json;

use super::convert::survey;
use super::open::{self, Opened};
use super::print;
use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::log;
use crate::size::Human;

/// Regions that are shown one by one.
const SHOWN_REGIONS: usize = 40;
/// Bytes read at a time to look for zeros and damage.
const PIECE_LEN: usize = 1 << 20;

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    log::init(0);
    let opened = open::open(&args.image, &args.input)?;
    let present = survey(&opened, opened.map());
    let scanned = args.scan.then(|| scan(&opened));
    let report = Report { opened: &opened, holes: present.holes.by_cause().collect(), scanned };
    print(&if args.json { report.json() } else { report.text() })?;
    let damage = report.scanned.as_ref().is_some_and(|scanned| !scanned.damage.is_empty());
    Ok(if damage || !opened.image.problems.is_empty() { Exit::Incomplete } else { Exit::Complete })
}

/// What reading all of it has shown.
struct Scanned {
    /// Bytes in pages of zeros.
    zero: u64,
    /// Memory that cannot be read though the image has a place for it.
    damage: Vec<Hole>,
}

struct Report<'a> {
    opened: &'a Opened,
    /// Bytes without content, by cause.
    holes: Vec<(Cause, u64)>,
    scanned: Option<Scanned>,
}

impl Report<'_> {
    fn present(&self) -> u64 {
        self.opened.map().total() - self.holes.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    fn json(&self) -> String {
        let Opened { size, codec, format, image, .. } = self.opened;
        let map = self.opened.map();
        let regions = map.regions().iter().map(|region| {
            json!({
                "start": region.extent.start(),
                "end": region.extent.end(),
                "kind": region.kind.name(),
                "label": region.label,
                "counterpart": region.counterpart,
            })
        });
        let facts = &image.facts;
        let holes = self.holes.iter().map(|(cause, bytes)| (cause.name().to_owned(), json!(bytes)));
        let object = json!({
            "format": format.name,
            "compression": codec.map(|codec| codec.name),
            "file_size": size,
            "space": map.space().to_string(),
            "host": facts.host,
            "release": facts.release,
            "version": facts.version,
            "taken": facts.taken.map(|taken| taken.as_secs_f64()),
            "machine": facts.machine,
            "page_size": self.opened.page_size(),
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
            "problems": self.opened.problems(),
            "damage": self.scanned.as_ref().map(|scanned| super::write::json_holes(&scanned.damage)),
            "regions": regions.collect::<Vec<_>>(),
        });
        format!("{object}\n")
    }

    /// How many threads a core has registers of: NT_PRSTATUS notes.
    fn threads(&self) -> usize {
        let notes = self.opened.image.facts.elf_notes.as_deref().unwrap_or_default();
        memdump_image::format::notes(notes)
            .filter(|note| note.name == b"CORE" && note.kind == NT_PRSTATUS)
            .count()
    }

    fn text(&self) -> String {
        let Opened { size, codec, format, image, .. } = self.opened;
        let map = self.opened.map();
        let facts = &image.facts;
        let mut text = String::new();
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "{key:<12} {value}");
        };
        let packed =
            codec.map_or(String::new(), |codec| format!(", compressed with {}", codec.name));
        line("format", format!("{}{packed}", format.name));
        line("opened by", format.opened_by.to_owned());
        line("memory of", map.space().to_string());
        if let Some(process) = &facts.process {
            let name = String::from_utf8_lossy(&process.name);
            line("process", format!("{} ({name}), {} threads", process.pid, self.threads()));
        }
        for (key, value) in [
            ("host", &facts.host),
            ("release", &facts.release),
            ("version", &facts.version),
            ("machine", &facts.machine),
        ] {
            if let Some(value) = value {
                line(key, value.clone());
            }
        }
        let taken = facts.taken.and_then(|taken| i64::try_from(taken.as_secs()).ok());
        if let Some(taken) = taken.and_then(|taken| jiff::Timestamp::from_second(taken).ok()) {
            line("taken", taken.to_string());
        }
        line("page size", Human(self.opened.page_size()).to_string());
        let time = facts.vmcoreinfo.as_ref().and_then(|info| info.get("CRASHTIME"));
        if let Some(time) = time {
            line("crashed", format!("{time} s since 1970"));
        }
        line("file", Human(*size).to_string());
        let ratio = self.present() as f64 / (*size).max(1) as f64;
        line("memory", format!("{}, {ratio:.2} times the file", Human(self.present())));
        for (cause, bytes) in &self.holes {
            line("not in it", format!("{}: {cause}", Human(*bytes)));
        }
        for problem in self.opened.problems() {
            line("problem", problem);
        }
        match &self.scanned {
            Some(Scanned { zero, damage }) => {
                line("zero pages", Human(*zero).to_string());
                for hole in damage {
                    let len = Human(hole.extent.len());
                    line("damaged", format!("{len} at {}: {}", hole.extent, hole.cause));
                }
                if damage.is_empty() {
                    line("damaged", "nothing: all of it was read".into());
                }
            }
            None => line("damage", "not looked for (--scan reads all of it)".into()),
        }
        let regions = map.regions();
        line("regions", regions.len().to_string());
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
        text
    }
}

/// `NT_PRSTATUS` (`include/uapi/linux/elf.h`).
const NT_PRSTATUS: u32 = 1;

/// Reads all that the image has.
fn scan(opened: &Opened) -> Scanned {
    let page = opened.page_size();
    let space = &*opened.image.space;
    let mut scanned = Scanned { zero: 0, damage: Vec::new() };
    let mut holes = memdump_image::Totals::default();
    let mut piece = vec![0; PIECE_LEN];
    for region in opened.map().regions() {
        let mut at = region.extent.start();
        while at < region.extent.end() {
            let left = region.extent.end() - at;
            let len = PIECE_LEN.min(usize::try_from(left).unwrap_or(usize::MAX));
            match space.read_at(at, &mut piece[..len]) {
                Ok(read) => {
                    let pages = piece[..read].chunks(page as usize);
                    let zero = pages.filter(|page| page.iter().all(|&byte| byte == 0));
                    scanned.zero += zero.map(|page| page.len() as u64).sum::<u64>();
                    at += read as u64;
                }
                Err(error) => {
                    // The read may fail for what lies behind the first page.
                    let step = (page - at % page).min(left);
                    let now = &mut piece[..step as usize];
                    if let Ok(read) = space.read_at(at, now) {
                        at += read as u64;
                        continue;
                    }
                    let cause = match error {
                        ReadError::Fault { cause, .. } => cause,
                        ReadError::Io(_) => Cause::Damaged,
                    };
                    if !is_told(opened, at)
                        && let Ok(extent) = memdump_image::Extent::with_len(at, step)
                    {
                        holes.add(Hole { extent, cause });
                    }
                    at += step;
                }
            }
        }
    }
    scanned.damage = holes.listed().to_vec();
    scanned
}

/// Whether the image itself says that it has nothing there.
fn is_told(opened: &Opened, addr: u64) -> bool {
    let here = memdump_image::Extent::with_len(addr, 1);
    let runs = here.ok().and_then(|here| opened.image.space.survey(here).ok());
    runs.is_some_and(
        |runs| matches!(runs.first(), Some(run) if matches!(run.presence, Presence::Nothing(_))),
    )
}
