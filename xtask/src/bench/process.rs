//! Processes: the command beside gcore, the `dd` loop and the kernel's own core, on this machine, turn by turn.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::publish;
use crate::lab::payload;
use crate::suites::debuggers_open_cores::CorePattern;
use crate::{command, setup};

const LIMIT: Duration = Duration::from_secs(60);
/// The directory for cores: in memory, so that no device hides the difference.
const FAST: &str = "/dev/shm";

/// A script that people copy from the web: every private range that can be written and is no library.
const DD_LOOP: &str = r#"grep ' rw-p ' /proc/$PID/maps | grep -v '\.so' | while IFS='- ' read -r start end rest; do
    dd if=/proc/$PID/mem of="$OUT.$start.bin" bs=1M iflag=skip_bytes,count_bytes \
        skip=$((0x$start)) count=$((0x$end - 0x$start)) status=none || true
done"#;

/// A process to dump; the words of `xtask/targets/bench.c`.
struct Kind {
    word: &'static str,
    about: &'static str,
    /// The least that a core has to hold of it, in MiB.
    resident: u32,
    /// Its cores go to a disk: a directory of the build.
    to_disk: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        word: "half",
        about: "2 GiB, half touched, 4 KiB pages",
        resident: 1024,
        to_disk: false,
    },
    Kind { word: "huge", about: "2 GiB in huge pages", resident: 2048, to_disk: false },
    Kind { word: "threads", about: "64 threads, 256 MiB", resident: 257, to_disk: false },
    Kind { word: "shared", about: "1 GiB shared, untouched", resident: 1, to_disk: false },
    Kind { word: "half", about: "2 GiB, half touched, to a disk", resident: 1024, to_disk: true },
];

/// A program that dumps it: a script for sh with `$PID`, `$OUT` and `$MEMDUMP`.
struct Tool {
    name: &'static str,
    script: &'static str,
}

const GCORE: &str = "gcore";
const STOP: &str = "memdump --pause stop";
const SNAPSHOT: &str = "memdump --pause snapshot";
const TOOLS: &[Tool] = &[
    Tool { name: GCORE, script: "gcore -o $OUT $PID > /dev/null 2>&1" },
    Tool { name: "dd loop", script: DD_LOOP },
    Tool {
        name: "the kernel's core",
        script: "kill -ABRT $PID; until grep -q 'State:.Z' /proc/$PID/status; do sleep 0.005; done",
    },
    Tool { name: STOP, script: "$MEMDUMP process $PID -q --no-manifest --pause stop -o $OUT" },
    Tool {
        name: SNAPSHOT,
        script: "$MEMDUMP process $PID -q --no-manifest --pause snapshot -o $OUT",
    },
    Tool {
        name: "memdump --pause none",
        script: "$MEMDUMP process $PID -q --no-manifest --pause none -o $OUT",
    },
    // No process is read: what is left is the time of the file system.
    Tool {
        name: "zeros, as many bytes",
        script: "dd if=/dev/zero of=$OUT bs=1M count=$RESIDENT status=none",
    },
];

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    seconds: f64,
    /// The longest time that the process stood still; none of one that ended.
    pause: Option<f64>,
    /// Blocks of all files.
    written: u64,
    /// The growth of the process: resident and page tables, in bytes.
    growth: Option<i64>,
    /// Of the tool, in KiB.
    peak_kib: u64,
}

/// All runs of a tool on a kind.
struct Row {
    kind: &'static Kind,
    tool: &'static Tool,
    runs: Vec<Run>,
}

impl Row {
    fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    fn seconds(&self) -> f64 {
        self.median(|run| Some(run.seconds)).unwrap_or(f64::NAN)
    }

    fn pause(&self) -> f64 {
        self.median(|run| run.pause).unwrap_or(f64::NAN)
    }
}

pub(super) fn run(rounds: usize) -> Result<()> {
    ensure!(rounds > 0, "at least one round");
    setup::apt(&["gcc", "gdb", "time"])?;
    let memdump = payload::memdump(&payload::build()?)?;
    let place = Place::new(memdump)?;
    let mut rows: Vec<Row> = KINDS
        .iter()
        .flat_map(|kind| TOOLS.iter().map(move |tool| Row { kind, tool, runs: Vec::new() }))
        .collect();
    for round in 0..=rounds {
        for row in &mut rows {
            let run = place.measure(row.kind, row.tool)?;
            eprintln!("  round {round}: {}, {}: {run:?}", row.kind.about, row.tool.name);
            // The first round warms up: the hypervisor gives memory only when it is touched.
            if round > 0 {
                row.runs.push(run);
            }
        }
    }
    let reading = place.reading(rounds)?;
    publish("process", &(table(&rows, rounds) + &reading))
}

