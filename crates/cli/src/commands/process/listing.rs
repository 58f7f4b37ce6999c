//! `memdump map PID`: the mappings of a process, and how much of each a dump would contain.

use std::fmt::Write;

use memdump_acquire::Human;
use memdump_live::process::{Listing, Process};
use serde_json::json;

use crate::args::MapArgs;
use crate::commands::print;
use crate::exit::Exit;
use crate::options::filter;

pub(crate) fn run(args: &MapArgs, pid: u32) -> anyhow::Result<Exit> {
    let target = Process::find(pid)?;
    let listing = target.list(&filter(&args.filter, Some(pid)))?;
    print(&match args.json {
        true => json_text(&listing, &target),
        false => table(&listing, &target),
    })?;
    Ok(Exit::Complete)
}

fn json_text(listing: &Listing, target: &Process) -> String {
    let regions = listing.mapped.iter().map(|mapped| {
        let region = &mapped.region;
        json!({
            "start": region.extent.start(),
            "end": region.extent.end(),
            "size": region.extent.len(),
            "permissions": region.mapping.as_ref().map(|mapping| mapping.permissions.to_string()),
            "kind": region.kind.name(),
            "label": region.label,
            "resident": mapped.resident,
            "swapped": mapped.swapped,
            "to_write": mapped.to_write,
        })
    });
    let object = json!({
        "pid": target.pid(),
        "name": target.name(),
        "to_write": total(listing),
        "regions": regions.collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

fn total(listing: &Listing) -> u64 {
    listing.mapped.iter().map(|mapped| mapped.to_write).sum()
}

fn table(listing: &Listing, target: &Process) -> String {
    let mut text = format!(
        "{:<16}  {:<16}  PERM  {:>10}  {:>10}  {:>10}  {:>10}  {:<12}  NAME\n",
        "START", "END", "SIZE", "RESIDENT", "SWAPPED", "TO WRITE", "KIND"
    );
    // A column of zeros would be hard to read.
    let size = |bytes| if bytes == 0 { "-".to_owned() } else { Human(bytes).to_string() };
    for mapped in &listing.mapped {
        let region = &mapped.region;
        let (start, end) = (region.extent.start(), region.extent.end());
        let permissions = region.mapping.as_ref().map(|mapping| mapping.permissions);
        let permissions = permissions.map_or(String::new(), |permissions| permissions.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{start:016x}  {end:016x}  {permissions}  {:>10}  {:>10}  {:>10}  {:>10}  {:<12}  {}",
            size(region.extent.len()),
            size(mapped.resident),
            size(mapped.swapped),
            size(mapped.to_write),
            region.kind,
            printable(&region.label),
        );
    }
    let sum =
        |of: fn(&memdump_live::process::Mapped) -> u64| Human(listing.mapped.iter().map(of).sum());
    let _ = writeln!(
        text,
        "process {} ({}): {} mappings of {}, {} resident, {} on swap; a dump would write {}",
        target.pid(),
        target.name(),
        listing.mapped.len(),
        sum(|mapped| mapped.region.extent.len()),
        sum(|mapped| mapped.resident),
        sum(|mapped| mapped.swapped),
        sum(|mapped| mapped.to_write),
    );
    text
}

/// The label without control characters: a path may contain some, and a terminal would obey them.
fn printable(label: &str) -> String {
    label.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
