//! The guest's own account of itself: its RAM, its kernel's addresses, the pages it calls unreadable. From `/proc`, by
//! this module's own reading; the hypervisor's word is in `truth`.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use lab_guest::pattern::PAGE;
use lab_guest::protocol::Held;

use super::Range;
use super::guest::Guest;

/// The whole pages of System RAM, at any depth of `/proc/iomem`.
pub(crate) fn ram(guest: &mut Guest) -> Result<Vec<Range>> {
    let found = ram_in(&guest.demand("cat /proc/iomem")?)?;
    ensure!(!found.is_empty(), "the guest's /proc/iomem names no RAM");
    Ok(found)
}

fn ram_in(iomem: &str) -> Result<Vec<Range>> {
    let page = PAGE as u64;
    let mut found: Vec<Range> = Vec::new();
    for (range, name) in resources(iomem) {
        if name.starts_with("System RAM") {
            let range = range?;
            let whole = range.start.next_multiple_of(page)..range.end / page * page;
            match found.last_mut() {
                Some(last) if last.end == whole.start => last.end = whole.end,
                _ => found.push(whole),
            }
        }
    }
    Ok(found)
}

/// The physical address of the kernel's first byte of code.
pub(crate) fn kernel_code(guest: &mut Guest) -> Result<u64> {
    let iomem = guest.demand("cat /proc/iomem")?;
    let (range, _) = resources(&iomem)
        .find(|(_, name)| *name == "Kernel code")
        .context("/proc/iomem names no kernel code")?;
    Ok(range?.start)
}

/// Each line of iomem, whose last addresses are inclusive.
fn resources(iomem: &str) -> impl Iterator<Item = (Result<Range>, &str)> {
    iomem.lines().filter_map(|line| {
        let (range, name) = line.trim_start().split_once(" : ")?;
        let (first, last) = range.split_once('-')?;
        let range = u64::from_str_radix(first, 16)
            .and_then(|first| Ok(first..u64::from_str_radix(last, 16)? + 1))
            .context("a number in iomem");
        Some((range, name))
    })
}

/// The addresses of `names` in `/proc/kallsyms`.
pub(crate) fn symbols(
    guest: &mut Guest,
    names: &[&'static str],
) -> Result<HashMap<&'static str, u64>> {
    let pattern = names.join("|");
    let lines = guest.demand(&format!("grep -E ' . ({pattern})$' /proc/kallsyms"))?;
    let mut found = HashMap::new();
    for line in lines.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let Some(known) = names.iter().find(|known| **known == name) {
            found.insert(*known, u64::from_str_radix(address, 16).context("kallsyms")?);
        }
    }
    for name in names {
        ensure!(found.contains_key(name), "/proc/kallsyms has no {name}");
    }
    Ok(found)
}

/// The pages that `/proc/kpageflags` calls offline or poisoned.
pub(crate) fn unreadable(guest: &mut Guest) -> Result<Vec<Range>> {
    let printed = guest.demand("lab-guest frames")?;
    let held: Held = serde_json::from_str(&printed).context("understand `lab-guest frames`")?;
    Ok(held.runs.into_iter().map(|(start, end)| start..end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_is_found_at_any_depth_and_in_whole_pages() {
        let iomem = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n\
            00100000-3fffffff : System RAM\n  01000000-01dfffff : Kernel code\n\
            100000000-13fffffff : virtio0\n  100000000-107ffffff : System RAM (virtio_mem)\n  \
            108000000-10fffffff : System RAM (virtio_mem)\n";
        assert_eq!(
            ram_in(iomem).unwrap(),
            [0x1000..0x9f000, 0x10_0000..0x4000_0000, 0x1_0000_0000..0x1_1000_0000]
        );
    }
}
