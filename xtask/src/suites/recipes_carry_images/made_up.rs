//! The memory of a made-up machine, as its `/proc/kcore` and `/proc/iomem` would show it, and the LiME image that it has to give.
//! Both are laid out by hand: nothing of the code under test has a part in it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::run::sha256;

const PAGE: usize = 4096;
/// RAM: three ranges of whole pages, first address and one beyond. 96 MiB and a bit.
const RAM: [(u64, u64); 3] =
    [(0x1000, 0x9_f000), (0x10_0000, 0x400_0000), (0x1_0000_0000, 0x1_0210_3000)];
/// The address at which x86-64 maps all RAM (`Documentation/arch/x86/x86_64/mm.rst`, four levels).
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
/// The offset in the file at which the segments of RAM begin; the headers are before it.
const DATA: u64 = 0x2000;

/// Files in a directory of their own.
#[derive(Debug)]
pub(super) struct Memory {
    folder: TempDir,
    image_bytes: u64,
    /// Of the image, in hexadecimal.
    pub(super) sha256: String,
}

impl Memory {
    /// Fills it with noise and writes the files.
    pub(super) fn make_up() -> Result<Self> {
        let folder = tempfile::tempdir().context("create a directory for made-up memory")?;
        let kcore = File::create(folder.path().join("kcore")).context("create kcore")?;
        let image = folder.path().join("expected.lime");
        let mut lime = BufWriter::new(File::create(&image)?);
        let (mut noise, mut at) = (Noise(1), DATA);
        kcore.write_all_at(&headers(), 0)?;
        for (start, end) in RAM {
            lime.write_all(&laid_out::record_header(b"EMiL", 1, start, end - 1))?;
            for address in (start..end).step_by(PAGE) {
                let page = noise.page();
                kcore.write_all_at(&page, at + (address - start))?;
                lime.write_all(&page)?;
            }
            at += end - start;
        }
        lime.into_inner()?.sync_all()?;
        let mut iomem = String::new();
        for (start, end) in RAM {
            iomem += &format!("{start:08x}-{:08x} : System RAM\n", end - 1);
        }
        fs::write(folder.path().join("iomem"), iomem)?;
        let (image_bytes, sha256) = (fs::metadata(&image)?.len(), sha256(&image)?);
        Ok(Self { folder, image_bytes, sha256 })
    }

    /// The file to give to `--source`.
    pub(super) fn kcore(&self) -> PathBuf {
        self.folder.path().join("kcore")
    }

    /// The size of that image.
    pub(super) fn image_bytes(&self) -> u64 {
        self.image_bytes
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): noise that is the same each time.
struct Noise(u64);

impl Noise {
    /// A page. It begins with a letter that a program which takes commands from its input might take for one.
    fn page(&mut self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        for word in page.chunks_exact_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        page[0] = b"QRkB"[usize::from(page[1] % 4)];
        page
    }
}

/// The headers and the note of a kcore of Linux 6.1 (`fs/proc/kcore.c`).
fn headers() -> Vec<u8> {
    let note = laid_out::elf_note("VMCOREINFO", 0, b"OSRELEASE=6.1.0-made-up\nPAGESIZE=4096\n");
    // Offset, virtual address, physical address, size. Text is an alias of RAM, vmalloc stands for what no RAM is behind.
    let text = [DATA + (RAM[0].1 - RAM[0].0), 0xffff_ffff_8100_0000, RAM[1].0, 0x10_0000];
    let vmalloc = [DATA, 0xffff_c900_0000_0000, u64::MAX, 1 << 45];
    let mut segments = vec![text, vmalloc];
    let mut at = DATA;
    for (start, end) in RAM {
        segments.push([at, DIRECT_MAP + start, start, end - start]);
        at += end - start;
    }
    laid_out::elf_head(&note, &segments)
}