/// The files and programs of a measurement.
struct Place {
    folder: TempDir,
    disk: TempDir,
    program: PathBuf,
    memdump: PathBuf,
}

impl Place {
    fn new(memdump: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("memdump-bench-").tempdir_in(FAST)?;
        let target = payload::workspace().join("target");
        std::fs::create_dir_all(&target)?;
        let disk = tempfile::tempdir_in(target)?;
        let program = folder.path().join("bench");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/bench.c");
        let mut gcc = Command::new("gcc");
        command::run(gcc.args(["-O2", "-pthread", "-o"]).arg(&program).arg(source), LIMIT)?;
        Ok(Self { folder, disk, program, memdump })
    }

    /// Starts a process of that kind, runs the tool on it once, and takes both away.
    fn measure(&self, kind: &Kind, tool: &Tool) -> Result<Run> {
        let notes = self.folder.path().join("notes");
        let target = Target::start(&self.program, kind.word, &notes)?;
        let place = if kind.to_disk { &self.disk } else { &self.folder };
        let out = place.path().join("out");
        fs::create_dir(&out)?;
        let pattern = CorePattern::set(&format!("{}/core", out.display()))?;
        let usage = self.folder.path().join("usage");
        command::run(Command::new(&self.program).arg("warm"), LIMIT)?;
        let before = target.weight();
        // In place: the process would die of a file that is cut short for a moment.
        fs::OpenOptions::new().write(true).open(&notes)?.write_all_at(&[0; 16], 0)?;
        let started = Instant::now();
        let mut timed = Command::new("time");
        timed.args(["-f", "%M", "-o"]).arg(&usage).args(["sh", "-c", tool.script]);
        timed.env("PID", target.child.id().to_string()).env("OUT", out.join("core"));
        timed.env("RESIDENT", kind.resident.to_string());
        command::run(timed.env("MEMDUMP", &self.memdump), LIMIT)
            .with_context(|| format!("{} of {}", tool.name, kind.word))?;
        let seconds = started.elapsed().as_secs_f64();
        drop(pattern);
        // The thread notes a gap when it is over.
        std::thread::sleep(Duration::from_millis(5));
        let after = target.weight();
        let gap = fs::read(&notes)?;
        let gap = gap.first_chunk::<8>().map(|gap| u64::from_le_bytes(*gap) as f64 / 1e9);
        let mut written = 0;
        for entry in fs::read_dir(&out)? {
            written += entry?.metadata()?.blocks() * 512;
        }
        ensure!(written > 0, "{} of {} wrote nothing", tool.name, kind.word);
        fs::remove_dir_all(&out)?;
        let peak = fs::read_to_string(&usage)?;
        Ok(Run {
            seconds,
            pause: gap.filter(|_| after.is_some()),
            written,
            growth: before.zip(after).map(|(before, after)| after - before),
            peak_kib: peak.split_whitespace().last().context("time")?.parse()?,
        })
    }

