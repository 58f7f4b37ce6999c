//! memdump finds in a guest's memory what is there: `strings`, `hexdump` and `search` on an image beside GNU
//! strings, hexdump(1), grep and ripgrep on the same bytes, line for line; and in the guest itself, on its live memory.
//!
//! Small and made-up memory, and cores of processes, are the matter of the tests in `crates/cli`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::command::Running;
use crate::lab::Range;
use crate::lab::guest::{Finished, Guest};
use crate::lab::image::{By, Format, Image};
use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::machine::Machine;
use crate::lab::payload;
use crate::lab::view::symbols;
use crate::{scratch, setup};

/// The longest that a program may take.
const LIMIT: Duration = Duration::from_secs(120);
/// RAM of the guest, in MiB: each of the programs goes over it many times.
const RAM: u64 = 192;
/// The most memory of the guest that the command may use while it looks, in KiB.
const PEAK_KIB: u64 = 32 << 10;

/// The encodings that GNU strings has, and the fewest characters.
const STRINGS: &[(&str, &str)] = &[
    ("s", "4"),
    ("s", "12"),
    ("S", "4"),
    ("S", "12"),
    ("l", "4"),
    ("l", "12"),
    ("b", "4"),
    ("b", "12"),
    ("L", "4"),
    ("L", "12"),
    ("B", "4"),
    ("B", "12"),
];
/// Texts that every kernel's memory has many times, for grep; the expressions below, without a line feed, are for ripgrep.
const TEXTS: &[&str] = &["Linux version", "root", "/proc", "lab-guest"];
const EXPRESSIONS: &[&str] = &[
    r"Linux version [0-9][0-9a-z.-]+",
    r"[a-z_]+=[0-9]+ [a-z_]+=",
    r"\x7fELF[\x01\x02]\x01\x01",
    r"/(lib|bin)/[a-z0-9_./-]{3,200}",
];

/// Looks into the memory of one guest; a line for each thing that was proved.
pub(crate) fn check(programs: &[Program]) -> Result<Vec<String>> {
    setup::apt(&["binutils", "bsdextrautils", "qemu-system-x86", "ripgrep"])?;
    let mut guest = Guest::boot(Machine::new("6.1-looked", Series::V6_1, RAM), programs)?;
    let mut proved = live(&mut guest)?;
    let image = guest.acquire(Format::Lime.name())?;
    let folder = scratch::on_disk()?;
    let seen = Seen::of(image, payload::memdump(programs)?, folder.path())?;
    proved.extend(seen.strings()?);
    proved.push(seen.hexdump()?);
    proved.extend(seen.search()?);
    Ok(proved)
}

/// An image, and the same memory as the other programs can read it.
struct Seen {
    memdump: PathBuf,
    image: PathBuf,
    /// Stretches of memory, each in a file of its own: what lies across a hole is no neighbour.
    parts: Vec<(Range, PathBuf)>,
    folder: PathBuf,
}

