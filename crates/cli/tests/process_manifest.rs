//! Manifests of processes, beside a core and in a directory of several files, and `memdump verify` on them.

#[path = "support/process.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Core, Target, memdump, said, took_all_it_may};

fn target(mode: &str) -> Target {
    Target::start(mode, Path::new(""))
}

fn run(target: &Target, arguments: &[&str]) -> Output {
    memdump().args(arguments).current_dir(target.folder.path()).output().unwrap()
}

fn dump(target: &Target, arguments: &[&str]) {
    let pid = target.pid();
    let output = run(target, &[&["process", &pid], arguments].concat());
    // A fork has no page tables for shared memory.
    match arguments.contains(&"snapshot") {
        true => took_all_it_may(&output),
        false => assert_eq!(output.status.code(), Some(0), "{}", said(&output)),
    }
}

fn json(target: &Target, name: &str) -> Value {
    serde_json::from_slice(&fs::read(target.folder.path().join(name)).unwrap()).unwrap()
}

fn verify(target: &Target, what: &str) -> (Option<i32>, Value) {
    let output = run(target, &["verify", "--json", what]);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (output.status.code(), report)
}

/// Changes a byte of a file, even if its mode makes it read-only.
fn damage(path: &Path, at: usize) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn checks(target: &Target, folder: &str, list: &str) -> bool {
    let folder = target.folder.path().join(folder);
    let mut command = Command::new("sha256sum");
    command.args(["--quiet", "-c", list]).current_dir(folder).stdout(Stdio::null());
    command.status().unwrap().success()
}

#[test]
fn a_core_has_a_manifest_beside_it_in_every_way_of_pausing() {
    let target = target("pattern");
    for pause in ["stop", "snapshot", "none"] {
        dump(&target, &["-o", "core", "--overwrite", "--pause", pause, "--case", "2026-17"]);
        let manifest = json(&target, "core.manifest.json");
        assert_eq!(manifest["process"]["pause"], pause);
        assert_eq!(manifest["process"]["name"], "target");
        let stood = manifest["process"]["pause_seconds"].as_f64().unwrap();
        assert_eq!(stood > 0.0, pause != "none", "{stood}");
        assert_eq!(manifest["case"]["number"], "2026-17");
        assert_eq!(manifest["space"], format!("process {}", target.pid()));
        assert!(!manifest["timeline"].as_array().unwrap().is_empty());

        // The hash is that of the region's bytes, as another reader extracts them from the core.
        let (start, len) = target.told["anonymous"];
        let regions = manifest["regions"].as_array().unwrap();
        let region = regions.iter().find(|region| {
            region["start"].as_u64().unwrap() <= start && start < region["end"].as_u64().unwrap()
        });
        let region = region.unwrap();
        let (from, to) = (region["start"].as_u64().unwrap(), region["end"].as_u64().unwrap());
        assert!(to - from >= len);
        let core = Core::open(&target.core());
        let pages = (from..to).step_by(support::PAGE as usize);
        let bytes: Vec<u8> = pages.flat_map(|addr| core.page(addr).unwrap().to_vec()).collect();
        assert_eq!(region["blake3"], blake3::hash(&bytes).to_hex().to_string());

        assert!(checks(&target, "", "core.sha256"));
        let (status, report) = verify(&target, "core");
        assert_eq!((status, &report["verified"]), (Some(0), &true.into()), "{report}");
        assert_eq!(report["regions"], regions.len());
    }
    let len = fs::metadata(target.core()).unwrap().len() as usize;
    damage(&target.core(), len / 2);
    let (status, report) = verify(&target, "core");
    assert_eq!(status, Some(1));
    assert_eq!(report["mismatches"].as_array().unwrap().len(), 1, "{report}");
    assert!(!checks(&target, "", "core.sha256"));
}

