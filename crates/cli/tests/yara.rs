//! `memdump search --yara`, compared with Debian's yara on the same bytes, and on running processes.

#[path = "support/looking.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::{Files, Waiting, json_lines, lime, memdump, printed, random, said};

/// Rules with patterns of every kind, and conditions of which some hold and some do not.
const RULES: &str = r#"
rule texts {
    strings:
        $user = "user "
        $both = "wide text" wide ascii
        $case = "SESSION" nocase
        $whole = "across" fullword
        $other = "border" xor(1-255)
    condition: any of them
}
rule bytes {
    strings:
        $elf = { 7f 45 4c 46 }
        $gap = { 75 73 [1-2] 72 }
        $nibble = { 7? 65 78 74 }
        $choice = { 00 (41 | 61 62) 0? ff }
        $ = "planted"
    condition: any of them
}
rule expressions {
    strings:
        $at = /user [0-9]{1,3} at [0-9]/
        $either = /[a-z]-(16|32) text/
        $word = /[a-f]{3}[0-9]/ nocase
    condition: any of them
}
rule of_several { strings: $a = "user 1" $b = "10.0." condition: all of them and #a > 3 and @a[1] < @a[2] }
rule of_the_start { strings: $magic = { 7f 45 4c 46 } condition: $magic at 0 and uint16(16) == 4 }
rule never { strings: $a = "user" $b = "not to be found 7351" condition: all of them }
private rule secret { strings: $a = "user" condition: $a }
rule through_another { condition: secret }
"#;

/// A match: the address, the rule and the pattern.
type Line = (u64, String, String);

/// The matches that `yara -s` prints: a rule and the file's name, then `0xOFFSET:$pattern: bytes` for each match.
fn theirs(rules: &Path, file: &Path) -> Vec<Line> {
    let text = printed("yara", &["-w", "-s", rules.to_str().unwrap()], file);
    let mut lines = Vec::new();
    let mut rule: Option<(String, bool)> = None;
    let end = |rule: &mut Option<(String, bool)>, lines: &mut Vec<Line>| {
        if let Some((rule, false)) = rule.take() {
            lines.push((0, rule, String::new()));
        }
    };
    for line in String::from_utf8_lossy(&text).lines() {
        match (line.strip_prefix("0x"), &mut rule) {
            (Some(found), Some((rule, has_matches))) => {
                let mut words = found.splitn(3, ':');
                let offset = u64::from_str_radix(words.next().unwrap(), 16).unwrap();
                lines.push((offset, rule.clone(), words.next().unwrap().into()));
                *has_matches = true;
            }
            _ => {
                end(&mut rule, &mut lines);
                rule = Some((line.split(' ').next().unwrap().into(), false));
            }
        }
    }
    end(&mut rule, &mut lines);
    lines.sort();
    lines
}

fn search(rules: &Path, target: &str, more: &[&str]) -> Output {
    let mut command = memdump();
    command.args(["search", target, "--json", "--yara"]).arg(rules).args(more);
    command.output().unwrap()
}

/// The matches that memdump prints, in their order.
fn lines(output: &Output) -> Vec<Line> {
    let mut lines = json_lines(output);
    let summary = lines.pop().unwrap();
    assert_eq!(summary["summary"]["found"], lines.len() as u64);
    let name = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let line = |line: serde_json::Value| {
        (line["address"].as_u64().unwrap(), name(&line["rule"]), name(&line["pattern"]))
    };
    lines.into_iter().map(line).collect()
}

#[test]
fn agrees_with_yara() {
    let files = Files::new();
    let rules = files.folder.path().join("rules.yar");
    fs::write(&rules, RULES).unwrap();
    for path in &files.paths {
        let len = path.metadata().unwrap().len();
        assert!(len <= 32 << 20, "{path:?} is more than a window: {len}");
        let output = search(&rules, path.to_str().unwrap(), &["--raw"]);
        let mut ours = lines(&output);
        assert!(ours.is_sorted_by_key(|line| line.0), "{path:?}");
        ours.sort();
        let theirs = theirs(&rules, path);
        let status = if theirs.is_empty() { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(status), "{path:?}: {}", said(&output));
        let wrong = (0..ours.len().max(theirs.len())).find(|&i| ours.get(i) != theirs.get(i));
        if let Some(at) = wrong {
            panic!("{path:?}: {:?}, yara has {:?}", ours.get(at), theirs.get(at));
        }
        let has = |rule: &str| ours.iter().any(|line| line.1 == rule);
        if path.ends_with("python.core") {
            assert!(has("of_several") && has("of_the_start") && has("through_another"));
        }
        assert!(!has("never") && !has("secret"));
    }
}

#[test]
fn what_is_longer_than_a_window_agrees_with_yara_too() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yar");
    fs::write(
        &rules,
        "rule planted { strings: $p = \"planted\" $long = { 62 65 67 69 6e [100000-130000] 65 6e 64 } condition: any of them }",
    )
    .unwrap();
    let mut bytes: Vec<u8> = random().into_iter().cycle().take(80 * MIB).collect();
    // Windows begin every 31 MiB, and end 1 MiB after the start of the next one.
    for border in [31 * MIB, 32 * MIB, 62 * MIB, 63 * MIB] {
        for offset in [-20_i64, -7, -3, 0, 5] {
            let at = border.checked_add_signed(offset as isize * 20).unwrap();
            bytes[at - 3..at + 4].copy_from_slice(b"planted");
        }
        let at = border - 150_000;
        bytes[at..at + 5].copy_from_slice(b"begin");
        bytes[at + 5..at + 120_000].fill(b'x');
        bytes[at + 120_000..at + 120_003].copy_from_slice(b"end");
    }
    let file = folder.path().join("large");
    fs::write(&file, &bytes).unwrap();
    let wanted = theirs(&rules, &file);
    assert_eq!(wanted.len(), 24);
    for threads in ["1", "3"] {
        let output = search(&rules, file.to_str().unwrap(), &["--raw", "--threads", threads]);
        assert_eq!(lines(&output), wanted, "{}", said(&output));
    }
    let counted = memdump()
        .args(["search", "--raw", "--count", "--yara"])
        .args([&rules, &file])
        .output()
        .unwrap();
    let text = String::from_utf8(counted.stdout).unwrap();
    assert_eq!(text, "         4  planted:$long\n        20  planted:$p\n");
}