impl Seen {
    fn of(image: PathBuf, memdump: PathBuf, folder: &Path) -> Result<Self> {
        let lime = Image::open(&image, Format::Lime, By::Physical, "", false)?;
        let mut ranges: Vec<Range> = Vec::new();
        for range in lime.ranges() {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range.clone()),
            }
        }
        let mut parts = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        for range in ranges {
            let path = folder.join(format!("{:x}", range.start));
            let mut file = File::create(&path)?;
            let mut at = range.start;
            while at < range.end {
                let count = (range.end - at).min(buffer.len() as u64) as usize;
                ensure!(lime.read(at, &mut buffer[..count])?, "the image has no {at:#x}");
                file.write_all(&buffer[..count])?;
                at += count as u64;
            }
            parts.push((range, path));
        }
        Ok(Self { memdump, image, parts, folder: folder.into() })
    }

    /// The command's output for the image. Nothing may be missing, so its status is 0, or 1 where nothing was found.
    fn ours(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        // The target stands before the other words without a dash.
        let mut words = Command::new(&self.memdump);
        words.arg(arguments[0]).arg(&self.image).args(&arguments[1..]);
        printed(&mut words, &self.folder.join("ours"))
    }

    /// Another program's output for a stretch.
    fn theirs(&self, program: &str, arguments: &[&str], part: &Path) -> Result<Vec<u8>> {
        let mut command = Command::new(program);
        command.args(arguments).arg(part).env("LC_ALL", "C");
        printed(&mut command, &self.folder.join("theirs"))
    }

    fn strings(&self) -> Result<Vec<String>> {
        let mut proved = Vec::new();
        for &(encoding, fewest) in STRINGS {
            let arguments = ["-e", encoding, "-n", fewest, "-t", "x"];
            let (ours, theirs) = thread::scope(|scope| {
                let ours =
                    scope.spawn(|| self.ours(&[&["strings", "-q"], &arguments[..]].concat()));
                let mut theirs = Vec::new();
                for (range, path) in &self.parts {
                    let arguments = [&["-a"], &arguments[..]].concat();
                    let found = self.theirs("strings", &arguments, path)?;
                    moved(&found, range.start, &mut theirs)?;
                }
                let ours = ours.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
                Ok::<_, anyhow::Error>((ours, theirs))
            })?;
            let count = same_lines(&ours, &theirs)
                .with_context(|| format!("strings -e {encoding} -n {fewest}"))?;
            proved.push(format!(
                "strings -e {encoding} -n {fewest} of the image: {count} lines, as GNU strings prints them"
            ));
        }
        Ok(proved)
    }

    /// The start of each stretch, its end, and two places between.
    fn hexdump(&self) -> Result<String> {
        const LEN: u64 = 2 << 20;
        let mut lines = 0;
        for (range, path) in &self.parts {
            let len = range.end - range.start;
            for skip in [0, len / 3, len / 2, len.saturating_sub(LEN)] {
                let (skip, count) = (skip & !15, LEN.min(len - (skip & !15)));
                let at = range.start + skip;
                let ours = self.ours(&["hexdump", "-q", &format!("{at:#x}+{count:#x}")])?;
                let words = ["-C", "-s", &skip.to_string(), "-n", &count.to_string()];
                let mut theirs = Vec::new();
                for line in lines_of(&self.theirs("hexdump", &words, path)?) {
                    let (address, rest) = line.split_at(line.len().min(8));
                    match hexadecimal(address) {
                        Some(offset) => write!(theirs, "{:016x}", offset + range.start)?,
                        None => theirs.extend_from_slice(address),
                    }
                    theirs.extend_from_slice(rest);
                    theirs.push(b'\n');
                }
                lines += same_lines(&ours, &theirs)
                    .with_context(|| format!("hexdump of {count:#x} bytes at {at:#x}"))?;
            }
        }
        Ok(format!("hexdump of the image here and there: {lines} lines, as hexdump -C prints them"))
    }

    fn search(&self) -> Result<Vec<String>> {
        let mut proved = Vec::new();
        for text in TEXTS {
            proved.push(self.found("grep", &["-obUaF", "-e", text], &[text], text)?);
        }
        for expression in EXPRESSIONS {
            let theirs = [
                "-aob",
                "--no-unicode",
                "--encoding",
                "none",
                "--no-line-number",
                "-e",
                expression,
            ];
            proved.push(self.found("rg", &theirs, &["--regex", expression], expression)?);
        }
        Ok(proved)
    }

    /// The places of something, counted.
    fn found(&self, program: &str, theirs: &[&str], ours: &[&str], what: &str) -> Result<String> {
        let mut wanted: Vec<u64> = Vec::new();
        for (range, path) in &self.parts {
            // What was found may be any bytes, a line feed alone excepted.
            for line in lines_of(&self.theirs(program, theirs, path)?) {
                let colon = line.iter().position(|&byte| byte == b':').context("no offset")?;
                let offset: u64 = std::str::from_utf8(&line[..colon])?.parse()?;
                wanted.push(range.start + offset);
            }
        }
        let mut found = Vec::new();
        for line in lines_of(&self.ours(&[&["search", "-q", "--json"], ours].concat())?) {
            let line: serde_json::Value = serde_json::from_slice(line)?;
            found.extend(line["address"].as_u64());
        }
        ensure!(!wanted.is_empty(), "{program} finds no {what}");
        if let Some(at) =
            (0..wanted.len().max(found.len())).find(|&i| wanted.get(i) != found.get(i))
        {
            bail!(
                "search {what}: {:x?} where {program} finds {:x?}, the match {at}",
                found.get(at),
                wanted.get(at)
            );
        }
        let count = self.ours(&[&["search", "-q", "--count"], ours].concat())?;
        let count: usize = String::from_utf8(count)?.trim().parse()?;
        ensure!(count == wanted.len(), "search --count {what}: {count}, not {}", wanted.len());
        Ok(format!("search {what} of the image: {count} matches, where {program} finds them"))
    }
}

