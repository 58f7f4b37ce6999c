//! The analysis kit: its files equal those of the machine, and the manifest lists them. The memory is made up, but the kit is that of
//! the machine that runs the tests, with the files that exist there.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Machine, mode, said};

/// The files of this machine's `/proc` that do not change.
const LASTING: [&str; 3] = ["cmdline", "version", "config.gz"];

fn machine() -> Machine {
    let machine = Machine::new();
    symlink("/sys", machine.path("sys")).unwrap();
    for name in LASTING {
        symlink(Path::new("/proc").join(name), machine.path("proc").join(name)).unwrap();
    }
    let symbols = "0000000000000000 T _text\n0000000000000000 T _etext\n";
    fs::write(machine.path("proc/kallsyms"), symbols).unwrap();
    machine
}

fn dump(machine: &Machine, arguments: &[&str]) -> String {
    let mut all = vec!["-o", "image", "-s", "100000", "--kit", "kit.tar"];
    all.extend(arguments);
    let output = machine.run(&all);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn manifest(machine: &Machine) -> Value {
    serde_json::from_slice(&fs::read(machine.path("image.manifest.json")).unwrap()).unwrap()
}

fn run(machine: &Machine, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(machine.folder.path()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The build ID in ELF notes: a header of three words (sizes 4 and 20, type 3), the name, the ID.
fn build_id(notes: &[u8]) -> Option<String> {
    let head = [&[4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0"].concat();
    let at = notes.windows(head.len()).position(|window| window == head)? + head.len();
    Some(notes[at..at + 20].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[test]
fn tar_opens_it_and_finds_what_the_machine_says() {
    let machine = machine();
    let said = dump(&machine, &[]);
    assert!(said.contains("not in the kit: proc/cpuinfo: there is no such file"), "{said}");
    assert!(said.contains("in the kit: proc/kallsyms: its addresses are zeros"), "{said}");
    assert_eq!(mode(&machine.path("kit.tar")), 0o400);
    fs::create_dir(machine.path("unpacked")).unwrap();
    run(&machine, "tar", &["-xf", "kit.tar", "-C", "unpacked"]);

    let same = |name: &str, original: &str| {
        let Ok(original) = fs::read(original) else { return false };
        assert!(fs::read(machine.path("unpacked").join(name)).unwrap() == original, "{name}");
        true
    };
    for name in LASTING {
        same(&format!("proc/{name}"), &format!("/proc/{name}"));
    }
    assert!(same("proc/iomem", machine.path("proc/iomem").to_str().unwrap()));
    assert!(same("proc/kallsyms", machine.path("proc/kallsyms").to_str().unwrap()));
    let types = same("sys/kernel/btf/vmlinux", "/sys/kernel/btf/vmlinux");
    println!("BTF of this kernel: {types}");
    if same("sys/kernel/notes", "/sys/kernel/notes")
        && let Some(id) = build_id(&fs::read("/sys/kernel/notes").unwrap())
    {
        let ids = fs::read_to_string(machine.path("unpacked/build-ids.txt")).unwrap();
        assert_eq!(ids.lines().next(), Some(&*format!("kernel {id}")));
    }
    let info = fs::read_to_string(machine.path("unpacked/vmcoreinfo")).unwrap();
    assert_eq!(info, "OSRELEASE=6.1.0-made-up\nPAGESIZE=4096\n");
}

#[test]
fn the_manifest_lists_it_and_both_programs_check_it() {
    let machine = machine();
    dump(&machine, &[]);
    fs::create_dir(machine.path("unpacked")).unwrap();
    run(&machine, "tar", &["-xf", "kit.tar", "-C", "unpacked"]);
    let kit = manifest(&machine)["kit"].clone();
    let mut found = 0;
    for file in kit["files"].as_array().unwrap() {
        let path = machine.path("unpacked").join(file["name"].as_str().unwrap());
        match file["missing"].as_str() {
            Some(_) => assert!(!path.exists() && file.get("size").is_none(), "{file}"),
            None => {
                assert_eq!(file["size"], fs::metadata(&path).unwrap().len());
                let sum = run(&machine, "sha256sum", &[path.to_str().unwrap()]);
                assert_eq!(file["sha256"].as_str(), sum.get(..64), "{file}");
                found += 1;
            }
        }
    }
    let listed = run(&machine, "tar", &["-tf", "kit.tar"]);
    assert_eq!(listed.lines().count(), found);
    assert_eq!(run(&machine, "sha256sum", &["-c", "image.sha256"]), "image: OK\nkit.tar: OK\n");

    let verify = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
        let output =
            command.args(["verify", "image"]).current_dir(machine.folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = verify();
    assert!(status == Some(0) && text.contains("ok       kit kit.tar"), "{text}");
    let kit = fs::read(machine.path("kit.tar")).unwrap();
    fs::remove_file(machine.path("kit.tar")).unwrap();
    let (status, text) = verify();
    assert!(status == Some(0) && text.contains("unknown  kit kit.tar"), "{text}");
    fs::write(machine.path("kit.tar"), &kit[1..]).unwrap();
    let (status, text) = verify();
    assert!(status == Some(1) && text.contains("DIFFERS  kit kit.tar"), "{text}");
}

#[test]
fn refusals_come_before_anything_is_written() {
    let machine = machine();
    fs::write(machine.path("there"), "").unwrap();
    symlink(machine.path("there"), machine.path("link")).unwrap();
    for (kit, status, word) in [
        ("-", 2, "standard output"),
        ("there", 1, "--overwrite"),
        ("link", 1, "symbolic link"),
        ("no/folder", 1, "no/folder"),
    ] {
        let output = machine.run(&["-o", "image", "--kit", kit]);
        assert_eq!(output.status.code(), Some(status), "{}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
        for name in ["image", "image.partial", "image.manifest.json", "there.partial"] {
            assert!(!machine.path(name).exists(), "{kit}: {name}");
        }
    }
    dump(&machine, &["--format", "lime"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_memdump"));
    command.args(["--source", "image", "-o", "second", "--kit", "second.tar"]);
    let output = command.current_dir(machine.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!machine.path("second").exists() && !machine.path("second.tar").exists());
}

#[test]
fn an_image_that_fails_leaves_no_kit() {
    let machine = machine();
    let output = machine.run(&["-o", "image", "--kit", "kit.tar", "--manifest", "no/folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!machine.path("kit.tar").exists() && !machine.path("kit.tar.partial").exists());
}
