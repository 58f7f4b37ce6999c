//! `memdump search`, compared with grep on the same bytes, and on running processes.

#[path = "support/looking.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Files, Waiting, json_lines, lime, memdump, printed, python_with_texts, run, said};

/// The offsets at which `grep -ob` finds something.
fn offsets(printed: &[u8]) -> Vec<u64> {
    // A match may contain any bytes except a line feed.
    let lines = printed.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let offset = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':').unwrap();
        std::str::from_utf8(&line[..colon]).unwrap().parse().unwrap()
    };
    lines.map(offset).collect()
}

/// The offsets at which the command finds something in a file.
fn found(args: &[&str], file: &Path) -> Vec<u64> {
    let output = run(&[&["search", "--raw", "--json"], args].concat(), file);
    let lines = json_lines(&output);
    let (summary, lines) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["found"], lines.len() as u64);
    let status = if lines.is_empty() { 1 } else { 0 };
    assert_eq!(output.status.code(), Some(status), "{}", said(&output));
    lines.iter().map(|line| line["address"].as_u64().unwrap()).collect()
}

/// Runs the command with the file before the patterns.
fn found_texts(args: &[&str], file: &Path, texts: &[&str]) -> Vec<u64> {
    let args = [args, &[file.to_str().unwrap()], &texts[..texts.len() - 1]].concat();
    found(&args, Path::new(texts[texts.len() - 1]))
}

#[test]
fn agrees_with_grep() {
    let files = Files::new();
    for path in &files.paths {
        for text in ["user", "session", "across the border", "ab", "\u{20ac}"] {
            let expected = offsets(&printed("grep", &["-obUaF", "-e", text], path));
            assert_eq!(found_texts(&[], path, &[text]), expected, "{text} in {path:?}");
            let lines: BTreeSet<usize> = {
                let bytes = fs::read(path).unwrap();
                let ends: Vec<u64> = bytes
                    .iter()
                    .zip(0..)
                    .filter_map(|(&byte, at)| (byte == b'\n').then_some(at))
                    .collect();
                expected.iter().map(|&at| ends.partition_point(|&end| end < at)).collect()
            };
            let counts = [
                printed("grep", &["-caF", "-e", text], path),
                printed(
                    "rg",
                    &["-ca", "--encoding", "none", "--include-zero", "-F", "-e", text],
                    path,
                ),
            ];
            for count in counts {
                let count = String::from_utf8(count).unwrap();
                assert_eq!(count.trim().parse(), Ok(lines.len()), "{text} in {path:?}");
            }
        }
        let expected = offsets(&printed("grep", &["-obUaiF", "-e", "REQUEST"], path));
        assert_eq!(found_texts(&["-i"], path, &["REQUEST"]), expected, "{path:?}");
        for (hex, expression) in [
            ("7f 45 4c 46", r"\x7fELF"),
            ("75 73 ?? 72", r"us(?s:.)r"),
            ("7? 65 78 74", r"[\x70-\x7f]ext"),
            (
                "?0 00 ff",
                r"[\x00\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0\xb0\xc0\xd0\xe0\xf0]\x00\xff",
            ),
        ] {
            let expected = offsets(&printed("grep", &["-obUaP", "-e", expression], path));
            assert_eq!(found(&["--hex", hex], path), expected, "{hex} in {path:?}");
        }
        for expression in [r"user [0-9]+ at [0-9.]+", r"[a-z]+-(16|32) text", r"\x7f[A-Z]{3}\x02"] {
            let expected = offsets(&printed("grep", &["-obUaP", "-e", expression], path));
            assert_eq!(found(&["--regex", expression], path), expected, "{expression} in {path:?}");
        }
    }
    assert!(files.folder.path().exists());
}

#[test]
fn many_patterns_are_found_as_each_by_itself() {
    let files = Files::new();
    let path = &files.paths[0];
    let texts: Vec<String> = (0..40).map(|number| format!("user {number} ")).collect();
    let list = files.folder.path().join("patterns");
    fs::write(&list, format!("# users\n{}\nhex:7f454c46\n\n", texts.join("\n"))).unwrap();
    let mut expected: Vec<u64> = offsets(&printed("grep", &["-obUaP", "-e", r"\x7fELF"], path));
    for text in &texts {
        expected.extend(offsets(&printed("grep", &["-obUaF", "-e", text], path)));
    }
    expected.sort_unstable();
    assert!(expected.len() > 40);
    assert_eq!(found(&["-f", list.to_str().unwrap()], path), expected);
    let output = run(&["search", "--raw", "-c", "-f", list.to_str().unwrap()], path);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 41);
    let sum: usize = text
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(sum, expected.len());
}

