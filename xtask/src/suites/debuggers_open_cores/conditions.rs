//! Processes in conditions that only root can make: more mappings than an ELF header counts, memory on swap, another user's, in a control group or
//! a container, and a disk that is full. What a core holds is asked of gdb.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::command::{self, Finished};
use crate::scratch;

const LIMIT: Duration = Duration::from_secs(120);
const PAGE: u64 = 4096;
/// `overflowuid`, and Debian's `nobody`: a user without rights.
const NOBODY: &str = "65534";

/// A condition, and what proves that it is coped with.
pub(super) struct Condition {
    pub(super) name: &'static str,
    prove: fn(&Bench) -> Result<String>,
}

pub(super) const CONDITIONS: &[Condition] = &[
    Condition { name: "70000-mappings", prove: many_mappings },
    Condition { name: "swapped", prove: swapped },
    Condition { name: "other-user", prove: other_user },
    Condition { name: "full-disk", prove: full_disk },
    Condition { name: "cgroup", prove: cgroup },
    Condition { name: "container", prove: container },
    Condition { name: "shared-consistent", prove: shared_consistent },
];

/// Proves one; says what was proved.
pub(super) fn check(condition: &Condition, memdump: &Path, folder: &Path) -> Result<String> {
    let program = folder.join("conditions");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/conditions.c");
    command::run(Command::new("gcc").args(["-g", "-O1", "-o"]).arg(&program).arg(source), LIMIT)?;
    let folder = tempfile::tempdir_in(folder)?;
    let bench = Bench { memdump: memdump.into(), program, folder: folder.path().into() };
    let proved = (condition.prove)(&bench)?;
    Ok(format!("{}: {proved}", condition.name))
}

/// The command, a target program and a directory for what comes of them.
struct Bench {
    memdump: PathBuf,
    program: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn start(&self, mode: &str) -> Result<Target> {
        Target::start(Command::new(&self.program).arg(mode))
    }

    fn core(&self) -> PathBuf {
        self.folder.join("core")
    }

    /// `memdump process --json -o core`, with further arguments.
    fn dump(&self, arguments: &[&str]) -> Result<Finished> {
        let mut dump = Command::new(&self.memdump);
        dump.args(["process", "--json", "--overwrite", "-o"]).arg(self.core()).args(arguments);
        command::finish(&mut dump, LIMIT)
    }

    /// The same, which must end so.
    fn dump_ending(&self, status: i32, arguments: &[&str]) -> Result<Value> {
        let done = self.dump(arguments)?;
        ensure!(done.status.code() == Some(status), "{}: {}", done.status, done.stderr);
        serde_json::from_str(&done.stdout).context("what it printed")
    }

    /// Demands that gdb finds in the core, at each of these addresses, the address itself.
    fn shows_pattern(&self, addresses: impl Iterator<Item = u64>) -> Result<()> {
        let addresses: Vec<u64> = addresses.collect();
        for (addr, word) in addresses.iter().zip(self.words(&addresses)?) {
            ensure!(word == *addr, "gdb shows {word:#x} at {addr:#x}");
        }
        Ok(())
    }

    /// The words that gdb shows at these addresses.
    fn words(&self, addresses: &[u64]) -> Result<Vec<u64>> {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch"]);
        for addr in addresses {
            gdb.arg("-ex")
                .arg(format!("output/x *(unsigned long *){addr:#x}"))
                .args(["-ex", "echo \\n"]);
        }
        let printed = command::run(gdb.arg(&self.program).arg(self.core()), LIMIT)?;
        let words = printed
            .lines()
            .filter_map(|line| u64::from_str_radix(line.trim().strip_prefix("0x")?, 16).ok());
        let words: Vec<u64> = words.collect();
        ensure!(words.len() == addresses.len(), "gdb printed:\n{printed}");
        Ok(words)
    }
}

/// A process in a condition. It is killed when this is dropped.
struct Target {
    child: Child,
    told: BTreeMap<String, (u64, u64)>,
}

