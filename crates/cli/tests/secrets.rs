//! Manifests hold no text of the command line but what they are documented to record: a pattern, or the path of another file,
//! may be a secret of whoever takes the image.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use support::{Machine, said};

/// A text that stands nowhere by accident.
const TOKEN: &str = "T0ken-5f1e";

fn run(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
    let output = command.args(arguments).current_dir(directory).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
}

/// The text of all manifests in a directory, and how many there are.
fn manifests(directory: &Path) -> (String, usize) {
    let mut text = String::new();
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap();
        if path.is_file() && (name.ends_with(".manifest.json") || name.ends_with(".manifest")) {
            text += &fs::read_to_string(&path).unwrap();
            count += 1;
        }
    }
    (text, count)
}

#[test]
fn a_dump_records_no_text_that_it_is_not_documented_to_record() {
    let machine = Machine::new();
    let directory = machine.folder.path();
    let map = format!("{TOKEN}.map");
    let manifest = format!("{TOKEN}.manifest");
    let output = machine.run(&["-o", "ram", "-m", &map, "--manifest", &manifest]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    run(directory, &["convert", "ram", "ram.lime", "--map", &map, "--manifest", "lime.manifest"]);
    let written = format!("{TOKEN}.new.map");
    run(
        directory,
        &["convert", "ram.lime", "ram.elf", "-m", &written, "--manifest", "elf.manifest"],
    );
    let (text, count) = manifests(directory);
    assert_eq!(count, 3);
    assert!(!text.contains(TOKEN), "{text}");
    assert!(text.contains("…"), "that a value was left out is recorded");
}

#[test]
fn what_is_documented_is_recorded() {
    let machine = Machine::new();
    let directory = machine.folder.path();
    let kcore = machine.kcore();
    let (case, examiner, note) = ("case-7", "A. Smith", "found at three");
    run(
        directory,
        &[
            "--source",
            kcore.to_str().unwrap(),
            "-o",
            "ram.lime",
            "--format",
            "lime",
            "--case",
            case,
            "--examiner",
            examiner,
            "--note",
            note,
            "--kit",
            "kit.tar",
        ],
    );
    let (text, count) = manifests(directory);
    assert_eq!(count, 1);
    for recorded in [case, examiner, note, "ram.lime", "kit.tar", kcore.to_str().unwrap()] {
        assert!(text.contains(recorded), "{recorded}: {text}");
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_core_records_no_pattern() {
    let directory = tempfile::tempdir().unwrap();
    // A program of a name of its own, so that the pattern finds it alone.
    let program = directory.path().join("sl33p-5f1e");
    fs::copy("/bin/sleep", &program).unwrap();
    let child = Killed(Command::new(&program).arg("600").spawn().unwrap());
    let pid = child.0.id().to_string();
    let pattern = "sl33p-5[f]1e";
    run(
        directory.path(),
        &["process", &pid, "-o", "core", "--name", "**", "--name", TOKEN, "--exclude", TOKEN],
    );
    run(directory.path(), &["process", "--comm", pattern, "-o", "."]);
    let (text, count) = manifests(directory.path());
    assert_eq!(count, 2);
    assert!(!text.contains(TOKEN) && !text.contains(pattern), "{text}");
}
