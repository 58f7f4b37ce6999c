//! `memdump hexdump` compared with hexdump(1), on files, images and processes.

#[path = "support/mod.rs"]
mod machine;
#[path = "support/signals.rs"]
mod signals;
#[path = "support/process.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use machine::{Machine, RAM};
use proptest::prelude::*;
use serde_json::Value;
use support::{PAGE, Target, memdump, said};

/// The output of `hexdump -C`, which is in Debian's package bsdextrautils.
fn peer(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("hexdump").arg("-C").args(arguments).arg(file).output();
    let output = output.expect("hexdump, of the Debian package bsdextrautils");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The output of hexdump(1) with addresses of 16 digits, as memory has them, increased by `by`.
fn moved(text: &str, by: u64) -> String {
    let mut moved = String::new();
    for line in text.lines() {
        let (addr, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        match u64::from_str_radix(addr, 16) {
            Ok(addr) => moved += &format!("{:016x}{rest}\n", addr + by),
            Err(_) => moved += &format!("{line}\n"),
        }
    }
    moved
}

fn widened(text: &str) -> String {
    moved(text, 0)
}

fn hexdump(arguments: &[&str]) -> Output {
    memdump().arg("hexdump").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Random bytes in which lines repeat.
fn repeating() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (any::<u8>(), 1_usize..600).prop_map(|(byte, len)| vec![byte; len]),
        (prop::collection::vec(any::<u8>(), 16), 1_usize..9).prop_map(|(line, n)| line.repeat(n)),
        prop::collection::vec(any::<u8>(), 1..100),
        (1_usize..600).prop_map(|lines| vec![0; 16 * lines]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_file_is_shown_as_hexdump_shows_it(bytes in repeating(), squeeze in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, &bytes).unwrap();
        let (ours, theirs): (&[&str], &[&str]) =
            if squeeze { (&[], &[]) } else { (&["--no-squeezing"], &["-v"]) };
        let output = hexdump(&[&["--raw", file.to_str().unwrap()], ours].concat());
        prop_assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        prop_assert_eq!(printed(&output), peer(&file, theirs));
    }
}

#[test]
fn large_files_are_shown_as_hexdump_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    // Runs that end near the borders of blocks, and one that crosses many of them.
    let mib = 1 << 20;
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_memdump")).unwrap();
    bytes.truncate(3 * mib);
    bytes[mib - 32..mib + 32].fill(7);
    bytes[2 * mib - 160..2 * mib].fill(8);
    bytes.extend(vec![9; 3 * mib + 5]);
    bytes.extend(vec![0; 2 * mib]);
    bytes.extend(b"end");
    // A compressed file is also shown as it is.
    let packed = zstd::encode_all(&bytes[..mib], 1).unwrap();
    fs::write(&file, &packed).unwrap();
    let output = hexdump(&["--raw", file.to_str().unwrap()]);
    assert!(printed(&output) == peer(&file, &[]), "{}", said(&output));
    for cut in [0, 3, 3 + 2 * mib] {
        fs::write(&file, &bytes[..bytes.len() - cut]).unwrap();
        let output = hexdump(&["--raw", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(printed(&output) == peer(&file, &[]), "without the last {cut}");
    }
}

#[test]
fn an_image_is_shown_region_by_region_with_its_addresses() {
    let machine = Machine::new();
    let padded = machine.run(&["-o", "padded", "--format", "padded", "-q"]);
    assert!(padded.status.success(), "{}", said(&padded));
    for format in ["lime", "elf", "kdump", "avml"] {
        let output = machine.run(&["-o", format, "--format", format, "-q"]);
        assert!(output.status.success(), "{}", said(&output));
        let output = hexdump(&[machine.path(format).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{format}: {}", said(&output));
        let part = |(start, end): &(u64, u64)| {
            let (skip, len) = (start.to_string(), (end - start).to_string());
            widened(&peer(&machine.path("padded"), &["-s", &skip, "-n", &len]))
        };
        let wanted: String = RAM.iter().map(part).collect();
        assert!(printed(&output) == wanted, "{format}");
    }
}

#[test]
fn addresses_and_lengths_say_what_is_shown() {
    let machine = Machine::new();
    for (name, format) in [("padded", "padded"), ("lime", "lime")] {
        assert!(machine.run(&["-o", name, "--format", format, "-q"]).status.success());
    }
    let lime = machine.path("lime");
    let lime = lime.to_str().unwrap();
    let part = |start: u64, len: u64| {
        let (skip, len) = (start.to_string(), len.to_string());
        widened(&peer(&machine.path("padded"), &["-s", &skip, "-n", &len]))
    };
    for (ranges, wanted) in [
        (vec!["0x2003+0x105"], part(0x2003, 0x105)),
        (vec!["8195"], part(0x2003, 256)),
        (vec!["0x100000+1m"], part(0x10_0000, 1 << 20)),
        (vec!["300000-300021", "0x1000+7"], part(0x30_0000, 0x21) + &part(0x1000, 7)),
    ] {
        let output = hexdump(&[&[lime], &ranges[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(printed(&output), wanted, "{ranges:?}");
    }
    // The end of one region, a gap, and the start of the next.
    let output = hexdump(&[lime, "5ffff8-1000008"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(printed(&output), part(0x5f_fff8, 8) + &part(0x100_0000, 8));
    assert!(said(&output).contains("10.0 MiB not shown: there is no memory"), "{}", said(&output));
}

#[test]
fn a_process_is_shown_as_it_is_and_does_not_grow() {
    let target = Target::start("pattern", Path::new(""));
    let memory = fs::File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let file = target.folder.path().join("memory");
    let len = 1 << 20;
    for (name, &(start, _)) in &target.told {
        let output = hexdump(&[&target.pid(), &format!("{start:#x}+{len}")]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let mut bytes = vec![0; len];
        memory.read_exact_at(&mut bytes, start).unwrap();
        fs::write(&file, &bytes).unwrap();
        assert!(printed(&output) == moved(&peer(&file, &[]), start), "{name}");
    }
    let target = Target::start("untouched", Path::new(""));
    target.settles();
    let before = ["VmRSS", "VmPTE", "VmSwap"].map(|key| target.status(key));
    support::took_all_it_may(&hexdump(&[&target.pid()]));
    assert_eq!(["VmRSS", "VmPTE", "VmSwap"].map(|key| target.status(key)), before);
    // A GiB of unpopulated memory takes three lines.
    let (start, len) = target.told["anonymous"];
    let output = hexdump(&[&target.pid(), &format!("{start:#x}+{len}")]);
    let zeros = "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|";
    assert_eq!(printed(&output), format!("{start:016x}  {zeros}\n*\n{:016x}\n", start + len));
    assert_eq!(["VmRSS", "VmPTE", "VmSwap"].map(|key| target.status(key)), before);
}

#[test]
fn json_has_all_bytes() {
    let target = Target::start("pattern", Path::new(""));
    let (start, _) = target.told["heap"];
    let start = start.next_multiple_of(PAGE);
    let output = hexdump(&[&target.pid(), &format!("{start:#x}+8k"), "--json", "--no-squeezing"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines: Vec<Value> =
        printed(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["region"]["kind"], "heap");
    assert_eq!(lines[0]["region"]["permissions"], "rw-p");
    assert_eq!(lines.last().unwrap()["end"], start + 0x2000);
    let bytes = &lines[1..lines.len() - 1];
    assert_eq!(bytes.len(), 512);
    for (line, addr) in bytes.iter().zip((start..).step_by(16)) {
        let word = |addr: u64| addr.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(line["address"], addr);
        assert_eq!(line["hex"], word(addr) + &word(addr + 8));
        assert_eq!(line["text"].as_str().unwrap().len(), 16);
    }
    // Text that JSON has to escape, and repeated lines.
    let file = target.folder.path().join("file");
    fs::write(&file, [&b"a\"b\\c\n\x1b\xff........"[..]; 3].concat()).unwrap();
    let output = hexdump(&["--raw", "--json", file.to_str().unwrap()]);
    let lines: Vec<Value> =
        printed(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["text"], "a\"b\\c...........");
    assert_eq!(lines[1], serde_json::json!({ "same_as_before": true }));
    assert_eq!(lines[2], serde_json::json!({ "end": 48 }));
}

#[test]
fn people_see_regions_and_what_is_missing() {
    let target = Target::start("guard", Path::new(""));
    let (start, _) = target.told["guarded"];
    let guard = start + 5000 * PAGE;
    let range = format!("{:x}-{:x}", guard - 32, guard + PAGE + 32);
    let output = hexdump(&[&target.pid(), &range, "--color", "always"]);
    let text = printed(&output);
    // Without colours, it is the output for programs, plus some lines.
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain += before;
        rest = after.split_once('m').unwrap().1;
    }
    plain += rest;
    let lines: Vec<&str> = plain.lines().filter(|line| !line.starts_with("--")).collect();
    let output_of_programs = hexdump(&[&target.pid(), &range]);
    assert_eq!(lines, printed(&output_of_programs).lines().collect::<Vec<_>>());
    let heads: Vec<&str> = plain.lines().filter(|line| line.starts_with("--")).collect();
    assert!(heads[0].starts_with("-- anonymous rw-p "), "{heads:?}");
    assert!(heads[1].starts_with(&format!("-- 4.0 KiB missing at {guard:#x}: ")), "{heads:?}");
    for output in [output, output_of_programs] {
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn errors_say_what_to_do() {
    let target = Target::start("pattern", Path::new(""));
    let output = hexdump(&[&target.pid(), "0x1000"]);
    assert_eq!(output.status.code(), Some(1));
    let said_there = said(&output);
    assert!(said_there.contains("there is no memory at 0x1000-0x1100"), "{said_there}");
    assert!(said_there.contains(&format!("memdump map {}", target.pid())), "{said_there}");
    for wrong in ["x", "0x1000+", "2000-1000", "1000h", "0xffffffffffffffff"] {
        let output = hexdump(&[&target.pid(), wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong}");
    }
    assert_eq!(hexdump(&["/nonexistent"]).status.code(), Some(1));
    assert_eq!(hexdump(&[&target.pid(), "--width", "0"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_has_gone_is_nothing_to_speak_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let mut command = memdump();
    command.args(["hexdump", "--no-squeezing", "--raw"]).arg(file.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), "");
}

#[test]
fn what_is_long_goes_through_the_pager_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let run = |lines: usize| {
        let file = folder.path().join("file");
        let bytes: Vec<u8> = (0..lines * 16).map(|index| (index / 16) as u8).collect();
        fs::write(&file, bytes).unwrap();
        let command = format!(
            "stty rows 24 cols 100; {} hexdump --raw {}",
            env!("CARGO_BIN_EXE_memdump"),
            file.display()
        );
        // script(1) provides a terminal.
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &command, "/dev/null"]).stdin(Stdio::null());
        script.env("PAGER", "sed s/^/paged:/").env("TERM", "xterm").env_remove("NO_COLOR");
        let output = script.output().expect("script, of the Debian package bsdutils");
        assert!(output.status.success(), "{}", said(&output));
        printed(&output)
    };
    let short = run(5);
    assert!(!short.contains("paged:") && short.contains("\x1b["), "{short}");
    let long = run(100);
    assert!(long.lines().all(|line| line.starts_with("paged:")), "{long}");
    assert_eq!(long.lines().count(), 101);
}

#[test]
fn a_signal_ends_it_in_order() {
    let target = Target::start("pattern", Path::new(""));
    signals::end_it_in_order(&["hexdump", "--no-squeezing"], &[&target], 1);
}

#[test]
fn the_interrupt_key_is_for_the_pager() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4 << 20).unwrap();
    let command = format!(
        "{} hexdump --no-squeezing --raw {}",
        env!("CARGO_BIN_EXE_memdump"),
        file.path().display()
    );
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]).stdin(Stdio::null());
    // The signal that the interrupt key sends to both programs, once the pager has begun.
    script.env("PAGER", "head -c 100 > /dev/null; kill -INT $PPID; wc -l").env("TERM", "dumb");
    let output = script.output().expect("script, of the Debian package bsdutils");
    assert!(output.status.success(), "{}", said(&output));
    // The first lines are gone: those that head read, which may be more than it printed.
    let lines: usize = printed(&output).trim().parse().unwrap();
    assert!((262_144 - 4096..=262_145).contains(&lines), "{lines}");
}