    /// The speed of reading, as a share of what this machine's memory gives.
    fn reading(&self, rounds: usize) -> Result<String> {
        let mut text = String::from(
            "\nReading alone, to `/dev/null`, with two threads, beside `memcpy` of the same memory into a small buffer:\n\n\
             | memory | memcpy, 1 thread | memcpy, 2 threads | memdump, 2 readers | of 1 thread | of 2 threads |\n|---|---|---|---|---|---|\n",
        );
        for kind in &KINDS[..2] {
            let (mut single, mut double, mut ours) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                single.push(self.memcpy(kind.word, 1)?);
                double.push(self.memcpy(kind.word, 2)?);
                ours.push(self.read(kind.word)?);
            }
            let [single, double, ours] = [single, double, ours].map(|mut speeds| {
                speeds.sort_by(f64::total_cmp);
                speeds[speeds.len() / 2]
            });
            text += &format!(
                "| {} | {:.1} GB/s | {:.1} GB/s | {:.1} GB/s | {:.2} | {:.2} |\n",
                kind.about,
                single / 1e9,
                double / 1e9,
                ours / 1e9,
                ours / single,
                ours / double
            );
        }
        Ok(text)
    }

    fn memcpy(&self, kind: &str, threads: usize) -> Result<f64> {
        let mut copy = Command::new(&self.program);
        let printed = command::run(copy.args(["copy", kind]).arg(threads.to_string()), LIMIT)?;
        printed.trim().parse().context("what bench.c printed")
    }

    /// Bytes a second, as the command itself says: without its start and the reading of the mappings.
    fn read(&self, kind: &str) -> Result<f64> {
        let target = Target::start(&self.program, kind, &self.folder.path().join("notes"))?;
        let mut best = 0.0_f64;
        for _ in 0..3 {
            let mut dump = Command::new(&self.memdump);
            dump.args([
                "process",
                &target.child.id().to_string(),
                "-q",
                "--json",
                "--readers",
                "2",
            ]);
            let printed = command::run(dump.args(["-o", "/dev/null"]), LIMIT)?;
            let json: serde_json::Value = serde_json::from_str(&printed)?;
            let process = &json["processes"][0];
            let taken = process["taken"].as_f64().context("taken")?;
            best = best.max(taken / process["seconds"].as_f64().context("seconds")?);
        }
        Ok(best)
    }
}

/// A process that is measured. It is killed when this is dropped.
struct Target {
    child: Child,
}

impl Target {
    fn start(program: &Path, kind: &str, notes: &Path) -> Result<Self> {
        let mut sh = Command::new("sh");
        sh.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(program);
        let mut child = sh.args(["hold", kind]).arg(notes).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("its output")?;
        let target = Self { child };
        let ready = BufReader::new(output).lines().next().context("the target ended")??;
        ensure!(ready == "ready", "the target said {ready}");
        std::thread::sleep(Duration::from_millis(50));
        Ok(target)
    }

    /// Resident memory and page tables, in bytes; none when it has ended.
    fn weight(&self) -> Option<i64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let kib = |key: &str| -> Option<i64> {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((kib("VmRSS:")? + kib("VmPTE:")?) << 10)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn table(rows: &[Row], rounds: usize) -> String {
    let mut table = format!(
        "Cores to tmpfs where nothing else is said, 2 CPUs. Each tool in turn on a process of its own, a round to warm up, then {rounds} rounds; medians. *Pause* is the longest \
         gap that a thread of the process noted, which wants to run each 50 µs; *faster* and *pause of gcore's* are relative to gcore on the \
         same kind; *growth* is resident memory and page tables of the process, afterwards less before. The last row of each kind writes as many \
         zeros with dd, and reads no process.\n\n\
         | process | tool | seconds (fastest to slowest) | faster | pause | pause of gcore's | written | growth | peak memory |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let gcore =
            rows.iter().find(|peer| peer.kind.about == row.kind.about && peer.tool.name == GCORE);
        let seconds = || row.runs.iter().map(|run| run.seconds);
        let fastest = seconds().fold(f64::MAX, f64::min);
        let slowest = seconds().fold(0.0, f64::max);
        let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
        let pause = match row.pause() {
            pause if pause.is_nan() => "it ends".to_owned(),
            pause => format!("{:.1} ms", pause * 1e3),
        };
        let share = gcore.map_or(f64::NAN, |gcore| row.pause() / gcore.pause());
        let share = if share.is_nan() { "".into() } else { format!("1/{:.1}", 1.0 / share) };
        table += &format!(
            "| {} | {} | {:.2} ({fastest:.2} to {slowest:.2}) | {:.1} | {pause} | {share} | {} | {} | {} |\n",
            row.kind.about,
            row.tool.name,
            row.seconds(),
            gcore.map_or(f64::NAN, |gcore| gcore.seconds() / row.seconds()),
            mib(row.median(|run| Some(run.written as f64)).unwrap_or(0.0)),
            row.median(|run| run.growth.map(|growth| growth as f64)).map_or("".into(), mib),
            mib(row.runs.iter().map(|run| run.peak_kib).max().unwrap_or(0) as f64 * 1024.0),
        );
    }
    table
}
