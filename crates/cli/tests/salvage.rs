//! `--salvage` of the command, on truncated and damaged images. The images are laid out here by hand, or written by the command and
//! then damaged.

#[path = "support/looking.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::{memdump, said};
use tempfile::TempDir;

const PAGE: usize = 4096;
const RANGES: [(u64, u64); 2] = [(0x1000, 0x9_f000), (0x10_0000, 0x40_0000)];

/// Memory in which no two pages are equal, and no page is zeros.
fn memory(start: u64, end: u64) -> Vec<u8> {
    (start..end).map(|addr| (addr / 64).wrapping_mul(0x9e37_79b9) as u8 | 1).collect()
}

fn lime(ranges: &[(u64, u64)]) -> Vec<u8> {
    support::lime_image(ranges, memory)
}

struct Images(TempDir);

impl Images {
    fn new() -> Self {
        let images = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        images.write("whole.lime", &lime(&RANGES));
        images
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        // An existing file may be read-only, so it cannot be overwritten except by root.
        let _ = fs::remove_file(self.path(name));
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn cut(&self, name: &str, cut: &str, len: usize) {
        self.write(cut, &self.read(name)[..len]);
    }

    /// Runs the command in the directory. If it fails, its message must be one line.
    fn run(&self, status: i32, arguments: &[&str]) -> Output {
        let output = memdump().current_dir(self.0.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", said(&output));
        assert!(status != 1 || said(&output).lines().count() == 1, "{}", said(&output));
        output
    }

    fn info(&self, status: i32, arguments: &[&str]) -> Value {
        let output = self.run(status, &[&["info", "--json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The memory in the first `len` bytes of the image: pages, the last of them filled up with zeros.
fn front(len: usize) -> Vec<u8> {
    let (first, (start, _)) = (RANGES[0], RANGES[1]);
    let before = lime(&[first]).len() + 32;
    let end = (start + (len - before) as u64).next_multiple_of(PAGE as u64);
    let mut image = lime(&[first, (start, end)]);
    image[len..].fill(0);
    image
}

#[test]
fn an_image_that_is_cut_short_is_refused_and_what_is_there_can_be_had() {
    let images = Images::new();
    let whole = images.read("whole.lime").len();
    images.run(0, &["convert", "whole.lime", "whole.elf"]);
    images.run(0, &["convert", "whole.lime", "whole.kdump"]);
    for name in ["lime", "elf"] {
        let missing = 0x12_3456;
        let file = format!("cut.{name}");
        let from = format!("whole.{name}");
        images.cut(&from, &file, images.read(&from).len() - missing);
        for command in [&["info", &file][..], &["convert", &file, "out.lime"]] {
            let output = images.run(1, command);
            let text = said(&output);
            for wanted in
                [&format!("truncated {name} image"), "1193046 bytes", "0x2dcbaa", "--salvage"]
            {
                assert!(text.contains(wanted), "{text}");
            }
        }
        assert!(!images.path("out.lime").exists());

        let info = images.info(3, &["--salvage", &file]);
        assert_eq!(info["holes"]["truncated"], missing);
        assert_eq!(info["size"], whole - 64);
        let problems = info["problems"].as_array().unwrap();
        assert!(problems[0].as_str().unwrap().contains("1193046 bytes"), "{problems:?}");

        let output = images.run(3, &["convert", "--salvage", &file, "out.lime", "--overwrite"]);
        for wanted in ["warning: truncated", "0x2dcbaa-0x400000", "exit status 3"] {
            assert!(said(&output).contains(wanted), "{}", said(&output));
        }
        assert!(images.read("out.lime") == front(whole - missing), "{name}");
        fs::remove_file(images.path("out.lime")).unwrap();
    }
    // A complete image has no problems.
    for name in ["whole.lime", "whole.elf", "whole.kdump"] {
        assert_eq!(images.info(0, &["--salvage", name])["problems"], Value::Array(Vec::new()));
        images.run(0, &["convert", "--salvage", name, "again.lime", "--overwrite"]);
        assert!(images.read("again.lime") == lime(&RANGES));
    }
}

#[test]
fn a_record_whose_header_is_damaged_is_lost_and_told() {
    let images = Images::new();
    let ranges = [(0x1000, 0x9000), (0x2_0000, 0x3_0000), (0x8_0000, 0x9_0000)];
    let mut image = lime(&ranges);
    let middle = 32 + 0x8000;
    image[middle] ^= 1;
    images.write("damaged.lime", &image);
    let refused = said(&images.run(1, &["info", "damaged.lime"]));
    assert!(refused.contains("magic at offset 0x8020"), "{refused}");
    let output = images.run(3, &["convert", "--salvage", "damaged.lime", "out.lime"]);
    assert!(said(&output).contains("the 65568 bytes before it are lost"), "{}", said(&output));
    assert!(images.read("out.lime") == lime(&[ranges[0], ranges[2]]));
}

#[test]
fn streams_are_salvaged_up_to_their_damage() {
    let images = Images::new();
    images.run(0, &["convert", "whole.lime", "whole.elf"]);
    for suffix in ["gz", "lz4", "zst"] {
        for format in ["lime", "elf"] {
            let (whole, cut) =
                (format!("whole.{format}.{suffix}"), format!("cut.{format}.{suffix}"));
            images.run(0, &["convert", &format!("whole.{format}"), &whole]);
            images.cut(&whole, &cut, images.read(&whole).len() * 2 / 3);
            // Records are found by unpacking; segments are listed at the front.
            let status = if format == "lime" { 1 } else { 3 };
            images.run(status, &["convert", &cut, "out.lime", "--overwrite"]);
            let output = images.run(3, &["convert", "--salvage", &cut, "out.lime", "--overwrite"]);
            assert!(said(&output).contains("the image file ends before it"), "{}", said(&output));
            let (found, mut whole) = (images.read("out.lime"), lime(&RANGES));
            let held = found.len() - found.iter().rev().take_while(|&&byte| byte == 0).count();
            assert!(held > whole.len() / 3, "{cut}: {held} of {}", whole.len());
            // The segments are known but the end of the stream is not, so the end is found by reading.
            whole[held..].fill(0);
            assert!(found == if format == "lime" { front(held) } else { whole }, "{cut}");
        }
    }
}

#[test]
fn a_dump_of_an_image_salvages_too() {
    let images = Images::new();
    let whole = images.read("whole.lime").len();
    images.cut("whole.lime", "cut.lime", whole - 5000);
    let dump = ["--source", "cut.lime", "--format", "lime", "-o", "out.lime"];
    let refused = said(&images.run(1, &dump));
    assert!(refused.contains("5000 bytes") && refused.contains("--salvage"), "{refused}");
    let output = images.run(3, &[&dump[..], &["--salvage"]].concat());
    assert!(said(&output).contains("warning: truncated lime image"), "{}", said(&output));
    assert!(images.read("out.lime") == front(whole - 5000));
}

#[test]
fn verify_tells_which_regions_are_whole() {
    let images = Images::new();
    images
        .run(0, &["convert", "whole.lime", "image.avml", "--manifest", "image.avml.manifest.json"]);
    images.run(0, &["verify", "image.avml"]);
    images.cut("image.avml", "image.avml", images.read("image.avml").len() - 100);
    let output = memdump().current_dir(images.0.path()).args(["verify", "image.avml"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("DAMAGED  truncated avml image"), "{text}");
    assert!(text.contains("ok       1 of 2 regions"), "{text}");
}

#[test]
fn the_files_of_a_split_kdump_are_read_together() {
    let images = Images::new();
    images.run(0, &["convert", "whole.lime", "whole.kdump"]);
    let whole = images.read("whole.kdump");
    // One block each for the header, the sub header and two bitmaps, then a descriptor of 24 bytes for each page.
    let table = 4 * PAGE;
    let pages = (0x9e + 0x300) as usize;
    // From page frame 0x200 on: 0x9e pages of the first range and 0x100 of the second precede it.
    let before = 0x9e + 0x100;
    for (name, from, frames) in [("part.1", 0, 0..0x200_u64), ("part.2", before, 0x200..0x400)] {
        let mut part = whole.clone();
        part[PAGE + 12..PAGE + 16].copy_from_slice(&1_u32.to_le_bytes());
        part[PAGE + 80..PAGE + 88].copy_from_slice(&frames.start.to_le_bytes());
        part[PAGE + 88..PAGE + 96].copy_from_slice(&frames.end.to_le_bytes());
        let descriptors = whole[table + 24 * from..table + 24 * pages].to_vec();
        part[table..table + descriptors.len()].copy_from_slice(&descriptors);
        images.write(name, &part);
    }
    let refused = said(&images.run(1, &["info", "part.1"]));
    assert!(refused.contains("one of several files"), "{refused}");
    for (first, second) in [("part.1", "part.2"), ("part.2", "part.1")] {
        images.info(0, &[first, "--part", second, "--scan"]);
        images.run(0, &["convert", first, "out.lime", "--part", second, "--overwrite"]);
        assert!(images.read("out.lime") == lime(&RANGES));
    }
    images.run(0, &["convert", "part.1", "again.kdump", "--part", "part.2"]);
    images.run(0, &["convert", "again.kdump", "out.lime", "--overwrite"]);
    assert!(images.read("out.lime") == lime(&RANGES));
    // One part alone has its own pages.
    images.run(3, &["convert", "--salvage", "part.1", "out.lime", "--overwrite"]);
    assert!(images.read("out.lime") == lime(&[RANGES[0], (0x10_0000, 0x20_0000)]));
}

/// A compressed core whose one segment has far more bytes than the compressed file.
fn bomb() -> Vec<u8> {
    let len = 192_u64 << 20;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    for word in [0_u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [4096, 0, 0x10_0000, len, len, 0] {
        file.extend(word.to_le_bytes());
    }
    file.resize(4096 + len as usize, 0);
    file
}

#[test]
fn what_unpacks_to_far_more_takes_little_memory() {
    let images = Images::new();
    images.write("bomb.elf", &bomb());
    for suffix in ["gz", "lz4", "zst"] {
        let packed = format!("bomb.elf.{suffix}");
        images.run(0, &["convert", "bomb.elf", &packed]);
        for how in ["", "--salvage"] {
            // 160 MiB of address space, which includes the program itself.
            let line = format!("ulimit -v 163840; exec \"$0\" info {how} {packed}");
            let mut shell = Command::new("sh");
            shell.args(["-c", &line, env!("CARGO_BIN_EXE_memdump")]);
            let output = shell.current_dir(images.0.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{packed} {how}: {}", said(&output));
        }
    }
}
