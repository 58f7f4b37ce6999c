//! Manifests that the command writes, checked against the schema in `docs/manifest.schema.json`.

#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use support::{Machine, said};

const SCHEMA: &str = include_str!("../../../docs/manifest.schema.json");

/// Fields that may be missing.
const OPTIONAL: [&str; 13] = [
    "blake3",
    "case",
    "compression",
    "examiner",
    "files",
    "kit",
    "label",
    "note",
    "notes",
    "number",
    "process",
    "second_look",
    "sha256",
];

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn read(path: &Path) -> Value {
    let manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let validator = schema();
    let problems: Vec<String> = validator
        .iter_errors(&manifest)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
    manifest
}

/// A manifest of a physical dump with every field that there can be.
fn full(machine: &Machine) -> Value {
    fs::write(machine.path("proc/kallsyms"), "0000000000000000 T _text\n").unwrap();
    machine.flags(&[(0x102, 1 << 10)]);
    let arguments = [
        "-o",
        "image",
        "--overwrite",
        "--format",
        "kdump",
        "--case",
        "7",
        "--examiner",
        "A. Smith",
        "--note",
        "one",
        "--note",
        "two",
        "--second-look",
        "10%",
        "--kit",
        "kit.tar",
        "--exclude",
        "free",
    ];
    let output = machine.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    read(&machine.path("image.manifest.json"))
}

fn memdump(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
}

#[test]
fn manifests_of_machines_and_of_conversions_fit() {
    let machine = Machine::new();
    let manifest = full(&machine);
    for key in ["case", "second_look", "kit"] {
        assert!(manifest[key].is_object(), "{key}");
    }
    assert!(!manifest["holes"].as_array().unwrap().is_empty());
    for format in ["raw", "padded", "lime", "avml", "elf"] {
        let arguments = ["-o", "image", "--overwrite", "--format", format, "--compress", "zstd"];
        assert!(machine.run(&arguments).status.success());
        read(&machine.path("image.manifest.json"));
    }
    memdump(machine.folder.path(), &["convert", "image", "new.lime", "--manifest", "new.json"]);
    read(&machine.path("new.json"));
    assert!(machine.run(&["--manifest", "stdout.json"]).status.success());
    read(&machine.path("stdout.json"));
}

#[test]
fn manifests_of_processes_fit() {
    let folder = tempfile::tempdir().unwrap();
    let target = process::Target::start("family", Path::new("-"));
    let pid = target.pid();
    let beside = |name: &str| read(&folder.path().join(name));
    for (pause, compress) in [("stop", None), ("snapshot", None), ("none", Some("zstd"))] {
        let mut arguments = vec!["process", &pid, "-o", "core", "--overwrite", "--pause", pause];
        arguments.extend(compress.iter().flat_map(|how| ["--compress", how]));
        memdump(folder.path(), &arguments);
        let manifest = beside("core.manifest.json");
        assert_eq!(manifest["process"]["pause"], pause);
        assert_eq!(manifest["process"]["pid"].to_string(), pid);
    }
    memdump(folder.path(), &["process", &pid, "--split", "parts"]);
    assert!(beside(&format!("parts/{pid}.manifest.json"))["image"]["files"].is_array());
    memdump(folder.path(), &["process", "--tree", &pid, "-o", "cores"]);
    beside(&format!("cores/core.{pid}.manifest.json"));
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    for child in children.split_whitespace() {
        let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    }
}

/// The objects within a value, as JSON pointers.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.push(at.to_owned());
            object.iter().for_each(|(key, value)| objects(value, &format!("{at}/{key}"), found));
        }
        // One object of each kind is enough.
        Value::Array(items) => {
            items.iter().take(3).enumerate().for_each(|(index, value)| {
                objects(value, &format!("{at}/{index}"), found);
            });
        }
        _ => {}
    }
}

#[test]
fn unknown_and_missing_fields_are_refused() {
    let machine = Machine::new();
    let manifest = full(&machine);
    let validator = schema();
    let mut places = Vec::new();
    objects(&manifest, "", &mut places);
    assert!(places.len() > 15, "{places:?}");
    let with = |place: &str, change: &dyn Fn(&mut Map<String, Value>)| {
        let mut changed = manifest.clone();
        change(changed.pointer_mut(place).unwrap().as_object_mut().unwrap());
        validator.is_valid(&changed)
    };
    for place in &places {
        let unknown = with(place, &|object| drop(object.insert("unknown".into(), 1.into())));
        assert!(!unknown, "{place} takes anything");
        for (key, value) in manifest.pointer(place).unwrap().as_object().unwrap() {
            if !OPTIONAL.contains(&key.as_str()) {
                let missing = with(place, &|object| drop(object.remove(key)));
                assert!(!missing, "{place} does without {key}");
            }
            let other = if value.is_string() { Value::from(1) } else { Value::from("x") };
            let wrong = with(place, &|object| drop(object.insert(key.clone(), other.clone())));
            // The names of the machine are strings already.
            assert!(!wrong || value.is_null(), "{place} takes {other} for {key}");
        }
    }
}

#[test]
fn every_field_is_described() {
    fn walk(schema: &Value, at: &str, bare: &mut BTreeSet<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let path = format!("{at}.{name}");
                if property["description"].as_str().is_none_or(|text| text.len() <= 4) {
                    bare.insert(path.clone());
                }
                walk(property, &path, bare);
            }
        }
        if schema["items"].is_object() {
            walk(&schema["items"], at, bare);
        }
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut bare = BTreeSet::new();
    walk(&schema, "", &mut bare);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        assert!(definition["description"].is_string(), "{name}");
        walk(definition, name, &mut bare);
    }
    assert!(bare.is_empty(), "{bare:?}");
}

/// A word that the library has and the schema lacks would make a manifest invalid once it is written.
#[test]
fn all_causes_and_kinds_are_listed() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (source, enumeration, list) in [
        ("../image/src/chunk.rs", "Cause::", "/properties/holes/items/properties/cause/enum"),
        ("../image/src/map.rs", "RegionKind::", "/properties/regions/items/properties/kind/enum"),
    ] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
        let words: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.trim().starts_with(enumeration))
            .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
            .filter(|word| !word.contains(' '))
            .collect();
        let listed = schema.pointer(list).unwrap().as_array().unwrap();
        let listed: BTreeSet<&str> = listed.iter().map(|word| word.as_str().unwrap()).collect();
        assert!(words.len() > 10, "{words:?}");
        assert_eq!(words, listed);
    }
}