impl Target {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("start the target")?;
        let output = child.stdout.take().context("its output")?;
        let mut target = Self { child, told: BTreeMap::new() };
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line == "ready" {
                return Ok(target);
            }
            let words: Vec<&str> = line.split(' ').collect();
            let [name, start, len] = words[..] else { bail!("the target said {line}") };
            let number = |text| u64::from_str_radix(text, 16);
            target.told.insert(name.to_owned(), (number(start)?, number(len)?));
        }
        bail!("the target ended before it was ready")
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn memory(&self) -> (u64, u64) {
        self.told["memory"]
    }

    /// Demands that it comes to where it waits, for which it may need a processor first.
    fn runs_on(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
            if stat.contains(") S ") {
                return Ok(());
            }
            ensure!(started.elapsed() < Duration::from_secs(20), "it does not run on: {stat}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A value of its status, in KiB.
    fn status(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find(|line| line.starts_with(key)).context("its status")?;
        Ok(line.split_whitespace().nth(1).context("a value")?.parse()?)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A setting of the kernel; as before when this is dropped.
struct Setting(&'static str, String);

impl Setting {
    fn set(path: &'static str, value: &str) -> Result<Self> {
        let before = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        fs::write(path, value).with_context(|| format!("set {path}, which needs root"))?;
        Ok(Self(path, before))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(self.0, &self.1);
    }
}

/// Runs a program when it is dropped: the undoing of what another did.
struct Undo(Command);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = command::finish(&mut self.0, LIMIT);
    }
}

fn many_mappings(bench: &Bench) -> Result<String> {
    let _many = Setting::set("/proc/sys/vm/max_map_count", "200000")?;
    let target = bench.start("mappings")?;
    let started = Instant::now();
    bench.dump_ending(0, &[&target.pid()])?;
    let took = started.elapsed();
    let (start, len) = target.memory();
    let ends = [start, start + PAGE, start + len / 2, start + len - 8];
    bench.shows_pattern(ends.into_iter())?;
    let header = command::run(Command::new("readelf").arg("-hW").arg(bench.core()), LIMIT)?;
    let count = header.lines().find(|line| line.contains("Number of program headers"));
    let count = count.and_then(|line| line.split(['(', ')']).nth(1)).context("readelf -h")?;
    ensure!(count.parse::<u32>()? > 70000, "readelf counts {count} segments");
    Ok(format!(
        "a core of {count} segments in {:.1} s, which gdb and readelf open",
        took.as_secs_f64()
    ))
}

fn swapped(bench: &Bench) -> Result<String> {
    // Not every file system can be swapped to: tmpfs, which /tmp may be, cannot.
    let folder = scratch::on_disk()?;
    let file = folder.path().join("swap");
    let size = fs::File::options().write(true).create_new(true).open(&file)?;
    // Blocks, not holes: the kernel does not swap into those.
    rustix::fs::fallocate(&size, rustix::fs::FallocateFlags::empty(), 0, 128 << 20)?;
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    command::run(Command::new("mkswap").arg(&file), LIMIT)?;
    command::run(Command::new("swapon").arg(&file), LIMIT).context("swap, which needs root")?;
    let mut off = Command::new("swapoff");
    off.arg(&file);
    let _off = Undo(off);

    let target = bench.start("swapped")?;
    let on_swap = target.status("VmSwap")?;
    ensure!(on_swap > 16 << 10, "only {on_swap} KiB went to swap");
    let told = bench.dump_ending(3, &[&target.pid(), "--swap", "skip"])?;
    let holes = told["processes"][0]["holes"].as_array().context("holes")?;
    let left = holes.iter().filter(|hole| hole["cause"] == "swapped");
    let left: u64 = left
        .map(|hole| hole["end"].as_u64().unwrap_or(0) - hole["start"].as_u64().unwrap_or(0))
        .sum();
    ensure!(left / 1024 == on_swap, "{} KiB were left out, {on_swap} KiB are on swap", left / 1024);
    ensure!(target.status("VmSwap")? == on_swap, "they do not stay there");

    bench.dump_ending(0, &[&target.pid()])?;
    let (start, len) = target.memory();
    bench.shows_pattern((start..start + len).step_by(64 * PAGE as usize))?;
    Ok(format!("{} MiB on swap are left there with --swap skip, and read without", on_swap >> 10))
}

fn other_user(bench: &Bench) -> Result<String> {
    let target = bench.start("plain")?;
    let folder = bench.program.parent().context("a directory")?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    // The workspace may be where nobody may not look, such as root's home.
    let memdump = folder.join("memdump");
    fs::copy(&bench.memdump, &memdump).context("copy the command")?;
    let mut refused = Command::new("setpriv");
    refused.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&memdump);
    let done = command::finish(refused.args(["process", &target.pid(), "-o", "/dev/null"]), LIMIT)?;
    ensure!(done.status.code() == Some(1), "{}: {}", done.status, done.stderr);
    let said = done.stderr.trim();
    ensure!(said.lines().count() == 1 && said.contains("root"), "{said}");

    let mut theirs = Command::new("setpriv");
    theirs.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&bench.program);
    let target = Target::start(&mut theirs)?;
    bench.dump_ending(0, &[&target.pid(), "--pause", "snapshot"])?;
    let metadata = fs::metadata(bench.core())?;
    ensure!(metadata.uid() == 0 && metadata.mode() & 0o077 == 0, "others may read the core");
    bench.shows_pattern([target.memory().0].into_iter())?;
    Ok(format!("root takes nobody's; nobody is told: {said}"))
}