#[test]
fn numbers_pointers_and_wide_texts_of_a_process_that_does_not_grow() {
    let process = Waiting::python(
        "text = ctypes.create_string_buffer(b'the needle of this test')\n\
         pointer = ctypes.c_void_p(ctypes.addressof(text) + 4)\n\
         number = ctypes.c_uint32(0xdead1e55)\n\
         wide = ctypes.create_string_buffer('a wide needle'.encode('utf-16le'))\n\
         print(*(ctypes.addressof(x) for x in (text, pointer, number, wide)), flush=True)",
    );
    let addresses: Vec<u64> =
        process.said.split(' ').map(|address| address.parse().unwrap()).collect();
    let &[text, pointer, number, wide] = addresses.as_slice() else { panic!() };
    let pid = process.pid();
    let before = process.status("VmRSS");
    let search = |args: &[&str]| -> Vec<serde_json::Value> {
        let output = memdump().args(["search", "--json", &pid]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
        let mut lines = json_lines(&output);
        lines.pop();
        lines
    };
    let at = |lines: &[serde_json::Value], addr: u64| {
        lines.iter().find(|line| line["address"] == addr).cloned().expect("it is found")
    };
    let found = at(&search(&["needle of this test"]), text + 4);
    assert_eq!(found["before"].as_str().unwrap().get(40..), Some("74686520"));
    at(&search(&["--pointer", &format!("{:x}", text + 4)]), pointer);
    let range = format!("{:x}-{:x}", text, text + 8);
    let found = at(&search(&["--pointer", &range]), pointer);
    assert_eq!(found["value"], text + 4);
    let to_anonymous = search(&["--pointer-to", "anonymous"]);
    at(&to_anonymous, pointer);
    assert!(to_anonymous.iter().all(|line| line["address"].as_u64().unwrap() % 8 == 0));
    at(&search(&["--int", "0xdead1e55"]), number);
    at(&search(&["-e", "utf8,l", "a wide needle"]), wide);
    let after = process.status("VmRSS");
    assert!(after <= before + 64, "{before} kB before, {after} kB after");
}

#[test]
fn what_lies_across_a_border_is_found_once_and_across_a_hole_never() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("ram.lime");
    let mut memory = vec![0; 0x4000];
    for border in [0x1000, 0x2000, 0x3000] {
        memory[border - 3..border + 3].copy_from_slice(b"needle");
    }
    let records = [
        lime(0x10_0000, &memory[..0x1000]),
        lime(0x10_1000, &memory[0x1000..0x2000]),
        lime(0x10_3000, &memory[0x2000..]),
    ];
    fs::write(&image, records.concat()).unwrap();
    for args in [&["--hex", "6e6565646c65"], &["--regex", "ne+dle"]] {
        let output = run(&[&["search", "-q", "-C", "3"], &args[..]].concat(), &image);
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<&str> = text.lines().map(|line| line.trim_end()).collect();
        assert_eq!(found.len(), 2, "{text}");
        assert!(found[0].starts_with(" 100ffd ") && found[0].ends_with(" ...needle..."), "{text}");
        assert!(found[1].starts_with(" 103ffd "), "{text}");
    }
}

#[test]
fn long_matches_are_found_whole_up_to_the_bound_and_beyond_it_without_a_gap() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    // Memory is read in pieces of 1 MiB.
    let mut bytes = vec![b'.'; 8 * MIB];
    for border in 1..8 {
        let at = border * MIB - 9000 * border;
        bytes[at..at + 5].copy_from_slice(b"begin");
        bytes[at + 5..at + 65_533].fill(b'x');
        bytes[at + 65_533..at + 65_536].copy_from_slice(b"end");
    }
    fs::write(&path, &bytes).unwrap();
    let expected = offsets(&printed("grep", &["-obUaP", "-e", "beginx*end"], &path));
    assert_eq!(expected.len(), 7);
    let output = run(&["search", "--raw", "--json", "--regex", "beginx*end"], &path);
    let lines = json_lines(&output);
    let found: Vec<(u64, u64)> = lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["address"].as_u64().unwrap(), line["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, expected.into_iter().map(|at| (at, 65_536)).collect::<Vec<_>>());

    bytes[MIB / 2..7 * MIB + 5].fill(b'y');
    fs::write(&path, &bytes).unwrap();
    let output = run(&["search", "--raw", "--json", "--regex", "y+"], &path);
    let lines = json_lines(&output);
    let mut at = (MIB / 2) as u64;
    for line in &lines[..lines.len() - 1] {
        assert_eq!(line["address"], at);
        at += line["length"].as_u64().unwrap();
    }
    assert_eq!(at, (7 * MIB + 5) as u64);
}

#[test]
fn limits_statuses_and_errors() {
    let process = python_with_texts();
    let pid = process.pid();
    let search = |args: &[&str]| {
        let output = memdump().args(["search", &pid]).args(args).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout.clone()).unwrap(),
            said(&output),
        )
    };
    assert_eq!(search(&["user 1", "-m", "3"]).1.lines().count(), 3);
    let unlikely = format!("{}{}", "not to be ", "found 7351");
    assert_eq!(search(&["-e", "l", &unlikely]), (1, String::new(), String::new()));
    for (wrong, hint) in [
        (&["--hex", "7g"][..], "hexadecimal"),
        (&["--regex", "a("], "unclosed group"),
        (&["--int", "1e5"], "whole number"),
        (&["--int", "300", "--width", "1"], "fits 1 bytes"),
        (&["--pointer", "xyz"], "hexadecimal"),
        (&["--pointer-to", "nowhere"], "no region"),
        (&[""], "everywhere"),
        (&[], "nothing to search for"),
        (&["-f", "/nonexistent"], "cannot open the patterns"),
        (&["-e", "s", "\u{e9}"], "leave that out"),
    ] {
        let (status, out, message) = search(wrong);
        assert_eq!((status, out.as_str()), (2, ""), "{wrong:?}: {message}");
        assert!(message.contains(hint), "{wrong:?}: {message}");
    }
    // Memory that cannot be read must not be reported as nothing found.
    let output = memdump().args(["search", "/nonexistent", "text"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn no_subcommand_has_two_options_of_one_name() {
    for subcommand in [
        "strings", "search", "hexdump", "diff", "process", "convert", "map", "info", "check",
        "verify",
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_memdump")).args([subcommand, "--help"]).output();
        assert!(output.unwrap().status.success(), "{subcommand}");
    }
}
