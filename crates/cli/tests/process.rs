//! `memdump process` on real processes. The tests trace their own child processes. That needs no root, but some containers
//! forbid it.

#[path = "support/process.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{
    Core, PAGE, Target, is_patterned, may_read_mapped_files, memdump, said, took_all_it_may,
    within_reason,
};

const NO_FILE: &str = "";
const PAUSES: [&str; 3] = ["stop", "snapshot", "none"];

fn target(mode: &str) -> Target {
    Target::start(mode, Path::new(NO_FILE))
}

#[test]
fn every_kind_of_memory_is_taken_in_every_way_of_pausing() {
    let target = target("pattern");
    for pause in PAUSES {
        let output = target.dump(&["--pause", pause]);
        // A fork has no page tables for shared memory.
        match pause {
            "snapshot" => took_all_it_may(&output),
            _ => assert_eq!(output.status.code(), Some(0), "{pause}: {}", said(&output)),
        }
        let core = Core::open(&target.core());
        for (name, &range) in &target.told {
            let is_taken =
                (name, pause) != (&"shared".into(), "snapshot") || may_read_mapped_files();
            let pages = if is_taken { (range.1 / PAGE) as usize } else { 0 };
            assert_eq!(core.patterned(range), pages, "{name} with --pause {pause}");
        }
        target.comes_to('S');
    }
}

