//! Images: conversions beside AVML and makedumpfile, and the check of hashes beside openssl and b3sum, all on one guest's memory, on tmpfs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::turns::{Turn, compare};
use crate::consumers::avml;
use crate::lab::guest::Guest;
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::payload;
use crate::{command, setup};

/// RAM of the guest, in MiB.
const RAM: u64 = 2048;
/// Of which so much is noise, and so much programs.
const NOISE: u64 = 256 << 20;
const PROGRAMS: u64 = 512 << 20;
const LIMIT: Duration = Duration::from_secs(300);
/// A directory in memory, where nothing waits for a disk.
const FAST: &str = "/dev/shm";

/// The tasks, and the programs that do them. The first of a task is the one that the others are measured by.
struct Contender {
    task: &'static str,
    name: &'static str,
    /// A shell script; `$LIME`, `$ELF` and `$VERIFIED` are the images, `$OUT` is where its own goes.
    script: &'static str,
}

/// Debian's makedumpfile is built without zstd; one on PATH that has it is measured by it.
const ZSTD: &str = "elf to kdump, zstd";

const CONTENDERS: &[Contender] = &[
    Contender {
        task: "lime to avml",
        name: "avml convert",
        script: "$AVML convert --source-format lime --format lime_compressed $LIME $OUT",
    },
    Contender {
        task: "lime to avml",
        name: "memdump convert",
        script: "$MEMDUMP convert --quiet --no-manifest $LIME $OUT --format avml",
    },
    Contender {
        task: "elf to kdump, zlib",
        name: "makedumpfile -c, 2 threads",
        // Debian's sometimes aborts when its threads end, after everything is written.
        script: "makedumpfile --num-threads 2 -c -d 0 $ELF $OUT; test -s $OUT",
    },
    Contender {
        task: "elf to kdump, zlib",
        name: "makedumpfile -c, 1 thread",
        script: "makedumpfile -c -d 0 $ELF $OUT",
    },
    Contender {
        task: "elf to kdump, zlib",
        name: "memdump convert",
        script: "$MEMDUMP convert --quiet --no-manifest $ELF $OUT --format kdump-zlib",
    },
    Contender {
        task: "elf to kdump, fastest",
        name: "makedumpfile -l (lzo), 1 thread",
        script: "makedumpfile -l -d 0 $ELF $OUT",
    },
    Contender {
        task: "elf to kdump, fastest",
        name: "memdump convert (zstd)",
        script: "$MEMDUMP convert --quiet --no-manifest $ELF $OUT --format kdump",
    },
    Contender {
        task: ZSTD,
        name: "makedumpfile -z, 2 threads",
        script: "makedumpfile --num-threads 2 -z -d 0 $ELF $OUT; test -s $OUT",
    },
    Contender {
        task: ZSTD,
        name: "makedumpfile -z, 1 thread",
        script: "makedumpfile -z -d 0 $ELF $OUT",
    },
    Contender {
        task: ZSTD,
        name: "memdump convert",
        script: "$MEMDUMP convert --quiet --no-manifest $ELF $OUT --format kdump",
    },
    Contender {
        task: "hashes",
        name: "openssl dgst -sha256",
        script: "openssl dgst -sha256 $VERIFIED",
    },
    Contender { task: "hashes", name: "b3sum", script: "b3sum $VERIFIED" },
    Contender {
        task: "hashes",
        name: "memdump verify (both)",
        script: "$MEMDUMP verify $VERIFIED",
    },
    Contender {
        task: "leaving out what nobody needs",
        name: "makedumpfile -c -d 31, 1 thread",
        script: "makedumpfile -c -d 31 $ELF $OUT",
    },
    Contender {
        task: "leaving out what nobody needs",
        name: "memdump convert --exclude, zlib",
        script: "$MEMDUMP convert --quiet --no-manifest $ELF $OUT --format kdump-zlib --exclude free,zero,cache,user",
    },
];

