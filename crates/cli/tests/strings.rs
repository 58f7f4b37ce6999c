//! `memdump strings`, compared with GNU strings on the same bytes, and on running processes.

#[path = "support/mod.rs"]
mod machine;
#[path = "support/process.rs"]
mod process;
#[path = "support/looking.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Files, Waiting, json_lines, lime, memdump, printed, python_with_texts, run, said};

#[test]
fn agrees_with_gnu_strings_in_every_encoding_and_length() {
    let files = Files::new();
    for path in &files.paths {
        for encoding in ["s", "S", "l", "b", "L", "B"] {
            for (min_len, radix) in [("1", "x"), ("4", "d"), ("6", "o"), ("30", "x")] {
                let args = ["-a", "-e", encoding, "-n", min_len, "-t", radix];
                let expected = printed("strings", &args, path);
                let ours = run(&[&["strings", "--raw", "-q"], &args[1..]].concat(), path);
                let is_same = ours.stdout == expected;
                assert!(is_same, "{path:?} -e {encoding} -n {min_len}: {}", said(&ours));
                let status = if expected.is_empty() { 1 } else { 0 };
                assert_eq!(ours.status.code(), Some(status), "{}", said(&ours));
            }
        }
    }
    assert!(files.folder.path().exists());
}

#[test]
fn a_core_has_the_strings_of_its_segments_at_their_addresses() {
    let process = Waiting::python(
        "text = ctypes.create_string_buffer(b'a text to be found at its address')\n\
         print(hex(ctypes.addressof(text)), flush=True)",
    );
    let addr = u64::from_str_radix(process.said.trim_start_matches("0x"), 16).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core.zst");
    let pid = process.pid();
    let dumped = memdump().args(["process", &pid, "--compress", "zstd", "-o"]).arg(&core).output();
    assert!(dumped.unwrap().status.success());
    let line = format!("{addr:x} a text to be found at its address");
    for target in [pid.as_str(), core.to_str().unwrap()] {
        let output = memdump().args(["strings", "-t", "x", target]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.lines().any(|found| found == line), "{target} has no {line}");
        let addresses: Vec<u64> = text
            .lines()
            .map(|line| {
                u64::from_str_radix(line.trim_start().split(' ').next().unwrap(), 16).unwrap()
            })
            .collect();
        assert!(addresses.is_sorted(), "{target}");
    }
    let output = memdump().args(["strings", "--json", &pid]).output().unwrap();
    let lines = json_lines(&output);
    let found = lines.iter().find(|line| line["address"] == addr).unwrap();
    assert_eq!(found["string"], "a text to be found at its address");
    assert_eq!(found["encoding"], "ascii");
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!(summary["found"], lines.len() as u64 - 1);
}

#[test]
fn a_process_does_not_grow_and_runs_on() {
    let target = process::Target::start("untouched", Path::new(""));
    target.settles();
    let weigh = || ["VmRSS", "VmPTE", "VmSwap"].map(|key| target.status(key));
    let before = weigh();
    for pause in ["none", "stop", "snapshot"] {
        let pid = target.pid();
        let output = memdump().args(["strings", "--pause", pause, &pid]).output().unwrap();
        process::took_all_it_may(&output);
        assert!(!matches!(target.state(), 'T' | 't'), "{pause}: it was left stopped");
        for (before, after) in before.iter().zip(weigh()) {
            assert!(after <= before + 64, "{pause}: {before} kB before, {after} kB after");
        }
    }
}

#[test]
fn strings_cross_the_borders_of_regions_and_not_holes() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("ram.lime");
    let mut first = vec![0; 4096];
    first[4090..].copy_from_slice(b"across");
    let mut second = vec![0; 4096];
    second[..9].copy_from_slice(b" a border");
    second[4086..].copy_from_slice(b"ends here,");
    let mut third = vec![0; 4096];
    third[..12].copy_from_slice(b"begins anew\0");
    let records = [lime(0x1000, &first), lime(0x2000, &second), lime(0x5000, &third)];
    fs::write(&image, records.concat()).unwrap();
    let output = run(&["strings", "-t", "x"], &image);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "   1ffa across a border\n   2ff6 ends here,\n   5000 begins anew\n");
    assert_eq!(said(&run(&["strings", "-q"], &image)), "");
}

