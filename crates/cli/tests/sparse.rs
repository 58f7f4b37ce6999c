//! Sparse files: their holes count as zeros and are not read.

#[path = "support/looking.rs"]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{json_lines, lime, memdump, printed, run, said};
use tempfile::TempDir;

const TIB: u64 = 1 << 40;
/// A time longer than reading a few blocks takes, and much shorter than reading a TiB takes.
const LIMIT: Duration = Duration::from_secs(20);
const PLACES: [u64; 3] = [70_000, 500_000_000_001, TIB - 20];

/// A file of 1 TiB with a text in three places.
fn huge(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    let file = File::create(&path).unwrap();
    file.set_len(TIB).unwrap();
    PLACES.iter().for_each(|&at| file.write_all_at(text.as_bytes(), at).unwrap());
    path
}

#[test]
fn a_tebibyte_of_holes_is_looked_at_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = huge(&folder, "file", "three needles");
    let before = Instant::now();

    let output = run(&["strings", "--raw", "-t", "d"], &path);
    let expected = PLACES.map(|at| format!("{at:7} three needles\n")).concat();
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), expected, "{}", said(&output));

    let output = run(&["strings", "--raw", "--json"], &path);
    let summary = &json_lines(&output).pop().unwrap()["summary"];
    let (read, zero) = (summary["read"].as_u64().unwrap(), summary["zero"].as_u64().unwrap());
    assert_eq!(read + zero, TIB);
    assert!(read < 1 << 20, "{read}");

    let output = run(&["search", "--raw", "--json", "--regex", "needle"], &path);
    let lines = json_lines(&output);
    let found: Vec<u64> = lines.iter().filter_map(|line| line["address"].as_u64()).collect();
    assert_eq!(found, PLACES.map(|at| at + 6));

    let output = run(&["hexdump", "--raw"], &path);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |...."));
    assert!(text.ends_with("\n10000000000\n"), "{text}");
    assert_eq!(text.lines().filter(|line| *line == "*").count(), 3, "{text}");

    let other = huge(&folder, "other", "three needleS");
    let output = run(&["diff", "--raw", "--json", path.to_str().unwrap(), "--raw"], &other);
    let summary = &json_lines(&output).pop().unwrap()["summary"];
    assert_eq!([&summary["changed_bytes"], &summary["added"], &summary["gone"]], [3, 0, 0]);
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
}

#[test]
fn how_much_is_left_is_not_held_against_a_short_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.lime");
    let mut image = lime(0, &[7; 4096]);
    // The record claims a TiB of holes, more than there is room for.
    image[16..24].copy_from_slice(&(TIB - 1).to_le_bytes());
    fs::write(&path, &image).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(TIB + 32).unwrap();
    let out = folder.path().join("less.lime");
    let output =
        memdump().args(["convert", "--exclude", "zero"]).args([&path, &out]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::metadata(&out).unwrap().len() / TIB, 1);
}

/// Two files with the same bytes: one with holes, one without.
fn twins(folder: &TempDir, bytes: &[u8]) -> [PathBuf; 2] {
    let [sparse, dense] = ["sparse", "dense"].map(|name| folder.path().join(name));
    fs::write(&dense, bytes).unwrap();
    let file = File::create(&sparse).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (page, at) in bytes.chunks(4096).zip((0..).step_by(4096)) {
        if page.iter().any(|&byte| byte != 0) {
            file.write_all_at(page, at).unwrap();
        }
    }
    [sparse, dense]
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

#[test]
fn holes_and_zeros_that_are_stored_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 8 << 20];
    let mut state = 7_u64;
    for _ in 0..60 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let at = (state >> 33) as usize % (bytes.len() - 300);
        let len = 20 + (state >> 20) as usize % 250;
        bytes[at..at + len].fill(b'a' + (state >> 60) as u8);
    }
    // Text on both sides of the ends of granules, pages and blocks.
    for at in [4096, 65536, 1 << 20, 3 << 20] {
        bytes[at - 8..at + 8].copy_from_slice(b"over the border!");
    }
    let [sparse, dense] = twins(&folder, &bytes);
    assert!(blocks(&sparse) < blocks(&dense), "this file system stores no holes");
    for args in [
        &["strings", "-t", "x"] as &[&str],
        &["strings", "--templates"],
        &["search", "--regex", "border"],
        &["search", "--regex", "[a-p]{20,}"],
        &["hexdump"],
        &["hexdump", "--no-squeezing", "--width", "24"],
    ] {
        let args = [args, &["--raw"]].concat();
        let (one, other) = (run(&args, &sparse), run(&args, &dense));
        assert!(one.stdout == other.stdout, "{args:?}");
        assert_eq!(one.status.code(), Some(0), "{args:?}: {}", said(&one));
    }
    assert_eq!(printed("hexdump", &["-C"], &sparse), run(&["hexdump", "--raw"], &sparse).stdout);
    let same = run(&["diff", "--raw", sparse.to_str().unwrap(), "--raw"], &dense);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
}

#[test]
fn holes_in_an_image_are_zeros_of_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = vec![0; 4 << 20];
    memory[(1 << 20) + 5..][..11].copy_from_slice(b"in an image");
    let map = folder.path().join("map");
    fs::write(&map, "0x100000 0x500000\n0x40000000 0x40400000\n").unwrap();
    let starts = [0x10_0000, 0x4000_0000];
    let lime = starts.map(|start| lime(start, &memory)).concat();
    let raw = [&memory[..], &memory].concat();
    for (image, how) in [(raw, &["--map", map.to_str().unwrap()] as &[&str]), (lime, &[])] {
        let [sparse, _] = twins(&folder, &image);
        let looked = |options: &[&str]| run(&[&["strings"], how, options].concat(), &sparse);
        let output = looked(&["-t", "d"]);
        let expected = starts.map(|start| {
            let addr = start + (1 << 20) + 5;
            format!("{addr:7} in an image\n")
        });
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.concat());
        let summary = &json_lines(&looked(&["--json"])).pop().unwrap()["summary"];
        let (read, zero) = (summary["read"].as_u64().unwrap(), summary["zero"].as_u64().unwrap());
        assert!(zero > 7 << 20, "{summary}");
        assert_eq!(read + zero, 2 * memory.len() as u64);
    }
}
