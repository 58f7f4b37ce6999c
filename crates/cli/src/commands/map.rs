//! `memdump map`: the memory that would be dumped, region by region.

use std::fmt::Write;

use memdump_acquire::{Human, MachineSource};
use memdump_image::MemoryMap;

use super::print;
use crate::args::MapArgs;
use crate::exit::Exit;
use crate::{log, options};

pub(crate) fn run(args: &MapArgs) -> anyhow::Result<Exit> {
    log::init(args.select.verbose);
    if let Some(pid) = args.pid {
        return super::process::listing::run(args, pid);
    }
    let limit = options::size("-s", &args.select.size, "1g")?;
    let machine = options::open_machine(&args.select, &[], false)?;
    let map = machine.plan.map.truncate(limit.unwrap_or(u64::MAX));
    let listing = match args.json {
        true => json(&map, &machine),
        false => table(&map, &machine),
    };
    print(&listing)?;
    Ok(Exit::Complete)
}

fn json(map: &MemoryMap, machine: &MachineSource) -> String {
    let regions = map.regions().iter().map(|region| {
        serde_json::json!({
            "start": region.extent.start(),
            "end": region.extent.end(),
            "size": region.extent.len(),
            "kind": region.kind.name(),
            "label": region.label,
            "counterpart": region.alias,
        })
    });
    let omitted = machine.omitted.iter().map(|hole| {
        serde_json::json!({
            "start": hole.extent.start(),
            "end": hole.extent.end(),
            "size": hole.extent.len(),
            "cause": hole.cause.name(),
        })
    });
    let object = serde_json::json!({
        "source": machine.name,
        "space": map.space().to_string(),
        "size": map.total(),
        "regions": regions.collect::<Vec<_>>(),
        "omitted": omitted.collect::<Vec<_>>(),
        "notes": machine.notes,
    });
    format!("{object}\n")
}

fn table(map: &MemoryMap, machine: &MachineSource) -> String {
    let mut text = format!("{:<18}  {:<18}  {:>12}  KIND\n", "START", "END", "SIZE");
    // Writing to a string cannot fail.
    for region in map.regions() {
        let (extent, size) = (region.extent, Human(region.extent.len()));
        let (start, end) = (extent.start(), extent.end());
        let label = match region.label.as_str() {
            "" => String::new(),
            label => format!("  {label}"),
        };
        let _ = writeln!(text, "{start:#018x}  {end:#018x}  {size:>12}  {}{label}", region.kind);
    }
    for hole in &machine.omitted {
        let (extent, size) = (hole.extent, Human(hole.extent.len()));
        let (start, end) = (extent.start(), extent.end());
        let _ = writeln!(text, "{start:#018x}  {end:#018x}  {size:>12}  left out: {}", hole.cause);
    }
    for note in &machine.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let (count, source) = (map.regions().len(), &machine.name);
    let _ = writeln!(
        text,
        "{count} regions, {} of {} memory from {source}; END is the first address beyond",
        Human(map.total()),
        map.space(),
    );
    text
}