fn full_disk(bench: &Bench) -> Result<String> {
    let mount = bench.folder.join("disk");
    fs::create_dir(&mount)?;
    let mut tmpfs = Command::new("mount");
    tmpfs.args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(&mount);
    command::run(&mut tmpfs, LIMIT).context("mount, which needs root")?;
    let mut umount = Command::new("umount");
    umount.arg(&mount);
    let _umount = Undo(umount);

    let target = bench.start("plain")?;
    let mut said = String::new();
    for arguments in [&["-o"][..], &["--compress", "zstd", "-o"]] {
        let core = mount.join("core");
        let mut dump = Command::new(&bench.memdump);
        dump.args(["process", &target.pid()]).args(arguments).arg(&core);
        let done = command::finish(&mut dump, LIMIT)?;
        // Compressed it may fit.
        if done.status.success() {
            fs::remove_file(&core)?;
            continue;
        }
        ensure!(done.status.code() == Some(1), "{}: {}", done.status, done.stderr);
        said = done.stderr.trim().to_owned();
        ensure!(said.contains("not enough room") || said.contains("No space"), "{said}");
        let left: Vec<_> = fs::read_dir(&mount)?.collect();
        ensure!(left.is_empty(), "it left {left:?}");
    }
    ensure!(target.status("VmRSS")? > 64 << 10, "the target is harmed");
    let mut full = Command::new("sh");
    full.args(["-c", "\"$0\" process $1 -o - > /dev/full"]).arg(&bench.memdump).arg(target.pid());
    let done = command::finish(&mut full, LIMIT)?;
    ensure!(done.status.code() == Some(1), "{}: {}", done.status, done.stderr);
    Ok(format!("nothing is left, and it is told: {said}"))
}

/// A control group with processes in it, in whatever version the machine has.
struct Group {
    folder: PathBuf,
    targets: Vec<Target>,
}

impl Group {
    fn fill(bench: &Bench, name: &str, count: usize) -> Result<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"];
        let root = roots.iter().find(|root| Path::new(root).join("cgroup.procs").exists());
        let folder = Path::new(root.context("no control groups are mounted")?).join(name);
        fs::create_dir(&folder).context("a control group, which needs root")?;
        let mut group = Self { folder, targets: Vec::new() };
        for _ in 0..count {
            let target = bench.start("plain")?;
            fs::write(group.folder.join("cgroup.procs"), target.pid())?;
            group.targets.push(target);
        }
        Ok(group)
    }

    /// Demands that each of its processes was dumped into a directory, as the index there says.
    fn is_taken(&self, told: &Value, folder: &Path) -> Result<()> {
        let processes = told["processes"].as_array().context("processes")?;
        ensure!(processes.len() == self.targets.len(), "{} were taken", processes.len());
        for target in &self.targets {
            let core = folder.join(format!("core.{}", target.pid()));
            ensure!(fs::metadata(&core)?.len() > 64 << 20, "{} is small", core.display());
            target.runs_on()?;
        }
        let events = fs::read_to_string(self.folder.join("cgroup.events")).unwrap_or_default();
        ensure!(!events.contains("frozen 1"), "the group stays frozen");
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.targets.clear();
        let _ = fs::remove_dir(&self.folder);
    }
}

fn cgroup(bench: &Bench) -> Result<String> {
    let group = Group::fill(bench, &format!("memdump-test-{}", std::process::id()), 3)?;
    let path = group.folder.to_str().context("a path in UTF-8")?;
    let told = bench.dump_ending(0, &["--cgroup", path])?;
    group.is_taken(&told, &bench.core())?;
    Ok("three processes, a core each, and all run on".into())
}

fn container(bench: &Bench) -> Result<String> {
    let id = format!("{:064x}", 0x5eed_0000_0000 + u64::from(std::process::id()));
    let group = Group::fill(bench, &format!("docker-{id}.scope"), 2)?;
    let told = bench.dump_ending(0, &["--container", &id])?;
    group.is_taken(&told, &bench.core())?;
    Ok("the two processes of a group that is named as docker names them".into())
}

fn shared_consistent(bench: &Bench) -> Result<String> {
    let target = bench.start("shared")?;
    bench.dump_ending(0, &[&target.pid(), "--pause", "snapshot", "--shared-consistent"])?;
    let (start, len) = target.memory();
    let addresses: Vec<u64> = (start..start + len).step_by(64 * PAGE as usize).collect();
    let generations = bench.words(&addresses)?;
    ensure!(generations.is_sorted_by(|one, next| one >= next), "it is torn: {generations:?}");
    let (first, last) = (generations[0], generations[generations.len() - 1]);
    ensure!(first - last <= 1, "from generation {first} to {last}");
    Ok("shared memory of one instant under a snapshot".into())
}
