//! The command as people and scripts use it, on a made-up machine.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Machine, PAGE, RAM, all_memory, memory, mode, said};

/// `KPF_HWPOISON` and `KPF_OFFLINE` of `include/uapi/linux/kernel-page-flags.h`.
const POISONED: u64 = 1 << 19;
const OFFLINE: u64 = 1 << 23;

#[test]
fn all_memory_goes_to_standard_output_region_after_region() {
    let output = Machine::new().run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(output.stdout == all_memory());
    let said = said(&output);
    assert!(said.contains("3.0 KiB at 0x9f000-0x9fc00: part of a page"), "{said}");
    assert!(said.lines().all(|line| line.starts_with("memdump: ")), "{said}");
}

#[test]
fn no_read_size_or_page_size_loses_anything() {
    let machine = Machine::new();
    machine.flags(&[(0x120, POISONED)]);
    let expected = machine.run(&[]).stdout;
    assert_eq!(expected.len(), all_memory().len() - PAGE as usize);
    for sizes in [
        &["-b", "4096"][..],
        &["-b", "4k", "-p", "64k"],
        &["-b", "12345", "-p", "1m"],
        &["-b", "0", "-p", "0"],
        &["-b", "0x10000"],
        &["-b", "2MiB", "-p", "777"],
        &["-b", "16m", "--readers", "1"],
        &["--readers", "9"],
    ] {
        assert!(machine.run(sizes).stdout == expected, "{sizes:?}");
    }
}

#[test]
fn a_size_is_exact_and_more_than_there_is_ends_with_a_warning() {
    let machine = Machine::new();
    let all = all_memory();
    for (option, size) in [("-s", 1), ("-d", 4097), ("-s", 700_001), ("--size", 1 << 20)] {
        let output = machine.run(&[option, &size.to_string()]);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == all[..size], "{option} {size}");
    }
    let output = machine.run(&["-s", "1g"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == all);
    assert!(said(&output).contains("warning: there is less memory than the 1.0 GiB asked for"));
    assert!(machine.run(&["-s", "0"]).stdout == all);
    // The memory after a hole moves into its place.
    machine.flags(&[(1, POISONED)]);
    assert!(machine.run(&["-s", "8192"]).stdout == memory(0x2000, 0x4000));
}

