//! Physical memory: the command beside dd (the limit), AVML and memdump 1.01, in one guest, turn by turn.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab_guest::pattern::PAGE;

use crate::consumers::avml;
use crate::lab::guest::{DISK, Guest, PORT};
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::truth::Fingerprint;
use crate::lab::{devmem, payload, view};
use crate::setup;

/// 4 GiB, so that there is RAM above 4 GiB; no KASLR, so that /dev/mem can be opened up for memdump 1.01.
const MACHINE: Machine = Machine::new("bench", Series::V6_12, 4096).cmdline("nokaslr");
/// The part of it that holds something.
const FILLED: u64 = 2 << 30;
const SEED: u64 = 1;
/// The size that memdump 1.01 is asked for: without one it does not end.
const OLD_SIZE: u64 = 1 << 30;

/// A program to measure.
struct Contender {
    name: &'static str,
    /// The command; `{out}` is where the image goes.
    command: String,
    /// The sinks that it can write to.
    sinks: &'static [Sink],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Null,
    Disk,
    Port,
}

impl Sink {
    const ALL: [Sink; 3] = [Sink::Null, Sink::Disk, Sink::Port];

    fn name(self) -> &'static str {
        match self {
            Sink::Null => "/dev/null",
            Sink::Disk => "disk, O_DIRECT",
            Sink::Port => "virtio-serial port",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Sink::Null => "/dev/null",
            Sink::Disk => DISK,
            Sink::Port => PORT,
        }
    }
}

/// The measurements of a contender with a sink.
struct Row {
    contender: &'static str,
    sink: Sink,
    /// Wall time of each round.
    seconds: Vec<f64>,
    /// The largest resident set in any round, in KiB.
    peak_kib: u64,
    /// The median of the pages of the guest that each round changed.
    changed: u64,
}