#[test]
fn compressed_piped_and_unwanted() {
    let target = target("pattern");
    let pid = target.pid();
    dump(&target, &["--compress", "zstd"]);
    let name = format!("core.{pid}.zst");
    assert_eq!(json(&target, &format!("{name}.manifest.json"))["image"]["compression"], "zstd");
    assert_eq!(verify(&target, &name).0, Some(0));

    let output = run(&target, &["process", &pid, "-o", "-", "--manifest", "piped.json"]);
    assert!(output.status.success(), "{}", said(&output));
    fs::write(target.core(), &output.stdout).unwrap();
    let output = run(&target, &["verify", "core", "piped.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let before = fs::read_dir(target.folder.path()).unwrap().count();
    dump(&target, &["-o", "plain", "--no-manifest"]);
    let output = run(&target, &["process", &pid, "-o", "-"]);
    assert!(output.status.success());
    assert_eq!(fs::read_dir(target.folder.path()).unwrap().count(), before + 1);
}

#[test]
fn files_of_a_split_are_checked_one_by_one() {
    let target = target("pattern");
    let pid = target.pid();
    dump(&target, &["--split", "parts"]);
    let manifest = json(&target, &format!("parts/{pid}.manifest.json"));
    let folder = target.folder.path().join("parts");
    let listed: Vec<&str> = manifest["image"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    // Every file there except the manifest and the checksums.
    assert_eq!(listed.len(), fs::read_dir(&folder).unwrap().count() - 2);
    assert!(checks(&target, "parts", &format!("{pid}.sha256")));
    assert_eq!(verify(&target, "parts").0, Some(0));

    let file = listed.iter().find(|name| name.ends_with(".bin")).unwrap();
    damage(&folder.join(file), 0);
    fs::remove_file(folder.join(format!("{pid}_maps"))).unwrap();
    let (status, report) = verify(&target, "parts");
    assert_eq!((status, &report["verified"]), (Some(1), &false.into()));
    let files = report["images"][0]["files"].as_array().unwrap();
    let problem = |name: &str| {
        files.iter().find(|file| file["name"] == name).unwrap()["problem"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(problem(file).as_deref(), Some("its SHA-256 is another"));
    assert_eq!(problem(&format!("{pid}_maps")).as_deref(), Some("there is no such file"));
    assert_eq!(files.iter().filter(|file| file["verified"] == false).count(), 2);
}

#[test]
fn several_have_one_each_and_a_folder_is_verified() {
    let target = target("family");
    let pid = target.pid();
    let output =
        run(&target, &["process", "--tree", &pid, "-o", "cores", "--manifest", "one.json"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!target.folder.path().join("cores").exists());
    let output = run(&target, &["process", "--tree", &pid, "-o", "cores"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let (status, report) = verify(&target, "cores");
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report["images"].as_array().unwrap().len(), 4);
    let core = target.folder.path().join(format!("cores/core.{pid}"));
    damage(&core, 5000);
    let (status, report) = verify(&target, "cores");
    assert_eq!((status, &report["verified"]), (Some(1), &false.into()));
    let wrong: Vec<&Value> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|image| image["verified"] == false)
        .collect();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0]["image"].as_str().unwrap().ends_with(&format!("core.{pid}")));
    for child in
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().split_whitespace()
    {
        let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    }
    fs::create_dir(target.folder.path().join("empty")).unwrap();
    let output = run(&target, &["verify", "empty"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("there is no manifest in the folder empty"),
        "{}",
        said(&output)
    );
}

#[test]
fn gigabytes_that_nobody_touched_are_not_hashed() {
    let target = target("sparse");
    let started = Instant::now();
    dump(&target, &["-o", "core"]);
    let manifest = json(&target, "core.manifest.json");
    assert!(manifest["image"]["size"].as_u64().unwrap() > 1 << 36);
    assert_eq!(manifest["image"].get("sha256"), None);
    let (start, _) = target.told["sparse"];
    let regions = manifest["regions"].as_array().unwrap();
    let (without, with): (Vec<&Value>, Vec<&Value>) =
        regions.iter().partition(|region| region.get("blake3").is_none());
    assert_eq!(without.len(), 1);
    assert_eq!(without[0]["start"], start);
    assert!(with.len() > 5);
    assert!(!target.folder.path().join("core.sha256").exists());
    assert!(!target.folder.path().join("core.sha256.partial").exists());
    let output = run(&target, &["verify", "core"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("unknown  1 parts that are nearly all gaps"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_signal_while_a_core_is_hashed_leaves_the_core() {
    let target = target("gaps");
    let path = |name: &str| target.folder.path().join(name);
    let mut command = memdump();
    command.args(["process", &target.pid(), "-o", "core"]).current_dir(target.folder.path());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // 8 GiB of almost nothing: copying takes no time, hashing takes seconds.
    while !path("core").exists() {
        assert!(child.try_wait().unwrap().is_none(), "there is no core");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(path("core.manifest.json.partial").exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = "core is whole, but has no manifest: it could not be hashed: stopped by a signal";
    assert!(said(&output).contains(told), "{}", said(&output));
    let mut left: Vec<_> = fs::read_dir(target.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["core"]);
    target.comes_to('S');
    let (start, _) = target.told["sparse"];
    assert_eq!(Core::open(&path("core")).patterned((start, support::PAGE)), 1);
}