#[test]
fn a_process_and_an_image_have_true_addresses_and_regions() {
    let process = Waiting::python(
        "text = ctypes.create_string_buffer(b'the needle of' + b' this test')\n\
         print(ctypes.addressof(text), flush=True)",
    );
    let address: u64 = process.said.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yar");
    // The rules themselves do not contain the text.
    let rule = "rule needle { strings: $n = { 74 68 65 20 6e 65 65 64 6c 65 20 6f 66 20 74 68 69 73 } condition: $n }";
    fs::write(&rules, rule).unwrap();
    let before = process.status("VmRSS");
    let output = search(&rules, &process.pid(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = lines(&output);
    assert!(found.contains(&(address, "needle".into(), "$n".into())), "{found:?}");
    let after = process.status("VmRSS");
    assert!(after <= before + 64, "{before} kB before, {after} kB after");

    let image = folder.path().join("ram.lime");
    let mut page = vec![b'.'; 4096];
    page[4090..].copy_from_slice(b"the ne");
    let mut next = page.clone();
    next[..12].copy_from_slice(b"edle of this");
    next[100..118].copy_from_slice(b"the needle of this");
    fs::write(&image, [lime(0x5000, &page), lime(0x7000, &next)].concat()).unwrap();
    let mut command = memdump();
    let output = command.args(["search", "-C", "2", "--yara"]).args([&rules, &image]).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text, "   7064 unknown                needle:$n        ..the needle of this..\n");
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
}

#[test]
fn errors_and_what_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), b"some text").unwrap();
    let run = |rules: &str, more: &[&str]| {
        fs::write(path("rules.yar"), rules).unwrap();
        let output = search(&path("rules.yar"), path("file").to_str().unwrap(), more);
        (output.status.code().unwrap(), said(&output))
    };
    let text = "rule text { strings: $t = \"text\" condition: $t }";
    assert_eq!(run(text, &["--raw"]), (0, String::new()));
    assert_eq!(run("rule nothing { condition: false }", &["--raw"]).0, 1);
    let (status, message) = run("rule a { strings: $a = \"x\" condition: $b }", &["--raw"]);
    assert!(status == 2 && message.contains("rules.yar:1"), "{message}");
    assert!(message.lines().all(|line| line.starts_with("memdump: ")), "{message}");
    let with_pe = format!("import \"pe\" {text} rule b {{ condition: pe.is_pe }}");
    let (status, message) = run(&with_pe, &["--raw"]);
    assert!(status == 0 && message.contains("the rule b is left out"), "{message}");
    // A second file of rules.
    fs::write(path("other.yar"), text).unwrap();
    assert_eq!(run("include \"other.yar\"", &["--raw"]).0, 0);
    let missing = search(&path("nowhere.yar"), path("file").to_str().unwrap(), &["--raw"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("cannot open the rules"), "{}", said(&missing));
    assert_eq!(run(text, &["--raw", "-i"]).0, 2);
    let output = search(&path("rules.yar"), "4294967295", &[]);
    assert_eq!(output.status.code(), Some(3));
}