#[test]
fn what_a_file_has_not_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core");
    let process = python_with_texts();
    let dumped = memdump().args(["process", &process.pid(), "-o"]).arg(&core).output().unwrap();
    assert!(dumped.status.success());
    let bytes = fs::read(&core).unwrap();
    let cut = folder.path().join("cut");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(&["strings", "--salvage"], &cut);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("not looked at"), "{}", said(&output));
    let whole = run(&["strings"], &core).stdout;
    // The last string may end with the file.
    assert!(
        output.stdout.len() > 1000 && whole.starts_with(&output.stdout[..output.stdout.len() - 1])
    );
    let lines = json_lines(&run(&["strings", "--salvage", "--json", "-q"], &cut));
    let holes = lines.last().unwrap()["summary"]["holes"].as_array().unwrap().clone();
    assert!(!holes.is_empty() && holes.iter().all(|hole| hole["cause"] == "truncated"));
}

#[test]
fn what_cannot_be_read_is_told_of() {
    let target = process::Target::start("guard", Path::new(""));
    let (start, _) = target.told["guarded"];
    let output = memdump().args(["strings", "--json", &target.pid()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("not looked at: 4.0 KiB at"), "{}", said(&output));
    let lines = json_lines(&output);
    let holes = lines.last().unwrap()["summary"]["holes"].as_array().unwrap();
    let guard = holes.iter().find(|hole| hole["cause"] == "guard").unwrap();
    assert_eq!(guard["start"], start + 5000 * process::PAGE);
    assert_eq!(guard["end"], start + 5001 * process::PAGE);
}

#[test]
fn utf_8_and_several_encodings_come_in_the_order_of_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bytes = "größer als €5\0\0".as_bytes().to_vec();
    let wide_at = bytes.len();
    bytes.extend("wide".encode_utf16().flat_map(u16::to_le_bytes));
    bytes.extend(b"\0\x01plain\0 \xff\xfe \xe2\x82 \xf0\x9d\x84\x9e\xf0\x9d\x84\x9ehi\xc2\x85\0");
    fs::write(&path, &bytes).unwrap();
    let output = run(&["strings", "--raw", "-t", "d", "-e", "utf8,l"], &path);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let plain_at = wide_at + 10;
    let last_at = plain_at + 6 + 6 + 1;
    let expected = [
        "0 größer als €5".to_owned(),
        format!("{wide_at} wide"),
        format!("{plain_at} plain"),
        format!("{} \u{20}𝄞𝄞hi", last_at - 1),
    ];
    assert_eq!(lines[..3], expected[..3]);
    assert!(lines[3].ends_with("𝄞𝄞hi"), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn counts_are_those_of_sort_and_uniq() {
    let files = Files::new();
    let path = &files.paths[0];
    let strings = String::from_utf8(printed("strings", &["-a"], path)).unwrap();
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    strings.lines().for_each(|line| *expected.entry(line).or_default() += 1);
    let output = run(&["strings", "--raw", "--unique", "--count", "--json"], path);
    let lines = json_lines(&output);
    let (summary, lines) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["found"], strings.lines().count() as u64);
    let counted: BTreeMap<&str, u64> = lines
        .iter()
        .map(|line| (line["string"].as_str().unwrap(), line["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(counted, expected);
    let counts: Vec<u64> = lines.iter().map(|line| line["count"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b));

    let output = run(&["strings", "--raw", "--templates", "--json"], path);
    let lines = json_lines(&output);
    let (_, lines) = lines.split_last().unwrap();
    let bytes: u64 = lines.iter().map(|line| line["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, strings.lines().map(|line| line.len() as u64).sum::<u64>());
    let users = lines.iter().find(|line| line["template"] == "user # at #.#.#.#").unwrap();
    assert!(users["count"].as_u64().unwrap() >= 20_000);
    let table = run(&["strings", "--raw", "--templates", "--top", "3"], path);
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), 4);
}

/// A text of letters only, different for each number.
fn word(number: u64) -> String {
    (0..8).map(|place| char::from(b'a' + (number >> (4 * place) & 15) as u8)).collect()
}

#[test]
fn too_many_templates_are_bounded_and_it_is_said_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bytes = Vec::new();
    for number in 0..800_000_u64 {
        bytes.extend(word(number.wrapping_mul(0x9e37_79b1) & 0xffff_ffff).bytes().chain([0]));
        if number % 8 == 0 {
            bytes.extend(format!("often there, now as {number}\0").bytes());
        }
        if number % 100 == 0 {
            bytes.extend(b"less often\0");
        }
    }
    fs::write(&path, bytes).unwrap();
    let output = run(&["strings", "--raw", "--templates", "--json"], &path);
    assert_eq!(output.status.code(), Some(0));
    let lines = json_lines(&output);
    let (summary, lines) = lines.split_last().unwrap();
    let summary = &summary["summary"];
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    assert_eq!(summary["found"], 800_000 + 100_000 + 8000);
    let unlisted = &summary["unlisted"];
    let counted: u64 = lines.iter().map(|line| number(&line["count"])).sum();
    assert_eq!(counted + number(&unlisted["strings"]), number(&summary["found"]));
    let at_most = number(&unlisted["at_most"]);
    assert!((8..1000).contains(&at_most), "{at_most}");
    // The most frequent one comes first, and its count is short by no more than the bound.
    assert_eq!(lines[0]["template"], "often there, now as #");
    assert_eq!(lines[1]["template"], "less often");
    for (line, count, len) in [(&lines[0], 100_000, 20), (&lines[1], 8000, 10)] {
        let known = number(&line["count"]);
        assert!(known <= count && (count - known) * len <= at_most, "{line}");
    }
    let message = said(&output);
    let said_so = format!("{} more strings", number(&unlisted["strings"]));
    assert!(message.contains(&said_so) && message.contains("at most"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn physical_memory_is_looked_into_at_its_addresses() {
    let machine = machine::Machine::new();
    let kcore = machine.kcore();
    let program = env!("CARGO_BIN_EXE_memdump");
    let source = ["--source", kcore.to_str().unwrap()];
    let mut command = Command::new(program);
    let output =
        command.args(["strings", "-q", "-n", "1", "-t", "d", "physical"]).args(source).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // The same for each range of RAM on its own. Its bytes follow from their addresses.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("range");
    let mut expected = String::new();
    for (start, end) in machine::RAM {
        fs::write(&path, machine::memory(start, end)).unwrap();
        for line in String::from_utf8(printed("strings", &["-a", "-n", "1", "-t", "d"], &path))
            .unwrap()
            .lines()
        {
            let (offset, text) = line.trim_start().split_once(' ').unwrap();
            let addr = offset.parse::<u64>().unwrap() + start;
            expected += &format!("{addr:7} {text}\n");
        }
    }
    assert!(expected.lines().count() > 1000);
    assert!(String::from_utf8(output.stdout).unwrap() == expected);
}

#[test]
fn the_heap_alone_is_looked_at_when_asked_for() {
    let process = python_with_texts();
    let output = memdump().args(["strings", "--heap", "--json", &process.pid()]).output().unwrap();
    let lines = json_lines(&output);
    let (_, strings) = lines.split_last().unwrap();
    assert!(!strings.is_empty());
    assert!(strings.iter().all(|line| line["kind"] == "heap" && line["region"] == "[heap]"));
}

#[test]
fn nothing_that_a_terminal_would_obey_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"plain \x9b31m\xff\xfe and more").unwrap();
    let program = env!("CARGO_BIN_EXE_memdump");
    let command = format!("{program} strings --raw -e S {}", path.display());
    let mut script = Command::new("script");
    let output =
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("plain \\x9b31m\\xff\\xfe and more"), "{text:?}");
    assert!(text.contains("unknown"), "{text:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let process = python_with_texts();
    let mut command = memdump();
    command.args(["strings", &process.pid()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), "");
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn a_signal_leaves_nothing_behind() {
    let python = python_with_texts();
    let pid = python.pid();
    let mut command = memdump();
    command.args(["strings", "--pause", "snapshot", "-e", "s,S,l,b,L,B", &pid]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // The command is at work: it waits until its output is read.
    stdout.read_exact(&mut [0; 100]).unwrap();
    process::signal(&child, rustix::process::Signal::INT);
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("stopped by a signal"), "{}", said(&output));
    let children = format!("/proc/{pid}/task/{pid}/children");
    assert_eq!(fs::read_to_string(children).unwrap(), "");
}

#[test]
fn statuses_and_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"abc\0").unwrap();
    let status = |args: &[&str], file: &Path| {
        let output = run(args, file);
        (output.status.code().unwrap(), said(&output))
    };
    assert_eq!(status(&["strings", "--raw"], &path), (1, String::new()));
    let (code, message) = status(&["strings"], &path);
    assert_eq!((code, message.lines().count()), (1, 1));
    assert!(message.contains("taken as it is"), "{message}");
    let (code, message) = status(&["strings"], &folder.path().join("none"));
    assert!(code == 3 && message.contains("No such file"), "{message}");
    let (code, message) = status(&["strings"], Path::new("/dev/null"));
    assert!(code == 3 && message.contains("save what comes from it"), "{message}");
    let (code, message) = status(&["strings", "--kind", "heap", "--raw"], &path);
    assert!(code == 2 && message.contains("there are: unknown"), "{message}");
    let (code, message) = status(&["strings"], Path::new("4294967295"));
    assert!(code == 3 && message.contains("no process"), "{message}");
    for wrong in ["-n0", "-ex", "-tq", "--count"] {
        assert_eq!(status(&["strings", wrong], &path).0, 2, "{wrong}");
    }
}
