//! `memdump convert` and `memdump info` on image files, which are laid out here by hand.

#[path = "support/looking.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::{memdump, said};
use tempfile::TempDir;

const PAGE: u64 = 4096;
/// The made-up machine: RAM below and above a hole. Some of it is zeros, some is noise.
const RANGES: [(u64, u64); 3] =
    [(0x1000, 0x9_f000), (0x10_0000, 0x60_0000), (0x1_0000_0000, 0x1_0080_0000)];

fn memory(start: u64, end: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((end - start) as usize);
    for page in (start..end).step_by(PAGE as usize) {
        let mut state = page | 1;
        for word in 0..PAGE / 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = match page / PAGE % 5 {
                0 => 0,
                1 => state,
                _ => page + word / 64,
            };
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes
}

fn lime(ranges: &[(u64, u64)]) -> Vec<u8> {
    support::lime_image(ranges, memory)
}

struct Images(TempDir);

impl Images {
    fn new() -> Self {
        let images = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        fs::write(images.path("first.lime"), lime(&RANGES)).unwrap();
        images
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_convert(&self, from: &str, to: &str, arguments: &[&str]) -> Output {
        let mut command = memdump();
        command.args(["convert", "--overwrite"]).arg(self.path(from)).arg(self.path(to));
        command.args(arguments).output().unwrap()
    }

    fn convert(&self, from: &str, to: &str, arguments: &[&str]) {
        let output = self.try_convert(from, to, arguments);
        assert_eq!(output.status.code(), Some(0), "{from} to {to}: {}", said(&output));
    }

    /// Writes `damaged.avml`, in which one byte is wrong.
    fn damaged(&self) {
        self.convert("first.lime", "image.avml", &[]);
        let mut image = fs::read(self.path("image.avml")).unwrap();
        let middle = image.len() / 2;
        image[middle] ^= 0x55;
        fs::write(self.path("damaged.avml"), &image).unwrap();
    }

    fn info(&self, name: &str, arguments: &[&str]) -> Value {
        let mut command = memdump();
        command.args(["info", "--json"]).arg(self.path(name)).args(arguments);
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn same(&self, one: &str, other: &str) {
        let (one_bytes, other_bytes) =
            (fs::read(self.path(one)).unwrap(), fs::read(self.path(other)).unwrap());
        assert!(one_bytes == other_bytes, "{one} and {other} differ");
    }
}

#[test]
fn every_format_and_compression_leads_back() {
    let images = Images::new();
    for format in ["avml", "elf", "kdump", "kdump-zlib", "kdump-snappy"] {
        for suffix in ["", ".zst", ".lz4", ".gz"] {
            let name = format!("image.{format}{suffix}");
            images.convert("first.lime", &name, &[]);
            images.convert(&name, "again.lime", &[]);
            images.same("again.lime", "first.lime");
            let info = images.info(&name, &["--scan"]);
            let total: u64 = RANGES.iter().map(|(start, end)| end - start).sum();
            assert_eq!((&info["present"], &info["size"]), (&total.into(), &total.into()), "{name}");
            assert_eq!(info["damage"], Value::Array(Vec::new()), "{name}");
            assert!(info["zero"].as_u64().unwrap() >= total / 5 - 16 * PAGE, "{name}");
            assert_eq!(info["regions"].as_array().unwrap().len(), RANGES.len(), "{name}");
        }
    }
}

#[test]
fn raw_and_padded_images_lead_back_with_what_they_do_not_say() {
    let images = Images::new();
    let map = images.path("map");
    let map = map.to_str().unwrap();
    images.convert("first.lime", "image.raw", &["-m", map]);
    let wanted: String =
        RANGES.iter().map(|(start, end)| format!("{start:#x} {end:#x}\n")).collect();
    assert_eq!(fs::read_to_string(map).unwrap(), wanted);
    images.convert("image.raw", "again.lime", &["--map", map]);
    images.same("again.lime", "first.lime");

    images.convert("first.lime", "image.padded", &["--range", "0-600000"]);
    let range = ["--input-format", "padded", "--range", "1000-9f000", "--range", "100000-600000"];
    images.convert("image.padded", "again.lime", &range);
    assert!(fs::read(images.path("again.lime")).unwrap() == lime(&RANGES[..2]));

    // Without an option, the formats are unknown.
    let output = images.try_convert("image.raw", "x.lime", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--map FILE"), "{}", said(&output));
}

#[test]
fn a_part_is_taken_as_a_part() {
    let images = Images::new();
    images.convert(
        "first.lime",
        "part.lime",
        &["--range", "102000-105000", "--range", "100000000-100001000"],
    );
    let parts = lime(&[(0x10_2000, 0x10_5000), (0x1_0000_0000, 0x1_0000_1000)]);
    assert!(fs::read(images.path("part.lime")).unwrap() == parts);
    let output = images.try_convert("first.lime", "x.lime", &["--range", "700000-800000"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("0x1000"), "{}", said(&output));
    let output = images.try_convert("first.lime", "x.core", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn the_same_format_is_passed_on_byte_for_byte() {
    let images = Images::new();
    // Two adjacent records, which no writer of ours makes.
    let odd = [lime(&[(0, 0x3000)]), lime(&[(0x3000, 0x5000)])].concat();
    fs::write(images.path("odd.lime"), &odd).unwrap();
    for (suffix, program) in [("zst", "zstd"), ("lz4", "lz4"), ("gz", "gzip")] {
        let packed = format!("odd.lime.{suffix}");
        images.convert("odd.lime", &packed, &[]);
        images.convert(&packed, "again.lime", &[]);
        images.same("again.lime", "odd.lime");
        // If the codec's own program is installed, it reads the same.
        let unpacked = Command::new(program).args(["-d", "-c"]).arg(images.path(&packed)).output();
        if let Ok(unpacked) = unpacked {
            assert!(unpacked.stdout == odd, "{program}");
        }
    }
}

#[test]
fn damage_is_found_and_costs_what_is_damaged() {
    let images = Images::new();
    images.damaged();
    let info = images.info("damaged.avml", &["--scan"]);
    let damage = info["damage"].as_array().unwrap();
    assert_eq!(damage.len(), 1, "{damage:?}");
    let len = damage[0]["end"].as_u64().unwrap() - damage[0]["start"].as_u64().unwrap();
    assert!(len <= 64 << 10, "{damage:?}");
    let output = images.try_convert("damaged.avml", "again.lime", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("damaged"), "{}", said(&output));
}

#[test]
fn what_an_image_has_no_content_for_is_a_gap_where_the_format_can_say_so() {
    let images = Images::new();
    images.damaged();
    let output = images.try_convert("damaged.avml", "lost.kdump", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let damage = &images.info("damaged.avml", &["--scan"])["damage"][0];
    let (from, to) = (damage["start"].as_u64().unwrap(), damage["end"].as_u64().unwrap());

    let cut = |&(start, end): &(u64, u64)| [(start, end.min(from)), (start.max(to), end)];
    let left: Vec<_> = RANGES.iter().flat_map(cut).filter(|(start, end)| start < end).collect();
    assert_eq!(left.len(), RANGES.len() + 1);
    fs::write(images.path("left.lime"), lime(&left)).unwrap();
    images.convert("lost.kdump", "gap.lime", &[]);
    images.same("gap.lime", "left.lime");
    for format in ["elf", "avml"] {
        let name = format!("gap.{format}");
        images.convert("lost.kdump", &name, &[]);
        let info = images.info(&name, &[]);
        assert_eq!(info["regions"].as_array().unwrap().len(), left.len(), "{name}");
        images.convert(&name, "again.lime", &[]);
        images.same("again.lime", "left.lime");
    }
    // The hole is still listed.
    let output = images.try_convert("lost.kdump", "gap.elf", &[]);
    let missing = format!("{from:#x}");
    assert!(said(&output).contains(&missing), "{missing}: {}", said(&output));
}

#[test]
fn what_is_no_image_is_told() {
    let images = Images::new();
    fs::write(images.path("text"), "hello, world\n").unwrap();
    fs::write(images.path("empty"), "").unwrap();
    let refusal = |name: &str| {
        let output = memdump().arg("info").arg(images.path(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        said(&output)
    };
    assert!(refusal("text").contains("68 65 6c 6c 6f"));
    assert!(refusal("empty").contains("nothing"));
    assert!(refusal("missing").contains("No such file"));
    assert!(refusal("").contains("directory"));
    let whole = fs::read(images.path("first.lime")).unwrap();
    fs::write(images.path("short.lime"), &whole[..whole.len() - 1]).unwrap();
    assert!(
        refusal("short.lime")
            .contains("1 bytes of memory are missing (from address 0x1007fffff on)")
    );
}

#[test]
fn info_is_for_people_too() {
    let images = Images::new();
    let output = memdump().arg("info").arg(images.path("first.lime")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for wanted in ["format       lime", "physical", "regions      3", "0x0000000100000000"] {
        assert!(text.contains(wanted), "{text}");
    }
}