#[derive(Debug)]
struct Run {
    seconds: f64,
    /// The largest resident set, in KiB.
    peak_kib: u64,
    written: u64,
}

pub(super) fn run(rounds: usize, before: Option<PathBuf>) -> Result<()> {
    ensure!(rounds > 0, "at least one round");
    setup::apt(&["qemu-system-x86", "makedumpfile", "openssl", "b3sum", "time"])?;
    let programs = payload::build()?;
    let mut place = Place::new(payload::memdump(&programs)?, &mut boot(&programs)?)?;
    if let Some(before) = before {
        let ours: Vec<&Contender> =
            CONTENDERS.iter().filter(|contender| contender.script.contains("$MEMDUMP")).collect();
        let tasks: Vec<String> = ours
            .iter()
            .map(|contender| format!("{}, {}", contender.task, contender.name))
            .collect();
        let now = place.memdump.clone();
        return compare(&tasks, rounds, |task, is_before| {
            place.memdump = if is_before { before.clone() } else { now.clone() };
            let Run { seconds, peak_kib, .. } = place.measure(ours[task])?;
            Ok(Turn { seconds, peak_kib })
        });
    }
    let makedumpfile = command::run(Command::new("makedumpfile").arg("-v"), LIMIT)?;
    let has_zstd = makedumpfile.lines().any(|line| line.split_whitespace().eq(["zstd", "enabled"]));
    let contenders: Vec<&Contender> =
        CONTENDERS.iter().filter(|contender| contender.task != ZSTD || has_zstd).collect();
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            let run = place.measure(contender)?;
            eprintln!("  round {round}: {}, {}: {run:?}", contender.task, contender.name);
            // The first round warms up.
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let version = makedumpfile.lines().next().unwrap_or_default();
    super::publish("images", &table(&contenders, &runs, version))?;
    super::publish("less", &less(&programs)?)
}

