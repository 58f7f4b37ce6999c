//! Manifests: the content of those that a dump writes, and the damage that `memdump verify` finds.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::{Machine, all_memory, memory, said};

fn memdump(machine: &Machine, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
    command.args(arguments).current_dir(machine.folder.path()).output().unwrap()
}

/// Dumps with `-o image` and further arguments.
fn dump(machine: &Machine, arguments: &[&str]) {
    let mut all = vec!["-o", "image", "--overwrite"];
    all.extend(arguments);
    let output = machine.run(&all);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

fn manifest(machine: &Machine) -> Value {
    serde_json::from_slice(&fs::read(machine.path("image.manifest.json")).unwrap()).unwrap()
}

fn verify(machine: &Machine) -> (Option<i32>, Value) {
    let output = memdump(machine, &["verify", "--json", "image"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Changes a byte of a file, even if its mode makes it read-only.
fn damage(path: &Path, at: usize) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

const FORMATS: [&str; 6] = ["raw", "padded", "lime", "avml", "elf", "kdump"];

#[test]
fn an_image_is_verified_in_every_format_and_damage_is_located() {
    let machine = Machine::new();
    for format in FORMATS {
        dump(&machine, &["--format", format]);
        let (status, report) = verify(&machine);
        assert_eq!((status, &report["verified"]), (Some(0), &true.into()), "{format}: {report}");
        assert_eq!(report["regions"], 3);

        // A byte of the second region's memory if the format stores it verbatim; else any byte of the data.
        let bytes = fs::read(machine.path("image")).unwrap();
        // Long enough to occur only once.
        let part = memory(0x30_0000, 0x32_0000);
        let place = bytes.windows(part.len()).position(|window| window == part);
        damage(&machine.path("image"), place.unwrap_or(bytes.len() / 2));
        let (status, report) = verify(&machine);
        assert_eq!((status, &report["verified"]), (Some(1), &false.into()), "{format}");
        let mismatches = report["mismatches"].as_array().unwrap();
        assert_eq!(mismatches.len(), 1, "{format}: {report}");
        if place.is_some() {
            assert_eq!(mismatches[0]["start"], 0x10_0000, "{format}: {report}");
        }
    }
}

#[test]
fn a_manifest_says_what_was_taken() {
    let machine = Machine::new();
    let words =
        ["--format", "lime", "--case", "2026-17", "--examiner", "A. Smith", "--note", "found on"];
    dump(&machine, &words);
    let manifest = manifest(&machine);
    assert_eq!(manifest["case"]["number"], "2026-17");
    assert_eq!(manifest["case"]["notes"][0], "found on");
    assert_eq!(manifest["machine"]["kernel"], "6.1.0-made-up");
    assert_eq!(manifest["space"], "physical");
    assert_eq!(manifest["image"]["format"], "lime");
    assert_eq!(manifest["regions"].as_array().unwrap().len(), 3);
    assert_eq!(manifest["regions"][1]["start"], 0x10_0000);
    let hash = blake3::hash(&memory(0x10_0000, 0x60_0000)).to_hex().to_string();
    assert_eq!(manifest["regions"][1]["blake3"], hash);
    assert_eq!(manifest["holes"][0]["cause"], "partial-page");
    assert!(manifest["time"]["start"].as_str().unwrap().ends_with('Z'));
    assert!(!manifest["timeline"].as_array().unwrap().is_empty());
    assert!(manifest["command"].as_array().unwrap().len() > 5);

    // sha256sum(1) checks it too.
    let mut sums = Command::new("sha256sum");
    sums.args(["-c", "image.sha256"]).current_dir(machine.folder.path());
    assert!(sums.status().unwrap().success());
}

#[test]
fn what_goes_to_standard_output_has_a_manifest_only_when_it_is_wanted() {
    let machine = Machine::new();
    let output = machine.run(&["--manifest", "kept.json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout == all_memory());
    assert!(!machine.path("-.sha256").exists() && !machine.path("-.manifest.json").exists());
    fs::write(machine.path("image"), &output.stdout).unwrap();
    let output = memdump(&machine, &["verify", "image", "kept.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    let output = machine.run(&["-o", "other", "--no-manifest"]);
    assert!(output.status.success());
    assert!(!machine.path("other.manifest.json").exists());
    let output = memdump(&machine, &["verify", "other"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("info --scan"), "{}", said(&output));
}

#[test]
fn no_manifest_is_left_that_tells_of_another_image() {
    let machine = Machine::new();
    dump(&machine, &[]);
    let before = fs::read(machine.path("image")).unwrap();
    let output = machine.run(&["-s", "4096", "-o", "image", "--overwrite", "--no-manifest"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("image.manifest.json"), "{}", said(&output));
    assert!(fs::read(machine.path("image")).unwrap() == before);
    fs::remove_file(machine.path("image.manifest.json")).unwrap();
    let output = machine.run(&["-s", "4096", "-o", "image", "--overwrite", "--no-manifest"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::metadata(machine.path("image")).unwrap().len(), 4096);
}

#[test]
fn a_part_a_compressed_and_a_converted_image_are_verified() {
    let machine = Machine::new();
    for arguments in [
        &["-s", "3000000"][..],
        &["-s", "3000000", "--format", "elf"],
        &["--compress", "zstd", "--format", "lime"],
        &["--exclude", "zero", "--format", "kdump"],
    ] {
        dump(&machine, arguments);
        let (status, report) = verify(&machine);
        assert_eq!(status, Some(0), "{arguments:?}: {report}");
    }
    dump(&machine, &["--format", "lime"]);
    let words = ["convert", "image", "second.avml", "--manifest", "second.json"];
    let output = memdump(&machine, &words);
    assert!(output.status.success(), "{}", said(&output));
    let output = memdump(&machine, &["verify", "second.avml", "second.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // The memory is the same, so the hashes of the regions are those of the first image.
    let second: Value =
        serde_json::from_slice(&fs::read(machine.path("second.json")).unwrap()).unwrap();
    for (one, other) in manifest(&machine)["regions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(second["regions"].as_array().unwrap())
    {
        assert_eq!(one["blake3"], other["blake3"]);
    }
}

#[test]
fn a_second_look_finds_a_machine_that_stands_still_unchanged() {
    let machine = Machine::new();
    let output = machine.run(&["-o", "image", "--second-look", "50%"]);
    assert!(output.status.success());
    assert!(said(&output).contains("0 had changed"), "{}", said(&output));
    let look = &manifest(&machine)["second_look"];
    assert!(look["pages"].as_u64().unwrap() > 500 && look["changed"] == 0, "{look}");
    assert_eq!(machine.run(&["--second-look", "101"]).status.code(), Some(2));
}

#[test]
fn what_is_no_manifest_is_told() {
    let machine = Machine::new();
    dump(&machine, &[]);
    fs::write(machine.path("text"), "{}").unwrap();
    let output = memdump(&machine, &["verify", "image", "text"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is no manifest"), "{}", said(&output));
}
