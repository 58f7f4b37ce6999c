//! Looking into memory: the command beside strings, hexdump and ripgrep, on one GiB of a Python process, turn by turn.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::publish;
use super::turns::{Turn, compare};
use crate::command::{self, Running};
use crate::lab::payload;
use crate::setup;

const LIMIT: Duration = Duration::from_secs(300);
/// The directory of the file: in memory, so that no device hides the difference.
const FAST: &str = "/dev/shm";
/// The part of the process's core that is looked into, in bytes.
const LEN: u64 = 1 << 30;
/// The size of the process, so that its core has as much, in MiB.
const PROCESS_MIB: &str = "1300";

/// The command beside a peer: scripts for sh, with `$MEMDUMP` and `$FILE`.
struct Match {
    about: &'static str,
    peer: Contender,
    ours: Contender,
    /// The factor by which the command is to be faster.
    wanted: f64,
    /// True if both are to print the same.
    prints_the_same: bool,
}

#[derive(Clone, Copy)]
struct Contender {
    name: &'static str,
    script: &'static str,
}

const STRINGS: Contender =
    Contender { name: "memdump strings", script: "$MEMDUMP strings -q --raw $FILE" };

const MATCHES: &[Match] = &[
    Match {
        about: "strings of 4 characters and more",
        peer: Contender { name: "strings -a", script: "strings -a $FILE" },
        ours: STRINGS,
        wanted: 8.0,
        prints_the_same: true,
    },
    Match {
        about: "bytes and text",
        peer: Contender { name: "hexdump -C", script: "hexdump -C $FILE" },
        ours: Contender { name: "memdump hexdump", script: "$MEMDUMP hexdump -q --raw $FILE" },
        wanted: 20.0,
        prints_the_same: true,
    },
    Match {
        about: "a text that is rare",
        peer: Contender {
            name: "rg -c -a --mmap -F",
            script: "rg -c -a --mmap -F 'few times: haystack' $FILE || test $? = 1",
        },
        ours: Contender {
            name: "memdump search",
            script: "$MEMDUMP search -q --count --raw $FILE 'few times: haystack' || test $? = 1",
        },
        wanted: 1.0,
        prints_the_same: false,
    },
    Match {
        about: "texts that differ in numbers, counted",
        peer: STRINGS,
        ours: Contender {
            name: "memdump strings --templates",
            script: "$MEMDUMP strings -q --raw --templates $FILE",
        },
        wanted: 1.0 / 3.0,
        prints_the_same: false,
    },
];

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    peak_kib: u64,
}

/// The runs of one contender.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn median(&self) -> f64 {
        let mut seconds: Vec<f64> = self.0.iter().map(|run| run.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn fastest(&self) -> f64 {
        self.0.iter().map(|run| run.seconds).fold(f64::MAX, f64::min)
    }

    fn slowest(&self) -> f64 {
        self.0.iter().map(|run| run.seconds).fold(0.0, f64::max)
    }

    fn peak_mib(&self) -> f64 {
        self.0.iter().map(|run| run.peak_kib).max().unwrap_or(0) as f64 / 1024.0
    }
}

pub(super) fn run(rounds: usize, before: Option<PathBuf>) -> Result<()> {
    ensure!(rounds > 0, "at least one round");
    setup::apt(&["binutils", "bsdextrautils", "python3", "ripgrep", "time"])?;
    let memdump = payload::memdump(&payload::build()?)?;
    let mut place = Place::new(memdump)?;
    if let Some(before) = before {
        let tasks: Vec<String> =
            MATCHES.iter().map(|pair| format!("{}: {}", pair.about, pair.ours.name)).collect();
        let now = place.memdump.clone();
        return compare(&tasks, rounds, |task, is_before| {
            place.memdump = if is_before { before.clone() } else { now.clone() };
            let Run { seconds, peak_kib } = place.measure(&MATCHES[task].ours)?;
            Ok(Turn { seconds, peak_kib })
        });
    }
    // The first run warms up, and what it prints is compared.
    let mut agree = Vec::new();
    for pair in MATCHES {
        let same = place.checksum(&pair.peer)? == place.checksum(&pair.ours)?;
        agree.push(same);
        if pair.prints_the_same {
            let word = if same { "the same" } else { "not the same" };
            eprintln!("  {} and {} print {word}", pair.peer.name, pair.ours.name);
        }
    }
    let mut runs: Vec<(Runs, Runs)> = MATCHES.iter().map(|_| Default::default()).collect();
    for round in 1..=rounds {
        for (pair, (peer, ours)) in MATCHES.iter().zip(&mut runs) {
            for (contender, runs) in [(&pair.peer, peer), (&pair.ours, ours)] {
                let run = place.measure(contender)?;
                eprintln!("  round {round}: {}: {run:?}", contender.name);
                runs.0.push(run);
            }
        }
    }
    publish("inspect", &table(&runs, &agree, rounds))
}

