//! Programs that hold memory in a known state and then never touch it again: patterned, secret or poisoned. Each prints one line
//! of JSON that says where the memory is, and sleeps. `frames` lists what `/proc/kpageflags` calls unreadable, and `capture` is for
//! its own file.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lab_guest::pattern::{self, PAGE};
use lab_guest::protocol::Held;

use crate::capture;
use crate::sys::{Memory, Pages};

const USAGE: &str = "fill BYTES SEED small|huge | secret PAGES | poison PAGES | frames | \
                     capture KERNEL INITRAMFS CMDLINE";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", bytes, seed, pages] => fill(bytes.parse()?, seed.parse()?, pages),
        ["secret", pages] => secret(pages.parse()?),
        ["poison", pages] => poison(pages.parse()?),
        ["frames"] => frames(),
        ["capture", kernel, initramfs, cmdline] => {
            capture::load(Path::new(kernel), Path::new(initramfs), cmdline)
        }
        _ => bail!("usage: lab-guest {USAGE}"),
    }
}

fn fill(bytes: usize, seed: u64, pages: &str) -> Result<()> {
    let pages = match pages {
        "small" => Pages::Small,
        "huge" => Pages::Huge,
        other => bail!("pages are `small` or `huge`, not `{other}`"),
    };
    let mut memory = Memory::anonymous(bytes.next_multiple_of(PAGE), pages)
        .with_context(|| format!("allocate {bytes} bytes"))?;
    let frames = resident_frames(&mut memory)?;
    for (page, frame) in memory.bytes().as_chunks_mut::<PAGE>().0.iter_mut().zip(&frames) {
        pattern::fill(page, frame * PAGE as u64, seed);
    }
    ensure!(resident_frames(&mut memory)? == frames, "pages moved while they were filled");
    hold(frames)
}

fn secret(pages: usize) -> Result<()> {
    let mut memory = Memory::secret(pages * PAGE)
        .context("memfd_secret (on kernels before 6.5 it needs `secretmem.enable=1`)")?;
    memory.bytes().fill(0x5e);
    let frames = resident_frames(&mut memory)?;
    hold(frames)
}

fn poison(pages: usize) -> Result<()> {
    let mut memory = Memory::anonymous(pages * PAGE, Pages::Small).context("allocate")?;
    memory.bytes().fill(0xbd);
    let frames = resident_frames(&mut memory)?;
    memory
        .poison(0..pages * PAGE)
        .context("madvise(MADV_HWPOISON) (needs CONFIG_MEMORY_FAILURE)")?;
    hold(frames)
}

/// Says where the memory is and sleeps until it is killed.
fn hold(frames: Vec<u64>) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, &Held::of_frames(frames, PAGE as u64))?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    loop {
        std::thread::park();
    }
}

/// The page frame of each page, from `/proc/self/pagemap` (Documentation/admin-guide/mm/pagemap.rst: bits 0-54 the frame, bit 63
/// present).
fn resident_frames(memory: &mut Memory) -> Result<Vec<u64>> {
    let pages = memory.bytes().len() / PAGE;
    let mut entries = vec![0; pages * 8];
    let offset = (memory.address() / PAGE * 8) as u64;
    File::open("/proc/self/pagemap")
        .and_then(|file| file.read_exact_at(&mut entries, offset))
        .context("read /proc/self/pagemap")?;
    let frames: Vec<u64> = entries
        .as_chunks()
        .0
        .iter()
        .map(|&entry| u64::from_le_bytes(entry))
        .map(|entry| if entry >> 63 == 1 { entry & ((1 << 55) - 1) } else { 0 })
        .collect();
    ensure!(
        frames.iter().all(|&frame| frame != 0),
        "a page is not resident or its frame is hidden"
    );
    Ok(frames)
}

/// Prints the frames that are offline (a balloon's, for one) or poisoned. Flag numbers: include/uapi/linux/kernel-page-flags.h.
fn frames() -> Result<()> {
    const HWPOISON: u64 = 1 << 19;
    const OFFLINE: u64 = 1 << 23;
    let mut flags = BufReader::with_capacity(
        1 << 20,
        File::open("/proc/kpageflags").context("open /proc/kpageflags")?,
    );
    let mut unreadable = Vec::new();
    let mut entry = [0; 8];
    for frame in 0.. {
        match flags.read_exact(&mut entry) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error).context("read /proc/kpageflags"),
        }
        // Frames that have no page at all answer NOPAGE alone, so nothing beyond memory is listed.
        if u64::from_le_bytes(entry) & (HWPOISON | OFFLINE) != 0 {
            unreadable.push(frame);
        }
    }
    println!("{}", serde_json::to_string(&Held::of_frames(unreadable, PAGE as u64))?);
    Ok(())
}
