//! `memdump check`: shows which sources work on this machine, and the command to run. It reads no memory.

use std::fmt::Write;
use std::path::Path;

use memdump_acquire::{Destination, Human};
use memdump_image::format::FORMATS;
use memdump_image::{Extent, Facts, MemoryMap, Plan, Region, RegionKind, Space};
use memdump_live::{Preflight, PreflightRange, preflight};

use super::print;
use super::writing::destination;
use crate::advice;
use crate::args::CheckArgs;
use crate::exit::Exit;

/// The largest number of ranges that are shown one by one.
const SHOWN_RANGES: usize = 16;

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let found = preflight();
    let weights = weights(&found)?;
    let room = match Path::new(&args.output).is_dir() {
        // Any file in the directory has the same room.
        true => Destination::file(Path::new(&args.output).join("memory.img")).room(),
        false => destination(&args.output)?.room(),
    };
    let command = command(&found, room);
    let listing = match args.json {
        true => json(&found, &weights, room, command.as_deref())?,
        false => table(&found, &weights, args, room, command.as_deref()),
    };
    print(&listing)?;
    Ok(if command.is_some() { Exit::Complete } else { Exit::Failed })
}

/// The size of an image in each format, in bytes.
fn weights(found: &Preflight) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let regions = found.ranges.iter().filter_map(|range| {
        let extent = Extent::half_open(range.start, range.end).ok()?;
        Some(Region::new(extent, RegionKind::Ram))
    });
    let map = MemoryMap::new(Space::Physical, regions.collect())?;
    let plan = Plan::whole(map, found.page_size, Facts::default());
    Ok(FORMATS.iter().map(|format| (format.name, (format.size)(&plan))).collect())
}

/// The command to run on this machine. `None` if no source works.
fn command(found: &Preflight, room: Option<u64>) -> Option<String> {
    found.sources.iter().find(|source| source.usable)?;
    Some(match room {
        Some(room) if room < found.ram => {
            "memdump --format lime | zstd | ssh HOST 'cat > memory.lime.zst'".to_owned()
        }
        _ => "memdump --format lime -o memory.lime".to_owned(),
    })
}

fn json(
    found: &Preflight,
    weights: &[(&str, u64)],
    room: Option<u64>,
    command: Option<&str>,
) -> anyhow::Result<String> {
    let mut object = serde_json::to_value(found)?;
    let sizes: serde_json::Map<_, _> =
        weights.iter().map(|&(name, size)| (name.to_owned(), size.into())).collect();
    object["image_sizes"] = sizes.into();
    object["free_space"] = room.into();
    object["command"] = command.into();
    Ok(format!("{object}\n"))
}

fn table(
    found: &Preflight,
    weights: &[(&str, u64)],
    args: &CheckArgs,
    room: Option<u64>,
    command: Option<&str>,
) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let held = |value: Option<bool>| match value {
        Some(true) => "held",
        Some(false) => "MISSING",
        None => "unknown",
    };
    let (release, machine) = (known(&found.release), known(&found.machine));
    let _ = writeln!(text, "machine       {} (Linux {release}, {machine})", known(&found.host));
    let lockdown = found.lockdown.unwrap_or("unknown (securityfs is not mounted)");
    let _ = writeln!(text, "lockdown      {lockdown}");
    let _ = writeln!(
        text,
        "capabilities  CAP_SYS_RAWIO {}, CAP_SYS_ADMIN {}",
        held(found.cap_sys_rawio),
        held(found.cap_sys_admin),
    );
    if found.confidential_guest {
        let _ = writeln!(text, "guest         confidential: /dev/mem is not touched");
    }

    let _ = writeln!(text, "\nsources");
    for source in &found.sources {
        let (name, path) = (source.name, source.path);
        match (&source.reason, &source.refusal) {
            (None, _) => {
                let ram = Human(source.ram.unwrap_or(0));
                let kernel = if source.kernel { ", kernel memory (-k)" } else { "" };
                let verdict = match source.untried {
                    true => "opens, but a read may be refused (STRICT_DEVMEM)",
                    false => "usable",
                };
                let _ = writeln!(text, "  {name:<6} {path:<12} {verdict}: {ram} of RAM{kernel}");
            }
            (Some(reason), refusal) => {
                let _ = writeln!(text, "  {name:<6} {path:<12} no: {reason}");
                let remedy = refusal.as_ref().map(advice::for_source).unwrap_or_default();
                let _ = writeln!(text, "  {:<19} {remedy}", "");
            }
        }
    }

    if !found.ranges.is_empty() {
        let _ = writeln!(text, "\nRAM           {}", Human(found.ram));
        ranges(&mut text, &found.ranges, "");
        ranges(&mut text, &found.omitted, "left out: ");
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let Some(command) = command else {
        let _ = writeln!(text, "\nNothing on this machine can read its memory now.");
        return text;
    };
    let _ = writeln!(text, "\nimage size");
    for (name, size) in weights {
        let _ = writeln!(text, "  {name:<8} {:>12}", Human(*size).to_string());
    }
    if let Some(room) = room {
        let place = Path::new(&args.output).display();
        let verdict = if room < found.ram { "NOT ENOUGH" } else { "enough" };
        let _ = writeln!(text, "  free at {place}: {} ({verdict})", Human(room));
    }
    let _ = writeln!(text, "\nrun: {command}");
    text
}

fn ranges(text: &mut String, ranges: &[PreflightRange], prefix: &str) {
    for PreflightRange { start, end, kind } in ranges.iter().take(SHOWN_RANGES) {
        let size = Human(end - start).to_string();
        let _ = writeln!(text, "  {start:#018x}-{end:#018x} {size:>12}  {prefix}{kind}");
    }
    if let Some(more) = ranges.len().checked_sub(SHOWN_RANGES).filter(|&more| more > 0) {
        let _ = writeln!(text, "  … and {more} more (memdump check --json)");
    }
}