/// The files and programs of a measurement.
struct Place {
    folder: TempDir,
    file: PathBuf,
    memdump: PathBuf,
}

impl Place {
    /// Makes the file: the front of a core.
    fn new(memdump: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("memdump-bench-").tempdir_in(FAST)?;
        let file = folder.path().join("memory");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/memory.py");
        let mut python = Command::new("python3");
        python.arg(program).arg(PROCESS_MIB).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = python.spawn().context("start python3")?;
        let output = process.stdout.take().context("its output")?;
        let ready = BufReader::new(output).lines().next();
        let mut dump = Command::new(&memdump);
        dump.args(["process", &process.id().to_string(), "-q", "-o"]).arg(&file);
        let dumped = match ready {
            Some(Ok(_)) => command::run(&mut dump, LIMIT).map(drop),
            _ => Err(anyhow::anyhow!("the python3 that is to be dumped has ended")),
        };
        // It ends when it is told to; it is not needed whatever came of the dump.
        process.kill().and_then(|()| process.wait()).context("end python3")?;
        dumped?;
        let core = OpenOptions::new().write(true).open(&file)?;
        let len = core.metadata()?.len();
        ensure!(len >= LEN, "the core has {len} bytes, and {LEN} are wanted");
        core.set_len(LEN)?;
        Ok(Self { folder, file, memdump })
    }

    fn shell(&self, script: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).env("FILE", &self.file).env("MEMDUMP", &self.memdump);
        // What a locale makes of bytes costs some peers more than the bytes do.
        sh.env("LC_ALL", "C");
        sh
    }

    /// Of what it prints.
    fn checksum(&self, contender: &Contender) -> Result<String> {
        let script = format!("{{ {}; }} | sha256sum", contender.script);
        command::run(&mut self.shell(&script), LIMIT)
    }

    /// Runs it once, with its output to nowhere.
    fn measure(&self, contender: &Contender) -> Result<Run> {
        let usage = self.folder.path().join("usage");
        let mut timed = Command::new("time");
        timed.args(["-f", "%M", "-o"]).arg(&usage).args(["sh", "-c", contender.script]);
        timed.env("FILE", &self.file).env("MEMDUMP", &self.memdump).env("LC_ALL", "C");
        timed.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let status = Running::start(&mut timed)?.finish(LIMIT)?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(status.success(), "{}: {status}", contender.name);
        let peak = fs::read_to_string(&usage)?;
        Ok(Run { seconds, peak_kib: peak.trim().parse().context("what time printed")? })
    }
}

fn table(runs: &[(Runs, Runs)], agree: &[bool], rounds: usize) -> String {
    let mut table = format!(
        "1 GiB of the core of a Python process (texts, numbers, noise, zeros) on tmpfs, to `/dev/null`, 2 CPUs. Each in turn, a \
         run to warm up whose outputs are compared, then {rounds} rounds; medians. *Faster* is the peer's time by the command's.\n\n\
         | what | peer | seconds (fastest to slowest) | command | seconds (fastest to slowest) | faster | wanted | prints the same | peak memory |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for ((pair, (peer, ours)), same) in MATCHES.iter().zip(runs).zip(agree) {
        let seconds = |runs: &Runs| {
            format!("{:.2} ({:.2} to {:.2})", runs.median(), runs.fastest(), runs.slowest())
        };
        let same = match (pair.prints_the_same, same) {
            (false, _) => "",
            (true, true) => "yes",
            (true, false) => "no",
        };
        table += &format!(
            "| {} | `{}` | {} | `{}` | {} | {:.2} | {:.2} | {same} | {:.1} MiB |\n",
            pair.about,
            pair.peer.name,
            seconds(peer),
            pair.ours.name,
            seconds(ours),
            peer.median() / ours.median(),
            pair.wanted,
            ours.peak_mib(),
        );
    }
    table
}