#[test]
fn split_writes_a_file_for_each_mapping_that_it_fills_itself() {
    let target = target("pattern");
    // A running thread records its CPU now and then (rseq), so it has to be paused between the two reads.
    let pid = rustix::process::Pid::from_child(&target.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    target.comes_to('T');
    let folder = target.folder.path().join("parts");
    let mut command = memdump();
    command.args([
        "process",
        &target.pid(),
        "--perms",
        "rw-p",
        "--private",
        "--no-files",
        "--split",
    ]);
    let output = command.arg(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let maps = fs::read_to_string(folder.join(format!("{}_maps", target.pid()))).unwrap();
    let live = fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    assert_eq!(maps, live);
    let memory = fs::File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let mut files = 0;
    for line in live.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let path = rest.split_whitespace().nth(4).unwrap_or("");
        if !rest.starts_with("rw-p") || path.starts_with('/') {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let file = folder.join(format!("{}_mem_{start}.bin", target.pid()));
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; (number(end) - number(start)) as usize];
        memory.read_exact_at(&mut bytes, number(start)).unwrap();
        assert!(fs::read(&file).unwrap() == bytes, "{line}");
        files += 1;
    }
    assert!(files >= 5);
    // The process stays stopped.
    target.comes_to('T');
    // Three more: the maps, the manifest and the checksums.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), files + 3);
}

#[test]
fn a_guard_page_costs_one_page() {
    let target = target("guard");
    let range = target.told["guarded"];
    for pause in PAUSES {
        let output = target.dump(&["--pause", pause, "--json"]);
        assert_eq!(output.status.code(), Some(3), "{pause}: {}", said(&output));
        assert!(said(&output).contains("guard page"), "{}", said(&output));
        assert_eq!(Core::open(&target.core()).patterned(range), 16383, "{pause}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let hole = &json["processes"][0]["holes"][0];
        assert_eq!(hole["start"], range.0 + 5000 * PAGE);
        assert_eq!(
            (&hole["end"], &hole["cause"]),
            (&(range.0 + 5001 * PAGE).into(), &"guard".into())
        );
    }
}

#[test]
fn what_was_never_touched_stays_so_and_takes_no_room() {
    let target = target("untouched");
    target.settles();
    let weigh = || ["VmRSS", "VmPTE", "VmSwap"].map(|key| target.status(key));
    let before = weigh();
    for pause in PAUSES {
        took_all_it_may(&target.dump(&["--pause", pause]));
        let after = weigh();
        for (before, after) in before.iter().zip(after) {
            assert!(after <= before + 64, "{pause}: {before} kB before, {after} kB after");
        }
        let blocks = fs::metadata(target.core()).unwrap().blocks() * 512;
        assert!(blocks < 8 << 20, "{pause}: the core takes {blocks} bytes");
    }
}

#[test]
fn a_reservation_of_8_tib_takes_no_time() {
    let target = target("reserve");
    let started = Instant::now();
    let output = target.dump(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(fs::metadata(target.core()).unwrap().len() < 64 << 20);
}

#[test]
fn what_only_the_page_cache_has_is_read_there() {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // The file is shorter than its mapping: 40 of 64 pages.
    let content: Vec<u8> = (0..40 * PAGE).map(|at| (at / PAGE) as u8 | 0x40).collect();
    file.write_all(&content).unwrap();
    file.flush().unwrap();
    let target = Target::start("cached", file.path());
    let before = target.status("VmRSS");
    let output = target.dump(&["--shared"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("the mapped file ends before it"), "{}", said(&output));
    let (start, _) = target.told["cached"];
    let core = Core::open(&target.core());
    for page in 0..40 {
        let found = core.page(start + page * PAGE).unwrap();
        assert!(found.iter().all(|&byte| byte == page as u8 | 0x40), "page {page}");
    }
    assert!(target.status("VmRSS") <= before + 64);
}

#[test]
fn what_asked_to_be_left_out_is_taken_on_demand() {
    let target = target("dontdump");
    let range = target.told["dontdump"];
    assert!(target.dump(&[]).status.success());
    assert_eq!(Core::open(&target.core()).patterned(range), 0);
    assert!(target.dump(&["--dontdump"]).status.success());
    assert_eq!(Core::open(&target.core()).patterned(range), 16);
}

#[test]
fn a_core_is_of_one_instant() {
    let target = target("generations");
    let (start, len) = target.told["generations"];
    for pause in ["stop", "snapshot"] {
        let output = target.dump(&["--pause", pause, "--anon"]);
        assert_eq!(output.status.code(), Some(0), "{pause}: {}", said(&output));
        let core = Core::open(&target.core());
        let generations = (start..start + len).step_by(PAGE as usize).map(|addr| {
            let page = core.page(addr).expect("every page is there");
            u64::from_le_bytes(page[..8].try_into().unwrap())
        });
        let mut generations: Vec<u64> = generations.collect();
        assert!(generations.is_sorted_by(|a, b| a >= b), "{pause}: it is torn");
        let (first, last) = (generations[0], *generations.last().unwrap());
        assert!(first - last <= 1, "{pause}: from {first} to {last}");
        generations.dedup();
        assert!(generations.len() <= 2);
    }
}

#[test]
fn a_compressed_core_is_the_core() {
    let target = target("pattern");
    let compressed = target.folder.path().join("core.zst");
    let mut command = memdump();
    command.args(["process", &target.pid(), "--compress", "zstd", "-o"]).arg(&compressed);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(target.dump(&["-q"]).status.success());
    assert!(
        fs::metadata(&compressed).unwrap().len() < fs::metadata(target.core()).unwrap().len() / 2
    );
    let plain = target.folder.path().join("plain");
    let output = std::process::Command::new("zstd")
        .args(["-q", "-d", "-o"])
        .args([&plain, &compressed])
        .status();
    // The program may be missing. Then the library that wrote the file reads it.
    if output.is_err() {
        let file = fs::File::open(&compressed).unwrap();
        fs::write(&plain, zstd::decode_all(file).unwrap()).unwrap();
    }
    let core = Core::open(&plain);
    for &range in target.told.values() {
        assert_eq!(core.patterned(range) as u64, range.1 / PAGE);
    }
}

#[test]
fn several_are_held_together_and_listed_in_an_index() {
    let target = target("family");
    let folder = target.folder.path().join("cores");
    let mut command = memdump();
    command.args(["process", "--tree", &target.pid(), "-o"]).arg(&folder);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let processes = index["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 4);
    for process in processes {
        let core = folder.join(format!("core.{}", process["pid"]));
        assert_eq!(fs::metadata(core).unwrap().mode() & 0o777, 0o400);
    }
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", target.pid())).unwrap();
    for child in children.split_whitespace() {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }
}

#[test]
fn refusals_say_what_it_is() {
    let refusal = |arguments: &[&str]| {
        let output = memdump().arg("process").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        said(&output)
    };
    let family = target("zombie");
    let zombie = family.told["zombie"].0.to_string();
    assert!(refusal(&[&zombie]).contains("zombie"));
    assert!(refusal(&["4194304"]).contains("there is no process 4194304"));
    // The first kernel thread, if this PID namespace has it.
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
        assert!(refusal(&["2"]).contains("thread of the kernel"));
    }
    assert!(refusal(&["--container", "0123456789ab"]).contains("no process runs in a container"));
    let seccomp = target("seccomp");
    let message = refusal(&[&seccomp.pid(), "--pause", "snapshot", "-o", "/dev/null"]);
    assert!(message.contains("seccomp") && message.contains("--allow-seccomp"), "{message}");
    seccomp.comes_to('S');
    assert_eq!(seccomp.dump(&[]).status.code(), Some(0));
}

#[test]
fn wrong_words_are_wrong_usage() {
    for arguments in [
        &["process"][..],
        &["process", "x"],
        &["process", "1", "--tree", "1"],
        &["process", "1", "--perms", "rwx"],
        &["process", "1", "--range", "10-1"],
        &["process", "1", "--private", "--shared"],
        &["process", "1", "2", "-o", "-"],
        &["process", "1", "-o", "-", "--json"],
    ] {
        let output = memdump().args(arguments).stdout(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
}

/// Starts a dump into a pipe that is not read, so that it stays in the middle for as long as needed.
fn stuck(target: &Target, pause: &str) -> std::process::Child {
    let mut command = memdump();
    command.args(["process", &target.pid(), "--pause", pause, "-o", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4096];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child
}

fn children(target: &Target) -> String {
    fs::read_to_string(format!("/proc/{0}/task/{0}/children", target.pid())).unwrap()
}

/// Returns true if nothing of a snapshot is left with its target. If the first process of the machine does not wait for orphans,
/// as in some containers, the target keeps a dead child when memdump is killed.
fn is_unharmed(target: &Target) -> bool {
    let status = fs::read_to_string("/proc/1/status").unwrap();
    let masks = status.lines().filter_map(|line| {
        let (key, mask) = line.split_once(":\t")?;
        ["SigBlk", "SigIgn", "SigCgt"]
            .contains(&key)
            .then(|| u64::from_str_radix(mask, 16).unwrap())
    });
    let first_waits = masks.fold(0, |all, mask| all | mask) >> 16 & 1 == 1;
    let is_dead = |child: &str| {
        fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    };
    let children = children(target);
    children.is_empty() || !first_waits && children.split_whitespace().all(is_dead)
}

fn counter(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

#[test]
fn the_process_runs_on_when_memdump_is_killed_or_interrupted() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(PAGE).unwrap();
    let target = Target::start("counter", file.path());
    for (pause, signal) in [
        ("stop", rustix::process::Signal::KILL),
        ("stop", rustix::process::Signal::INT),
        ("snapshot", rustix::process::Signal::KILL),
        ("snapshot", rustix::process::Signal::INT),
    ] {
        let mut dump = stuck(&target, pause);
        let before = counter(file.path());
        match pause {
            "stop" => {
                thread::sleep(Duration::from_millis(100));
                assert_eq!(counter(file.path()), before, "it runs while it is stopped");
            }
            _ => within_reason("it runs meanwhile", || counter(file.path()) > before),
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&dump), signal).unwrap();
        // A dump that is stuck in a pipe ends with the grace period of the signal, or when the pipe is closed.
        drop(dump.stdout.take());
        dump.wait().unwrap();
        let before = counter(file.path());
        let after = format!("after {pause} and {signal:?}");
        within_reason(&format!("it runs on {after}"), || counter(file.path()) > before);
        // The kernel needs some time to end a killed copy.
        within_reason(&format!("nothing is left {after}"), || is_unharmed(&target));
    }
}

#[test]
fn a_program_that_is_replaced_meanwhile_is_told() {
    let target = target("exec");
    let mut dump = stuck(&target, "none");
    let pid = rustix::process::Pid::from_child(&target.child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let name = || fs::read_to_string(format!("/proc/{}/comm", target.pid())).unwrap();
    while name().trim() != "sleep" {
        thread::sleep(Duration::from_millis(5));
    }
    let mut rest = Vec::new();
    dump.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    let output = dump.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(rest.len() < 256 << 20);
}

/// Finishes a dump that is stuck, once the target has done what `mode` says.
fn changed_meanwhile(mode: &str, done: impl Fn(&Target) -> bool) -> (i32, String, Target) {
    let target = target(mode);
    let mut dump = stuck(&target, "none");
    let pid = rustix::process::Pid::from_child(&target.child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    while !done(&target) {
        thread::sleep(Duration::from_millis(5));
    }
    let mut rest = Vec::new();
    dump.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    let output = dump.wait_with_output().unwrap();
    (output.status.code().unwrap(), said(&output), target)
}

fn named_done(target: &Target) -> bool {
    fs::read_to_string(format!("/proc/{}/comm", target.pid())).unwrap().trim() == "done"
}

#[test]
fn what_is_unmapped_meanwhile_is_a_hole() {
    let (status, said, target) = changed_meanwhile("unmap", named_done);
    assert_eq!(status, 3, "{said}");
    let (start, len) = target.told["much"];
    let (from, to) = (start + len / 2, start + len / 4 * 3);
    assert!(said.contains(&format!("not in it: 64.0 MiB at {from:#x}-{to:#x}: ")), "{said}");
}

#[test]
fn what_forks_meanwhile_is_taken_whole() {
    let (status, said, _) = changed_meanwhile("fork", named_done);
    assert_eq!(status, 0, "{said}");
}

#[test]
fn what_ends_meanwhile_is_told() {
    let (status, said, _) = changed_meanwhile("exit", |target| target.state() == 'Z');
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the process has ended"), "{said}");
}

#[test]
fn what_is_killed_while_it_is_stopped_is_told() {
    for pause in ["stop", "snapshot"] {
        let mut target = target("exit");
        let mut dump = stuck(&target, pause);
        target.child.kill().unwrap();
        // Nothing keeps the process: it ends although it is traced.
        let started = Instant::now();
        while target.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(10), "{pause}: it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let mut rest = Vec::new();
        dump.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        let output = dump.wait_with_output().unwrap();
        let status = output.status.code();
        match pause {
            // The memory is lost with the process.
            "stop" => {
                assert_eq!(status, Some(1), "{}", said(&output));
                assert!(said(&output).contains("the process has ended"), "{}", said(&output));
            }
            _ => assert!(rest.len() > 200 << 20 && status == Some(0), "{}", said(&output)),
        }
    }
}

#[test]
fn a_filter_that_kills_for_a_fork_is_suspended_for_root() {
    let target = target("allows");
    let output = target.dump(&["--pause", "snapshot"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    if !rustix::process::geteuid().is_root() {
        println!("the rest is skipped: only root may suspend a filter");
        return;
    }
    let output = target.dump(&["--pause", "snapshot", "--allow-seccomp"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    target.comes_to('S');
    assert_eq!(children(&target), "");
}

#[test]
fn a_map_shows_kinds_and_what_a_dump_would_write() {
    let target = target("pattern");
    let output = memdump().args(["map", &target.pid(), "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let regions = json["regions"].as_array().unwrap();
    let (start, len) = target.told["heap"];
    let heap = regions.iter().find(|region| region["kind"] == "heap").unwrap();
    assert!(heap["start"].as_u64().unwrap() <= start);
    assert!(heap["to_write"].as_u64().unwrap() >= len);
    for kind in ["anonymous", "stack", "library", "shared", "special"] {
        assert!(regions.iter().any(|region| region["kind"] == kind), "{kind}");
    }
    let table = memdump().args(["map", &target.pid()]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("TO WRITE") && table.contains("[heap]"), "{table}");
}

#[test]
fn the_pattern_check_can_fail() {
    let mut page: Vec<u8> = (0x1000_u64..0x2000).step_by(8).flat_map(u64::to_le_bytes).collect();
    assert!(is_patterned(0x1000, &page));
    page[77] ^= 1;
    assert!(!is_patterned(0x1000, &page));
}

#[test]
fn more_processes_than_the_soft_limit_of_files_allows_are_dumped_at_once() {
    const COUNT: usize = 16;
    let directory = tempfile::tempdir().unwrap();
    // A program of a name of its own, so that the pattern finds it alone.
    let program = directory.path().join("many-9c1e");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut children: Vec<_> = (0..COUNT)
        .map(|_| std::process::Command::new(&program).arg("600").spawn().unwrap())
        .collect();
    let script = format!(
        "ulimit -S -n 40; exec {} process --comm many-9c1e -o cores -q",
        env!("CARGO_BIN_EXE_memdump")
    );
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", &script]).current_dir(directory.path()).output();
    for child in &mut children {
        child.kill().and_then(|()| child.wait()).unwrap();
    }
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for child in &children {
        assert!(directory.path().join(format!("cores/core.{}", child.id())).is_file());
    }
}