/// The time saved by leaving out pages that nobody needs while a machine runs: 4 GiB, with 3 of them free.
fn less(programs: &[Program]) -> Result<String> {
    let mut guest = Guest::boot(Machine::new("bench-less", Series::V6_12, 4096), programs)?;
    guest.hold(&["fill", &(896_u64 << 20).to_string(), "1", "small"])?;
    let free = guest.demand("busybox grep MemFree /proc/meminfo")?;
    let mut table = format!(
        "A running guest of 4 GiB ({}), into a pipe, once each. *Size* and *time* are relative to all of the memory in the same \
         format.\n\n| format | left out | size | time | seconds |\n|---|---|---|---|---|\n",
        free.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    for format in ["raw", "lime", "kdump"] {
        let mut whole = None;
        for left_out in ["", "free", "free,zero,cache,user"] {
            let option = if left_out.is_empty() { "" } else { "--exclude" };
            let dump =
                format!("memdump --quiet --format {format} {option} {left_out} | busybox wc -c");
            let done = guest.run(&dump)?;
            ensure!(done.status == 0, "{dump}: {}", done.stderr);
            let size: f64 =
                done.stdout.trim().parse().with_context(|| format!("{dump} printed"))?;
            let time = done.time.as_secs_f64();
            let (all, all_time) = *whole.get_or_insert((size, time));
            let what = if left_out.is_empty() { "nothing" } else { left_out };
            table.push_str(&format!(
                "| {format} | {what} | {:.2} | {:.2} | {time:.2} |\n",
                size / all,
                time / all_time
            ));
        }
    }
    Ok(table)
}

/// A guest with memory as there is: a part of it noise, a part programs, the rest never used.
fn boot(programs: &[Program]) -> Result<Guest> {
    let mut guest = Guest::boot(Machine::new("bench-images", Series::V6_1, RAM), programs)?;
    guest.hold(&["fill", &NOISE.to_string(), "1", "small"])?;
    guest.demand(&format!(
        "busybox mkdir -p /many && busybox mount -t tmpfs none /many && i=0 && \
         while [ $(busybox du -sk /many | busybox cut -f1) -lt {} ]; do \
         busybox cp /bin/memdump /many/$i; i=$((i+1)); done",
        PROGRAMS >> 10
    ))?;
    Ok(guest)
}

/// The files and programs of a measurement.
struct Place {
    folder: TempDir,
    memdump: PathBuf,
    avml: PathBuf,
}

impl Place {
    fn new(memdump: PathBuf, guest: &mut Guest) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("memdump-bench-").tempdir_in(FAST)?;
        for format in ["lime", "elf"] {
            let image = guest.acquire(format)?;
            fs::copy(&image, folder.path().join(format)).context("copy the image to tmpfs")?;
            guest.discard(&image)?;
        }
        let place = Self { folder, memdump, avml: avml::program()? };
        let mut convert = Command::new(&place.memdump);
        convert.args(["convert", "--quiet", "--format", "padded"]).arg(place.path("elf"));
        convert.arg(place.path("verified"));
        convert.arg("--manifest").arg(place.path("verified.manifest.json"));
        command::run(&mut convert, LIMIT)?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn measure(&self, contender: &Contender) -> Result<Run> {
        let (out, usage) = (self.path("out"), self.path("usage"));
        let mut timed = Command::new("time");
        timed.args(["-f", "%M", "-o"]).arg(&usage).args(["sh", "-c", contender.script]);
        for (name, path) in [
            ("LIME", &self.path("lime")),
            ("ELF", &self.path("elf")),
            ("VERIFIED", &self.path("verified")),
            ("OUT", &out),
            ("MEMDUMP", &self.memdump),
            ("AVML", &self.avml),
        ] {
            timed.env(name, path);
        }
        let started = Instant::now();
        command::run(&mut timed, LIMIT)
            .with_context(|| format!("{}, {}", contender.task, contender.name))?;
        let seconds = started.elapsed().as_secs_f64();
        let written = fs::metadata(&out).map_or(0, |metadata| metadata.len());
        if out.exists() {
            fs::remove_file(&out)?;
        }
        let peak = fs::read_to_string(&usage)?;
        let peak_kib = peak.split_whitespace().last().context("time")?.parse()?;
        Ok(Run { seconds, peak_kib, written })
    }
}

fn median(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// `version` is makedumpfile's.
fn table(contenders: &[&Contender], runs: &[Vec<Run>], version: &str) -> String {
    let rounds = runs.first().map_or(0, Vec::len);
    let mut table = format!(
        "Memory of a guest of 2 GiB: 256 MiB of noise, 512 MiB of programs, the rest the kernel's or never used. Images on tmpfs, 2 CPUs; {version}. \
         Each contender in turn, a round to warm up, then {rounds} rounds; medians. *Faster* is relative to the first of the same task.\n\n\
         | task | contender | seconds (fastest to slowest) | faster | written | peak memory |\n|---|---|---|---|---|---|\n"
    );
    for (contender, runs_of) in contenders.iter().zip(runs) {
        let first = contenders.iter().position(|other| other.task == contender.task).unwrap_or(0);
        let fastest = runs_of.iter().map(|run| run.seconds).fold(f64::MAX, f64::min);
        let slowest = runs_of.iter().map(|run| run.seconds).fold(0.0, f64::max);
        let peak = runs_of.iter().map(|run| run.peak_kib).max().unwrap_or(0);
        let written = runs_of.iter().map(|run| run.written).max().unwrap_or(0);
        table.push_str(&format!(
            "| {} | {} | {:.2} ({fastest:.2} to {slowest:.2}) | {:.2} | {:.0} MiB | {:.1} MiB |\n",
            contender.task,
            contender.name,
            median(runs_of),
            median(&runs[first]) / median(runs_of),
            written as f64 / f64::from(1 << 20),
            peak as f64 / 1024.0,
        ));
    }
    table
}