#[test]
fn a_wrong_size_is_refused_in_one_line_with_a_good_value() {
    let machine = Machine::new();
    for (option, example) in [("-b", "-b 1m"), ("-s", "-s 1g"), ("-p", "-p 4k")] {
        for size in ["1.5m", "10x", "", "-1", "-4096", "17179869184g", "k", "4 k"] {
            let output = machine.run(&[option, size]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{option} {size:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(option) && said.contains(example), "{said}");
            assert!(output.stdout.is_empty());
        }
    }
    let output = machine.run(&["-b", "4g"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("at most 16m"));
}

#[test]
fn the_map_tells_what_was_taken_end_exclusive_and_lower_case() {
    let machine = Machine::new();
    let expected = "0x1000 0x9f000\n0x100000 0x600000\n0x1000000 0x1300000\n";
    machine.run(&["-m", "map.txt"]);
    assert_eq!(fs::read_to_string(machine.path("map.txt")).unwrap(), expected);
    for to_stderr in [&["-m-"][..], &["-m", "-"]] {
        let output = machine.run(&[to_stderr, &["--quiet"]].concat());
        assert_eq!(said(&output), expected);
    }
    machine.flags(&[(0x100, POISONED), (0x200, OFFLINE)]);
    let output = machine.run(&["-q", "-m-"]);
    assert_eq!(
        said(&output),
        "0x1000 0x9f000\n0x101000 0x200000\n0x201000 0x600000\n0x1000000 0x1300000\n"
    );
    let output = machine.run(&["-q", "-m-", "-s", "8193"]);
    assert_eq!(said(&output), "0x1000 0x3001\n");
}

#[test]
fn no_option_makes_our_own_memory_large() {
    let machine = Machine::new();
    for options in [&["-b", "16m", "--readers", "64"][..], &["-b", "1", "-s", "64k"], &["-b", "9m"]]
    {
        let output = machine.run(&[&["--progress", "json"], options].concat());
        let said = said(&output);
        let (_, peak) = said.split_once("\"peak_memory\":").unwrap();
        let peak: u64 = peak[..peak.find(',').unwrap()].parse().unwrap();
        assert!(peak < 64 << 20, "{options:?}: {peak} bytes");
    }
}

#[test]
fn holes_are_named_with_their_causes_and_the_status() {
    let machine = Machine::new();
    machine.flags(&[(0x150, POISONED), (0x151, POISONED)]);
    let output = machine.run(&["--format", "padded"]);
    assert_eq!(output.status.code(), Some(3));
    let said_all = said(&output);
    assert!(
        said_all.contains("8.0 KiB at 0x150000-0x152000: hardware memory error, not touched"),
        "{said_all}"
    );
    assert!(output.stdout[0x15_0000..0x15_2000].iter().all(|&byte| byte == 0));
    assert!(output.stdout[0x15_2000..0x60_0000] == memory(0x15_2000, 0x60_0000));

    // A ballooned page has no content that could be dumped.
    machine.flags(&[(0x150, OFFLINE)]);
    let output = machine.run(&["--progress", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let said = said(&output);
    let summary = said.lines().find(|line| line.contains("\"summary\"")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    let hole = serde_json::json!({ "cause": "offline", "start": 0x15_0000, "end": 0x15_1000 });
    assert!(summary["holes"].as_array().unwrap().contains(&hole), "{summary}");
    assert_eq!(summary["complete"], true);
}

#[test]
fn every_format_holds_the_memory() {
    let machine = Machine::new();
    let total: u64 = RAM.iter().map(|(start, end)| end - start).sum();

    let padded = machine.run(&["--format", "padded"]).stdout;
    assert_eq!(padded.len() as u64, RAM[2].1);
    assert!(padded[0x100_0000..] == memory(RAM[2].0, RAM[2].1));

    let lime = machine.run(&["--format", "lime"]).stdout;
    assert_eq!(lime.len() as u64, total + 3 * 32);
    assert_eq!(lime[..8], [0x45, 0x4d, 0x69, 0x4c, 1, 0, 0, 0]);
    assert_eq!(lime[16..24], 0x9efff_u64.to_le_bytes());
    assert!(lime[32..32 + 0x9e000] == memory(RAM[0].0, RAM[0].1));

    let elf = machine.run(&["--format", "elf"]).stdout;
    assert_eq!(elf.len() as u64, total + 4096);
    assert!(elf[4096..] == all_memory());
    assert!(elf.windows(24).any(|window| window == b"OSRELEASE=6.1.0-made-up\n"));

    // An image can also be the source.
    fs::write(machine.path("image.lime"), lime).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_memdump"))
        .args(["--source", "image.lime", "--format", "padded"])
        .current_dir(machine.folder.path())
        .output()
        .unwrap();
    assert!(output.stdout == padded);
}

#[test]
fn a_file_gets_its_name_and_its_mode_when_it_is_whole() {
    let machine = Machine::new();
    let output = machine.run(&["-o", "ram.img"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(output.stdout.is_empty());
    assert!(fs::read(machine.path("ram.img")).unwrap() == all_memory());
    assert_eq!(mode(&machine.path("ram.img")), 0o400);
    assert!(!machine.path("ram.img.partial").exists());

    let refused = machine.run(&["-o", "ram.img"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("--overwrite"), "{}", said(&refused));
    assert_eq!(machine.run(&["-o", "ram.img", "--overwrite"]).status.code(), Some(0));
}

#[test]
fn a_place_of_an_unknown_scheme_is_refused() {
    let machine = Machine::new();
    let output = machine.run(&["-o", "s3://bucket/ram.lime"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("unknown scheme"), "{}", said(&output));
    assert!(said(&output).contains("./s3://"), "what to write for a file of that name");
    assert!(!machine.path("s3:").exists());
}

#[test]
fn no_link_is_followed_and_no_folder_taken_for_a_file() {
    let machine = Machine::new();
    std::os::unix::fs::symlink("elsewhere", machine.path("link")).unwrap();
    let output = machine.run(&["-o", "link"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("symbolic link, which is never followed"));
    assert!(!machine.path("elsewhere").exists());

    std::os::unix::fs::symlink("elsewhere", machine.path("ram.img.partial")).unwrap();
    assert_eq!(machine.run(&["-o", "ram.img"]).status.code(), Some(1));
    assert!(!machine.path("elsewhere").exists());

    fs::create_dir(machine.path("folder")).unwrap();
    let output = machine.run(&["-o", "folder"]);
    assert!(said(&output).contains("name a file in it"), "{}", said(&output));
    let output = machine.run(&["-o", "nowhere/ram.img"]);
    assert!(said(&output).contains("cannot create nowhere/ram.img.partial: No such file"));
}

#[test]
fn the_shells_file_is_written_where_the_shell_stands() {
    let machine = Machine::new();
    let shell = |script: &str| {
        let kcore = machine.kcore();
        let script = script.replace(
            "MEMDUMP",
            &format!("{} -q --source {}", env!("CARGO_BIN_EXE_memdump"), kcore.display()),
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(machine.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", said(&output));
    };
    shell("(echo before; MEMDUMP; echo after) > out");
    let expected = [b"before\n", all_memory().as_slice(), b"after\n"].concat();
    assert!(fs::read(machine.path("out")).unwrap() == expected);
    shell("MEMDUMP -s 5000 >> out");
    assert!(fs::read(machine.path("out")).unwrap() == [expected, memory(0x1000, 0x2388)].concat());
    shell("MEMDUMP -o /dev/stdout > again && cmp again - < /dev/null || true");
    assert!(fs::read(machine.path("again")).unwrap() == all_memory());
    shell("MEMDUMP -o - | cat > piped");
    assert!(fs::read(machine.path("piped")).unwrap() == all_memory());
}

#[test]
fn a_receiver_that_goes_away_is_a_failure_in_one_line() {
    let machine = Machine::new();
    let mut child =
        machine.memdump(&["-q"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the receiver of standard output went away after"), "{said}");
}

#[test]
fn a_full_device_is_a_failure_in_one_line() {
    let machine = Machine::new();
    for to_full in ["-o", "--output"] {
        let output = machine.run(&["-q", to_full, "/dev/full"]);
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("cannot write to /dev/full") && said.contains("No space left"));
    }
}

/// Starts a dump into a pipe that nobody reads, and sends a signal once it is stuck.
fn interrupted_by(signal: rustix::process::Signal) -> (std::process::Output, Duration) {
    let machine = Machine::new();
    let mut child =
        machine.memdump(&["-q"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The dump has begun, so it handles signals. Nothing more is read.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let started = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    let kept_open = child.stdout.take();
    let status = child.wait().unwrap();
    drop(kept_open);
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    (std::process::Output { status, stdout: Vec::new(), stderr }, started.elapsed())
}

#[test]
fn a_signal_ends_a_dump_even_when_the_output_is_stuck() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let (output, took) = interrupted_by(signal);
        assert_eq!((output.status.code(), output.status.signal()), (Some(1), None));
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(said(&output).contains("stopped by a signal"), "{}", said(&output));
    }
}

#[test]
fn a_stopped_dump_leaves_a_file_that_says_it_is_partial() {
    let machine = Machine::new();
    // Dumping takes a full second at this read size.
    let mut child = machine
        .memdump(&["-q", "-b", "1", "--readers", "1", "-o", "ram.img"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !fs::metadata(machine.path("ram.img.partial")).is_ok_and(|file| file.len() > 0) {
        assert!(child.try_wait().unwrap().is_none(), "the dump ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("what was written is in ram.img.partial"), "{}", said(&output));
    assert!(!machine.path("ram.img").exists());
    assert_eq!(mode(&machine.path("ram.img.partial")), 0o600);
    let partial = fs::read(machine.path("ram.img.partial")).unwrap();
    assert!(!partial.is_empty() && all_memory().starts_with(&partial));
}

/// Runs the command with a terminal as its standard output.
fn on_a_terminal(machine: &Machine, args: &str) -> (Option<i32>, String) {
    let command = format!("{} --source ./proc/kcore {args}", env!("CARGO_BIN_EXE_memdump"));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(machine.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn memory_never_goes_to_a_terminal() {
    let machine = Machine::new();
    let (status, shown) = on_a_terminal(&machine, "");
    assert_eq!(status, Some(2), "{shown}");
    assert!(shown.contains("memdump > FILE"), "{shown}");

    let (status, shown) = on_a_terminal(&machine, "-m map.txt");
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("only the map was written, no memory"), "{shown}");
    let map = fs::read_to_string(machine.path("map.txt")).unwrap();
    assert_eq!(map, "0x1000 0x9f000\n0x100000 0x600000\n0x1000000 0x1300000\n");
    on_a_terminal(&machine, "-m map.txt -s 4097");
    assert_eq!(fs::read_to_string(machine.path("map.txt")).unwrap(), "0x1000 0x2001\n");
}

#[test]
fn the_map_command_reads_nothing_and_shows_kinds_and_sizes() {
    let machine = Machine::new();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
        command.arg("map").arg("--source").arg(machine.kcore()).args(args).output().unwrap()
    };
    let listing = String::from_utf8(run(&[]).stdout).unwrap();
    assert_eq!(
        listing,
        "\
START               END                         SIZE  KIND
0x0000000000001000  0x000000000009f000     632.0 KiB  ram  System RAM
0x0000000000100000  0x0000000000600000       5.0 MiB  ram  System RAM
0x0000000001000000  0x0000000001300000       3.0 MiB  ram  System RAM
0x000000000009f000  0x000000000009fc00       3.0 KiB  left out: part of a page at the end of a RAM \
range, left out by the kernel
3 regions, 8.6 MiB of physical memory from "
            .to_owned()
            + &format!("{}; END is the first address beyond\n", machine.kcore().display())
    );
    let json = String::from_utf8(run(&["--json"]).stdout).unwrap();
    assert!(json.starts_with('{') && json.contains(r#""kind":"ram""#), "{json}");
}

#[test]
fn a_source_that_cannot_be_used_says_why_and_what_to_do() {
    let run =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_memdump")).args(args).output().unwrap();
    let output = run(&["--source", "/dev/null"]);
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["--source", "/nonexistent"]);
    assert!(said(&output).contains("/nonexistent: it does not exist"), "{}", said(&output));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kcore"), "").unwrap();
    let output = run(&["--source", folder.path().join("kcore").to_str().unwrap()]);
    assert!(said(&output).contains("masked by a container"), "{}", said(&output));
}

#[test]
fn a_format_that_cannot_hold_the_addresses_is_refused_before_anything_is_written() {
    let machine = Machine::new();
    let output = machine.run(&["-k", "--format", "lime", "-o", "kernel.lime"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(!machine.path("kernel.lime").exists() && !machine.path("kernel.lime.partial").exists());
}

#[test]
fn help_has_examples_and_the_manual_and_completions_come_from_the_same_table() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_memdump")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = run(&["--help"]);
    for text in ["Examples:", "memdump -s 1g > first_gb.img", "Exit status:", "lime", "padded"] {
        assert!(help.contains(text), "{help}");
    }
    assert!(run(&["generate", "man"]).contains(".TH memdump 1"));
    for shell in ["bash", "fish", "zsh"] {
        assert!(run(&["generate", shell]).contains("read-size"), "{shell}");
    }
    assert!(run(&["--version"]).starts_with("memdump 0."));
}