impl Row {
    fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

pub(super) fn run(rounds: usize) -> Result<()> {
    ensure!(rounds > 0, "at least one round");
    setup::apt(&["qemu-system-x86"])?;
    let mut programs = payload::build()?;
    programs.push(program("bin/avml", &avml::program()?));
    let old = setup::deb("memdump")?;
    programs.push(program("bin/memdump-1.01", &old.join("usr/sbin/memdump")));
    // Debian's dd and memdump are linked dynamically.
    programs.push(program("bin/dd", Path::new("/bin/dd")));
    programs.push(program("lib64/ld-linux-x86-64.so.2", Path::new("/lib64/ld-linux-x86-64.so.2")));
    let libc = Path::new("/lib/x86_64-linux-gnu/libc.so.6");
    programs.push(program("lib/x86_64-linux-gnu/libc.so.6", libc));

    let mut guest = Guest::boot(MACHINE, &programs)?;
    guest.hold(&["fill", &(FILLED / 2).to_string(), &SEED.to_string(), "small"])?;
    guest.hold(&["fill", &(FILLED / 2).to_string(), &SEED.to_string(), "huge"])?;
    devmem::relax(&mut guest)?;
    let contenders = contenders(&mut guest)?;
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..=rounds {
        for contender in &contenders {
            for &sink in contender.sinks {
                let (seconds, peak_kib, changed) = measure(&mut guest, contender, sink)?;
                eprintln!("  round {round}: {} to {sink:?}: {seconds:.2} s", contender.name);
                // The first round warms up: the hypervisor allocates and translates.
                if round > 0 {
                    record(&mut rows, contender.name, sink, seconds, peak_kib, changed);
                }
            }
        }
    }
    conclude(&rows, rounds, &guest.release)
}

fn program(path: &str, file: &Path) -> Program {
    Program { path: path.to_owned(), file: file.to_owned() }
}

fn contenders(guest: &mut Guest) -> Result<Vec<Contender>> {
    let ram = kcore_ram(guest)?;
    let dd_plain = dd_command(&ram, "")?;
    let dd_direct = dd_command(&ram, "oflag=direct,seek_bytes conv=notrunc")?;
    let ours = |name, more: &str, sinks| Contender {
        name,
        command: format!("memdump --quiet {more} -o {{out}}"),
        sinks,
    };
    Ok(vec![
        Contender {
            name: "dd bs=1M from kcore",
            command: dd_plain,
            sinks: &[Sink::Null, Sink::Port],
        },
        Contender { name: "dd bs=1M from kcore", command: dd_direct, sinks: &[Sink::Disk] },
        ours("memdump", "", &Sink::ALL),
        ours("memdump --format lime", "--format lime", &[Sink::Disk, Sink::Port]),
        Contender {
            name: "avml acquire",
            command: "avml acquire --source /proc/kcore {out}".into(),
            sinks: &Sink::ALL,
        },
        Contender {
            name: "memdump 1.01 -s 1g",
            command: format!("memdump-1.01 -s {OLD_SIZE} > {{out}}"),
            sinks: &Sink::ALL,
        },
        ours("memdump --source mem -s 1g", "--source mem -s 1g", &Sink::ALL),
    ])
}

/// Offset and length in `/proc/kcore` of each range of RAM: the segments at the distance that the largest with a physical address
/// has.
fn kcore_ram(guest: &mut Guest) -> Result<Vec<(u64, u64)>> {
    let dump = guest
        .demand("busybox dd if=/proc/kcore bs=4096 count=1 2>/dev/null | busybox od -An -v -tx8")?;
    let words: Vec<u64> = dump
        .split_whitespace()
        .map(|word| u64::from_str_radix(word, 16))
        .collect::<Result<_, _>>()
        .context("what od printed")?;
    // e_phoff is word 4; e_phnum are bytes 56 and 57, the first of word 7. A header has 7 words.
    let (table, count) = (words[4] as usize / 8, (words[7] & 0xffff) as usize);
    let headers = words[table..].chunks_exact(7).take(count);
    let loads: Vec<&[u64]> =
        headers.filter(|header| header[0] as u32 == 1 && header[3] != u64::MAX).collect();
    let distance = |header: &[u64]| header[2].wrapping_sub(header[3]);
    let largest = loads.iter().max_by_key(|header| header[5]).context("kcore has no RAM")?;
    let ram = loads.iter().filter(|header| distance(header) == distance(largest));
    Ok(ram.map(|header| (header[1], header[5])).collect())
}

/// One dd for each range, one after another.
fn dd_command(ram: &[(u64, u64)], more: &str) -> Result<String> {
    let mut position = 0;
    let mut commands = Vec::new();
    for (offset, len) in ram {
        let seek =
            if more.contains("seek_bytes") { format!("seek={position}") } else { String::new() };
        commands.push(format!(
            "dd if=/proc/kcore of={{out}} bs=1M iflag=skip_bytes,count_bytes skip={offset} count={len} \
             status=none {more} {seek}"
        ));
        position += len;
    }
    ensure!(!commands.is_empty(), "kcore has no RAM");
    Ok(commands.join(" && "))
}

/// Runs a contender once: wall time, peak memory, pages of the guest that changed meanwhile.
fn measure(guest: &mut Guest, contender: &Contender, sink: Sink) -> Result<(f64, u64, u64)> {
    let ram = view::ram(guest)?;
    let image = (sink == Sink::Port).then(|| guest.collect("bench")).transpose()?;
    let before = guest.paused(|_, memory| Fingerprint::of(memory, &ram))?;
    // The port's own name is a link, which neither AVML nor memdump follows.
    let path = guest.demand(&format!("busybox readlink -f {}", sink.path()))?;
    let command = contender.command.replace("{out}", path.trim());
    let done = guest.run(&command)?;
    ensure!(done.status == 0, "{command}: {} {}", done.status, done.stderr);
    let changed = guest.paused(|_, memory| {
        let mut changed = 0;
        for address in ram.iter().flat_map(|range| range.clone().step_by(PAGE)) {
            let page = memory.page(address)?.context("RAM that the hypervisor does not have")?;
            changed += u64::from(!before.matches(address, &page));
        }
        Ok(changed)
    })?;
    if let Some(image) = image {
        guest.settle(&image)?;
        guest.discard(&image)?;
    }
    Ok((done.time.as_secs_f64(), done.peak_kib, changed))
}

fn record(
    rows: &mut Vec<Row>,
    contender: &'static str,
    sink: Sink,
    seconds: f64,
    peak_kib: u64,
    changed: u64,
) {
    match rows.iter_mut().find(|row| row.contender == contender && row.sink == sink) {
        Some(row) => {
            row.seconds.push(seconds);
            row.peak_kib = row.peak_kib.max(peak_kib);
            row.changed = row.changed.min(changed);
        }
        None => {
            rows.push(Row { contender, sink, seconds: vec![seconds], peak_kib, changed });
        }
    }
}

/// Puts the table into `docs/benchmarks.md`, and prints it.
fn conclude(rows: &[Row], rounds: usize, release: &str) -> Result<()> {
    let mut table = format!(
        "Guest: Linux {release}, 4 GiB of RAM, 2 GiB of it filled, 2 virtual CPUs, QEMU's software emulation. Each contender in \
         turn, a round to warm up, then {rounds} rounds; median. *Speed* is bytes of RAM by time, relative to dd to the same sink; \
         *changed* is how many 4 KiB pages of the guest's RAM differ afterwards, at the least.\n\n\
         | sink | contender | seconds (fastest to slowest) | speed | peak memory | changed pages |\n|---|---|---|---|---|---|\n"
    );
    for sink in Sink::ALL {
        let limit = rows.iter().find(|row| row.sink == sink && row.contender.starts_with("dd"));
        for row in rows.iter().filter(|row| row.sink == sink) {
            let fastest = row.seconds.iter().copied().fold(f64::MAX, f64::min);
            let slowest = row.seconds.iter().copied().fold(0.0, f64::max);
            // What took a quarter of the machine is scaled to all of it.
            let share = if row.contender.contains("-s 1g") {
                OLD_SIZE as f64 / (4_u64 << 30) as f64
            } else {
                1.0
            };
            let speed = limit.map_or(f64::NAN, |limit| share * limit.median() / row.median());
            table.push_str(&format!(
                "| {} | {} | {:.2} ({fastest:.2} to {slowest:.2}) | {speed:.2} | {:.1} MiB | {} |\n",
                sink.name(),
                row.contender,
                row.median(),
                row.peak_kib as f64 / 1024.0,
                row.changed,
            ));
        }
    }
    super::publish("physical", &table)
}