/// Runs a program, however much it prints; a status of 1 is that of nothing found.
fn printed(command: &mut Command, to: &Path) -> Result<Vec<u8>> {
    let errors = to.with_extension("errors");
    command.stdin(Stdio::null()).stdout(File::create(to)?).stderr(File::create(&errors)?);
    let status = Running::start(command)?.finish(LIMIT)?;
    let said = fs::read_to_string(&errors)?;
    let is_fine = matches!(status.code(), Some(0 | 1)) && said.is_empty();
    ensure!(is_fine, "{command:?}: {status}: {said}");
    fs::read(to).with_context(|| format!("read {}", to.display()))
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends lines that begin with an offset, `by` higher, in seven columns as strings(1) has it.
fn moved(text: &[u8], by: u64, to: &mut Vec<u8>) -> Result<()> {
    for line in lines_of(text) {
        let begin = line.iter().position(|&byte| byte != b' ').context("an empty line")?;
        let len = line[begin..].iter().position(|&byte| byte == b' ').context("no offset")?;
        let offset = hexadecimal(&line[begin..begin + len]).context("no offset")?;
        write!(to, "{:7x}", offset + by)?;
        to.extend_from_slice(&line[begin + len..]);
        to.push(b'\n');
    }
    Ok(())
}

/// The number of lines in both, which must be the same.
fn same_lines(ours: &[u8], theirs: &[u8]) -> Result<usize> {
    if ours == theirs {
        return Ok(lines_of(ours).count());
    }
    let mut pairs = lines_of(ours).zip(lines_of(theirs));
    let text = |line: &[u8]| String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
    if let Some((ours, theirs)) = pairs.find(|(ours, theirs)| ours != theirs) {
        bail!("ours    {}\ntheirs  {}", text(ours), text(theirs));
    }
    bail!("{} lines, theirs are {}", lines_of(ours).count(), lines_of(theirs).count())
}

/// The commands on the guest's own memory, as it runs.
fn live(guest: &mut Guest) -> Result<Vec<String>> {
    let banner = symbols(guest, &["linux_banner"])?["linux_banner"];
    // Both banners begin so (init/version.c).
    let text = format!("Linux version {} (", guest.release);
    let mut proved = Vec::new();

    // What runs in guests is built without the feature.
    let refused = guest.run("memdump search physical --yara /tmp/rules.yar")?;
    let says = refused.stderr.trim();
    ensure!(
        refused.status == 2 && says.lines().count() == 1 && says.contains("--features yara"),
        "a build without YARA, asked for it: {} {says}",
        refused.status
    );
    proved.push(format!("search --yara without it: {says}"));

    let dumped = look(guest, &format!("memdump hexdump -q kernel {banner:#x}+64"))?;
    let mut bytes = String::new();
    for line in dumped.stdout.lines() {
        bytes += line.rsplit_once("  |").map_or("", |(_, text)| text.trim_end_matches('|'));
    }
    ensure!(
        dumped.stdout.starts_with(&format!("{banner:016x}  ")) && bytes.starts_with(&text),
        "hexdump kernel at linux_banner, {banner:#x}, prints {}",
        dumped.stdout
    );
    proved.push(told("hexdump kernel: linux_banner says its release", &dumped));

    let listed = look(guest, "memdump strings -q -n 12 -t x kernel | grep -F 'Linux version '")?;
    let wanted = format!("{banner:x} {text}");
    let is_there = listed.stdout.lines().any(|line| line.trim_start().starts_with(&wanted));
    ensure!(is_there, "strings kernel has no {wanted}: {}", listed.stdout);
    proved.push(told("strings kernel: linux_banner is where kallsyms says", &listed));

    let found = look(guest, "memdump search -q --json physical 'Linux version'")?;
    let hex: String =
        text.bytes().skip("Linux version".len()).map(|b| format!("{b:02x}")).collect();
    let after = found.stdout.lines().filter(|line| line.contains(&format!("\"after\":\"{hex}")));
    let count = after.count();
    ensure!(count > 0, "search physical finds no banner: {}", found.stdout);
    proved.push(told(&format!("search physical: the release {count} times"), &found));

    let info = look(guest, "memdump info --json physical")?;
    let said: serde_json::Value = serde_json::from_str(&info.stdout)?;
    let present = said["present"].as_u64().context("info does not say how much is present")?;
    ensure!(
        (present >> 20) <= RAM && (present >> 20) > RAM * 3 / 4,
        "info physical: {present} bytes of a machine with {RAM} MiB"
    );
    proved.push(told(&format!("info physical: {present} bytes"), &info));
    Ok(proved)
}

/// Runs the command in the guest; nothing may be missing, and it must stay small.
fn look(guest: &mut Guest, command: &str) -> Result<Finished> {
    let done = guest.run(&format!("set -o pipefail; {command}"))?;
    let Finished { status, stderr, peak_kib, .. } = &done;
    ensure!(*status == 0, "`{command}` in the guest: {status} {stderr}");
    ensure!(*peak_kib < PEAK_KIB, "`{command}` took {peak_kib} KiB of memory");
    Ok(done)
}

fn told(what: &str, done: &Finished) -> String {
    format!("in the guest {what}; {:.1} s, {} KiB", done.time.as_secs_f64(), done.peak_kib)
}
