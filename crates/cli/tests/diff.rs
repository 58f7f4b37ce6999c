//! `memdump diff` on processes and images whose changes are known.

#[path = "support/mod.rs"]
mod machine;
#[path = "support/signals.rs"]
mod signals;
#[path = "support/process.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use machine::{Machine, RAM};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{PAGE, Target, memdump, said};

fn diff(arguments: &[&str]) -> Output {
    memdump().arg("diff").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The printed objects of one type.
fn lines(output: &Output, sort: &str) -> Vec<Value> {
    let text = printed(output);
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter_map(|object| object.get(sort).cloned()).collect()
}

/// A process that was dumped and then made known changes.
fn changed() -> (Target, String) {
    let target = Target::start("change", Path::new(""));
    assert_eq!(target.dump(&[]).status.code(), Some(0));
    kill_process(Pid::from_child(&target.child), Signal::USR1).unwrap();
    let name = format!("/proc/{}/comm", target.pid());
    while fs::read_to_string(&name).unwrap() != "done\n" {
        thread::sleep(Duration::from_millis(1));
    }
    target.settles();
    let core = target.core().to_str().unwrap().to_owned();
    (target, core)
}

/// The row that contains an address.
fn row(rows: &[Value], addr: u64) -> &Value {
    let around = |side: &Value| match (side["start"].as_u64(), side["end"].as_u64()) {
        (Some(start), Some(end)) => (start..end).contains(&addr),
        _ => false,
    };
    rows.iter().find(|row| around(&row["a"]) || around(&row["b"])).expect("a row for it")
}

#[test]
fn a_process_is_compared_with_its_core() {
    let (target, core) = changed();
    let before = target.status("VmRSS");
    let output = diff(&[&core, &target.pid(), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(target.status("VmRSS"), before);
    let rows = lines(&output, "region");
    let steady = row(&rows, target.told["steady"].0);
    assert_eq!(steady["changed"], PAGE);
    assert_eq!(steady["changed_bytes"], 7);
    assert_eq!(steady["gone"].as_u64().unwrap() % (16 * PAGE), PAGE, "the page that is zero now");
    let heap = rows.iter().find(|row| row["kind"] == "heap").expect("the heap");
    assert_eq!(heap["state"], "grown");
    assert_eq!(heap["mapped"], 32 * PAGE);
    assert!(heap["added"].as_u64().unwrap() >= 32 * PAGE, "{heap}");
    let summary = &lines(&output, "summary")[0];
    let growth = 32 * PAGE as i64 - 17 * PAGE as i64;
    let told = summary["growth"].as_i64().unwrap();
    assert!((growth..growth + 4 * PAGE as i64).contains(&told), "{summary}");

    // The same as text, and with two cores.
    let output = diff(&[&core, &target.pid()]);
    let text = printed(&output);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("B has ") && first.contains("heap +1"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("grown") && line.contains("[heap]")),
        "{text}"
    );
    let second = target.folder.path().join("second");
    let mut dump = memdump();
    dump.args(["process", &target.pid(), "-q", "-o"]).arg(&second);
    assert!(dump.status().unwrap().success());
    let output = diff(&[&core, second.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let rows = lines(&output, "region");
    assert_eq!(row(&rows, target.told["steady"].0)["changed_bytes"], 7);
    let heap = rows.iter().find(|row| row["kind"] == "heap").expect("the heap");
    assert_eq!((&heap["state"], &heap["mapped"]), (&"grown".into(), &(32 * PAGE).into()));
    let gone = lines(&output, "summary")[0]["gone"].as_u64().unwrap();
    assert!(
        (17 * PAGE..19 * PAGE).contains(&gone),
        "what was unmapped, and the page of zeros: {gone}"
    );
}

#[test]
fn the_bytes_that_changed_are_shown() {
    let (target, core) = changed();
    let at = target.told["steady"].0 + 5 * PAGE + 20;
    let line = at / 16 * 16;
    let output = diff(&[&core, &target.pid(), "--bytes", "--json"]);
    let changes = lines(&output, "change");
    let change = changes.iter().find(|change| change["b"] == line).expect("it is told");
    let words = |line: u64| [line.to_le_bytes(), (line + 8).to_le_bytes()].concat();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut new = words(line);
    new[4..11].copy_from_slice(b"changed");
    assert_eq!(change["a"], line);
    assert_eq!(change["old"], hex(&words(line)));
    assert_eq!(change["new"], hex(&new));
    let text = printed(&diff(&[&core, &target.pid(), "--bytes"]));
    let shown: Vec<&str> =
        text.lines().filter(|text| text.contains(&format!(" {line:016x}  "))).collect();
    assert_eq!(shown.len(), 2, "{text}");
    assert!(shown[0].starts_with('-') && shown[1].starts_with('+'), "{shown:?}");
    assert!(
        shown[1].contains("63 68 61 6e  67 65 64") && shown[1].contains("changed"),
        "{shown:?}"
    );
}

#[test]
fn two_processes_of_a_program_are_compared_wherever_their_memory_lies() {
    let (a, b) = (Target::start("change", Path::new("")), Target::start("change", Path::new("")));
    let output = diff(&[&a.pid(), &b.pid(), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let kinds = lines(&output, "kind");
    let kind = |name: &str| kinds.iter().find(|kind| kind["kind"] == name).expect("it is there");
    for name in ["heap", "stack", "library"] {
        let kind = kind(name);
        let of = |what: &str| kind[what].as_u64().unwrap();
        // The heap's pages contain their own addresses, so they differ. None is new.
        assert!(of("changed") + of("same") > 0, "{kind}");
        assert!(of("added") + of("gone") <= 4 * PAGE, "{kind}");
    }
}

#[test]
fn what_is_the_same_is_said_to_be() {
    let target = Target::start("pattern", Path::new(""));
    assert!(target.dump(&["-q"]).status.success());
    let core = target.core();
    let core = core.to_str().unwrap();
    let output = diff(&[core, core]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(printed(&output).starts_with("A and B are the same: "), "{}", printed(&output));
    // A compressed core has the same memory.
    let packed = target.folder.path().join("core.zst");
    let mut convert = memdump();
    assert!(
        convert
            .args(["convert", "-q", "--format", "core", core])
            .arg(&packed)
            .status()
            .unwrap()
            .success()
    );
    let output = diff(&[core, packed.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(lines(&output, "summary")[0]["differ"], false);
    assert!(lines(&output, "region").is_empty());
}

#[test]
fn a_core_says_what_its_regions_are_for() {
    for mode in ["pattern", "change", "dontdump"] {
        let target = Target::start(mode, Path::new(""));
        let dumped = target.dump(&["-q"]);
        assert!(dumped.status.success(), "{}", said(&dumped));
        let object = |arguments: &[&str]| -> Value {
            let output = memdump().args(arguments).arg("--json").output().unwrap();
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let core = object(&["info", target.core().to_str().unwrap()]);
        let live = object(&["map", &target.pid()]);
        let live = live["regions"].as_array().unwrap();
        let regions = core["regions"].as_array().unwrap();
        assert!(regions.len() > 10);
        for region in regions {
            let same = live.iter().find(|other| other["start"] == region["start"]);
            let same = same.expect("the process has it too");
            for key in ["kind", "label"] {
                assert_eq!(region[key], same[key], "{key} in {mode}: {region} {same}");
            }
        }
    }
}

#[test]
fn images_of_a_machine_are_compared_by_physical_address() {
    let machine = Machine::new();
    for (name, format) in [("a", "lime"), ("b", "padded"), ("c", "kdump")] {
        assert!(machine.run(&["-o", name, "--format", format, "-q"]).status.success());
    }
    let path = |name| machine.path(name).to_str().unwrap().to_owned();
    let output = diff(&[&path("a"), &path("c"), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", printed(&output), said(&output));

    // One page that changed in one byte, and one that is now zeros.
    let mut changed = fs::read(path("b")).unwrap();
    changed[0x20_0123] ^= 0xff;
    changed[0x30_0000..0x30_1000].fill(0);
    // The image is read-only, so it cannot be overwritten except by root.
    fs::remove_file(path("b")).unwrap();
    fs::write(path("b"), changed).unwrap();
    let mut convert = memdump();
    convert.args(["convert", "-q", "--input-format", "padded", &path("b"), &path("d")]);
    let range = |(start, end): &(u64, u64)| format!("--range={start:x}-{end:x}");
    convert.args(RAM.iter().map(range)).args(["--format", "lime"]);
    assert!(convert.status().unwrap().success());
    let output = diff(&[&path("a"), &path("d"), "--json", "--bytes"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let summary = &lines(&output, "summary")[0];
    assert_eq!(
        [&summary["changed"], &summary["gone"], &summary["changed_bytes"], &summary["added"]],
        [4096, 4096, 1, 0]
    );
    assert_eq!(summary["growth"], -4096);
    let all: u64 = RAM.iter().map(|(start, end)| end - start).sum();
    assert_eq!(summary["same"], all - 8192);
    let changes = lines(&output, "change");
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0]["b"], 0x20_0120);
    assert_eq!(changes[1]["new"].as_str().unwrap().len(), 2 * 4096);
}

#[test]
fn trouble_is_told_from_difference() {
    let target = Target::start("pattern", Path::new(""));
    for (arguments, words) in [
        (vec!["/nonexistent", &target.pid()], "cannot open"),
        (vec![&target.pid(), "/bin/true"], "compare two of a sort"),
        (vec![&target.pid()], "required"),
        (vec!["4194304999", &target.pid()], "no process"),
    ] {
        let output = diff(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    let (a, b) = (Target::start("pattern", Path::new("")), Target::start("change", Path::new("")));
    signals::end_it_in_order(&["diff", "--bytes"], &[&a, &b], 2);
}

/// A copy of a file without its last bytes.
fn cut(path: &str, missing: u64) -> String {
    let copy = format!("{path}.cut");
    fs::copy(path, &copy).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() - missing).unwrap();
    copy
}

#[test]
fn a_damaged_core_is_compared_with_its_process() {
    let target = Target::start("pattern", Path::new(""));
    assert!(target.dump(&["-q"]).status.success());
    let core = target.core().to_str().unwrap().to_owned();
    // The last pages of the core are notes.
    let (cut, pid) = (cut(&core, 8 * PAGE), target.pid());
    let output = diff(&[&cut, &pid]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--salvage"), "{}", said(&output));
    // The option stands before the name of the file, or after both names.
    for (arguments, side) in [
        (vec!["--salvage", &cut, &pid], "unread_a"),
        (vec![&pid, "--salvage", &cut], "unread_b"),
        (vec![&cut, &pid, "--salvage"], "unread_a"),
        (vec![&pid, &cut, "--salvage"], "unread_b"),
        (vec!["--salvage", &cut, &core], "unread_a"),
        (vec![&core, "--salvage", &cut], "unread_b"),
    ] {
        let output = diff(&[&arguments[..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", said(&output));
        let summary = &lines(&output, "summary")[0];
        let unread: u64 =
            summary[side].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
        assert!((PAGE..8 * PAGE).contains(&unread), "{arguments:?}: {summary}");
    }
}

#[test]
fn options_that_can_apply_to_no_side_are_refused() {
    let (a, b) = (Target::start("pattern", Path::new("")), Target::start("pattern", Path::new("")));
    let file = "/bin/true";
    for (arguments, words) in [
        (vec!["--salvage", &a.pid(), file], "A ("),
        (vec!["--salvage", &a.pid(), file], "put it before the name of the file, or after both"),
        (vec![file, "--input-format", "lime", &a.pid()], "--input-format is about a file, and B ("),
        (vec![&a.pid(), "--raw", &b.pid()], "--raw is about a file, and B ("),
        (
            vec![&a.pid(), &b.pid(), "--salvage"],
            "--salvage is about a file: neither A nor B is one",
        ),
        (vec!["kernel", "physical", "--map", file], "--map is about a file: neither"),
        (vec!["--raw", file, "--raw", file, "--salvage"], "--salvage is about a file: the options"),
        (vec!["--raw", "--salvage", file, file], "--raw cannot be used with --salvage"),
        (vec![file, file, "--map", file, "--part", file], "--map cannot be used with --part"),
        (vec!["--map", file, "--map", file, file, file], "--map is given twice"),
        (
            vec![file, file, "--dontdump"],
            "--dontdump and --coredump-filter are about a live process",
        ),
        (vec![&a.pid(), &b.pid(), "--kind", "ram"], "--kind ram: there is no such region"),
    ] {
        let output = diff(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn options_about_processes_apply_to_the_sides_that_have_one() {
    let target = Target::start("dontdump", Path::new(""));
    assert!(target.dump(&["-q", "--dontdump"]).status.success());
    let core = target.core().to_str().unwrap().to_owned();
    for arguments in [[&core, &target.pid()], [&target.pid(), &core]] {
        let [a, b] = arguments.map(String::as_str);
        let output = diff(&[a, b, "--dontdump"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    }
    // A file has no heap, so all of the process's heap is new.
    let file = target.folder.path().join("empty");
    fs::write(&file, "").unwrap();
    let output = diff(&[file.to_str().unwrap(), &target.pid(), "--kind", "heap", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let kinds = lines(&output, "kind");
    assert!(kinds.len() == 1 && kinds[0]["kind"] == "heap", "{kinds:?}");
}

#[test]
fn each_file_is_read_as_the_options_beside_its_name_say() {
    let machine = Machine::new();
    let raw = machine.run(&["-o", "raw", "--format", "raw", "-m", "map", "-q"]);
    assert!(raw.status.success(), "{}", said(&raw));
    for (name, format) in [("lime", "lime"), ("padded", "padded")] {
        assert!(machine.run(&["-o", name, "--format", format, "-q"]).status.success());
    }
    let path = |name| machine.path(name).to_str().unwrap().to_owned();
    let (raw, map, lime, padded) = (path("raw"), path("map"), path("lime"), path("padded"));
    let all: u64 = RAM.iter().map(|(start, end)| end - start).sum();
    let cut = cut(&lime, PAGE);
    let same = |arguments: &[&str]| {
        let output = diff(&[arguments, &["--json"]].concat());
        let summary = lines(&output, "summary").pop().unwrap_or_default();
        (output.status.code(), summary["same"].as_u64().unwrap_or_default())
    };
    for arguments in [
        vec!["--map", &map, &raw, &lime],
        vec![&lime, "--map", &map, &raw],
        vec!["--input-format", "raw", "--map", &map, &raw, "--input-format", "lime", &lime],
        vec!["--map", &map, &raw, "--map", &map, &raw],
        vec![&raw, &raw, "--map", &map],
        vec![&raw, "--input-format", "lime", &lime, "--map", &map],
        vec!["--raw", &padded, &padded, "--raw"],
    ] {
        let (status, same) = same(&arguments);
        assert_eq!(status, Some(0), "{arguments:?}");
        assert!(arguments.contains(&"--raw") || same == all, "{arguments:?}: {same}");
    }
    // It is an error for the wrong side.
    assert_eq!(same(&["--map", &map, &raw, &raw]).0, Some(1));
    assert_eq!(same(&["--input-format", "lime", &raw, &lime]).0, Some(2));
    // The readable parts of a damaged image are compared.
    for arguments in [
        vec!["--salvage", &cut, &lime],
        vec![&lime, "--salvage", &cut],
        vec![&cut, &lime, "--salvage"],
        vec!["--map", &map, &raw, "--salvage", &cut],
        vec!["--map", &map, &raw, &cut, "--salvage"],
    ] {
        let (_, same) = same(&arguments);
        assert_eq!(same, all - PAGE, "{arguments:?}");
    }
    assert_eq!(same(&["--salvage", &lime, &cut]).0, Some(2));
}
