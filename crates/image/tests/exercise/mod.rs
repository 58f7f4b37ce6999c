//! The requirements on the readers for any bytes, shared by the fuzz targets and by the test of inputs that once broke
//! something. The content of an image is not checked here.

#![allow(unreachable_pub, reason = "public for the fuzz targets, whose library this is part of")]

use std::sync::Arc;

use memdump_image::format::{self, FORMATS, Image, OpenMode};
use memdump_image::{AddressSpace, ReadAt, Region, Run, VmCoreInfo, codec};

/// The largest number of regions of an image that are read.
const MAX_REGIONS: usize = 64;
/// The largest offset at which a compressed image is read, because everything before it has to be unpacked.
const MAX_OFFSET: u64 = 16 << 20;
/// The buffer lengths of the reads, in bytes.
const LENGTHS: [usize; 3] = [1, 64, 70_000];
/// The longest input that is unpacked to its end. One byte can stand for thousands.
const MAX_TO_END: usize = 64 << 10;

/// A way to open images: by magic, or as one format.
type Opener = Box<dyn Fn(Arc<dyn ReadAt>) -> Option<Image>>;

fn openers() -> Vec<Opener> {
    let with = |mode: OpenMode| {
        let by_magic: Opener = Box::new(move |file| Some(format::open(file, mode).ok()?.image));
        let rows = FORMATS.iter().filter_map(|format| format.open);
        let rows = rows.map(move |open| -> Opener { Box::new(move |file| open(file, mode).ok()) });
        [by_magic].into_iter().chain(rows)
    };
    with(OpenMode::Strict).chain(with(OpenMode::Salvage)).chain([halves()]).collect()
}

/// The two halves of the input as the files of one split image.
fn halves() -> Opener {
    Box::new(|file| {
        let mut first = vec![0; file.size().ok()? as usize];
        file.read_exact_at(0, &mut first).ok()?;
        let second = first.split_off(first.len() / 2);
        format::open_parts(vec![Arc::new(first), Arc::new(second)], OpenMode::Salvage).ok()
    })
}

/// Opens an image. The first byte decides how the rest is opened.
pub fn images(input: &[u8]) {
    let Some((&first, file)) = input.split_first() else { return };
    let openers = openers();
    if let Some(image) = openers[usize::from(first) % openers.len()](Arc::new(file.to_vec())) {
        walk(&image);
    }
}

/// Like [`images`], but opens it in every way, because the meaning of the first byte changes with the table of formats.
pub fn images_in_every_way(input: &[u8]) {
    let Some((_, file)) = input.split_first() else { return };
    for open in openers() {
        if let Some(image) = open(Arc::new(file.to_vec())) {
            walk(&image);
        }
    }
}

/// Unpacks a file. The first eight bytes decide where it is read.
pub fn codecs(input: &[u8]) {
    let Some((offset, packed)) = input.split_first_chunk::<8>() else { return };
    let offset = u64::from_le_bytes(*offset) % MAX_OFFSET;
    let Ok((_, unpacked)) = codec::unpacked(Arc::new(packed.to_vec())) else { return };
    let mut front = vec![0; 64 << 10];
    let mut later = front.clone();
    let at_front = unpacked.read_at(0, &mut front);
    let at_offset = unpacked.read_at(offset, &mut later);
    for read in [&at_front, &at_offset].into_iter().flatten() {
        assert!(*read <= front.len(), "a read fills no more than its buffer");
    }
    // Going backwards gives the same bytes again.
    let mut again = vec![0; front.len()];
    if let (Ok(read), Ok(reread)) = (at_front, unpacked.read_at(0, &mut again)) {
        let both = read.min(reread);
        assert!(front[..both] == again[..both], "what is read twice is the same");
    }
    if packed.len() < MAX_TO_END
        && let (Ok(size), Ok(read)) = (unpacked.size(), at_offset)
    {
        assert!(read == 0 || offset + read as u64 <= size, "no read goes over the end");
    }
}

/// Parses the bytes as notes, and as VMCOREINFO.
pub fn notes(input: &[u8]) {
    let mut total = 0;
    for note in memdump_image::elf::notes(input) {
        total += 12 + note.name.len() + note.descriptor.len();
    }
    assert!(total <= input.len(), "notes do not overlap");
    let Some(info) = VmCoreInfo::new(input.to_vec()) else { return };
    assert!(info.as_bytes().len() <= input.len().max(1) + 1);
    let _ = (info.release(), info.page_size(), info.number("phys_base"), info.symbol("_stext"));
    for line in String::from_utf8_lossy(input).lines() {
        let _ = info.get(line.split('=').next().unwrap_or_default());
    }
}

/// Uses the bytes both as a map and as the image.
pub fn maps(input: &[u8]) {
    for mode in [OpenMode::Strict, OpenMode::Salvage] {
        let map = String::from_utf8_lossy(input);
        if let Ok(image) = format::with_map(Arc::new(input.to_vec()), &map, mode) {
            assert!(mode == OpenMode::Salvage || image.problems.is_empty());
            walk(&image);
        }
    }
}

/// Checks an image's map, and reads at some addresses.
fn walk(image: &Image) {
    let regions = image.space.map().regions();
    for pair in regions.windows(2) {
        assert!(
            pair[0].extent.end() <= pair[1].extent.start(),
            "regions are in order, and disjoint"
        );
    }
    if let Some(info) = &image.facts.vmcoreinfo {
        let _ = (info.release(), info.page_size());
    }
    for region in regions.iter().take(MAX_REGIONS) {
        survey(&*image.space, region);
        let middle = region.extent.start() + region.extent.len() / 2;
        for addr in [region.extent.start(), middle, region.extent.last()] {
            read(&*image.space, region, addr);
        }
    }
}

fn survey(space: &dyn AddressSpace, region: &Region) {
    let Ok(runs) = space.survey(region.extent) else { return };
    assert!(!runs.is_empty(), "a survey covers something");
    let mut at = region.extent.start();
    for run in &runs {
        assert_eq!(run.extent.start(), at, "a survey has no gaps");
        at = run.extent.end();
    }
    assert!(at <= region.extent.end(), "no survey leaves its extent");
    let Some(run) = runs.iter().find(|run| run.presence.is_readable()) else { return };
    let mut buf = vec![0; run.extent.len().min(4096) as usize];
    let Some(part) = run.extent.split_at(buf.len() as u64).0 else { return };
    let part = Run { extent: part, presence: run.presence };
    if let Ok(read) = space.read_runs(&[part], &mut buf) {
        assert!((1..=buf.len()).contains(&read), "{read} bytes of {}", buf.len());
    }
}

/// Reads at `addr` into buffers of several lengths. The bytes that they share must be equal.
fn read(space: &dyn AddressSpace, region: &Region, addr: u64) {
    let mut longest: Option<Vec<u8>> = None;
    for len in LENGTHS {
        let mut buf = vec![0; len];
        let Ok(read) = space.read_at(addr, &mut buf) else { continue };
        assert!((1..=len).contains(&read), "{read} bytes of {len} at {addr:#x}");
        assert!(read as u64 <= region.extent.end() - addr, "a read at {addr:#x} leaves its region");
        buf.truncate(read);
        if let Some(before) = &longest {
            let both = before.len().min(read);
            assert!(before[..both] == buf[..both], "reads at {addr:#x} differ");
        }
        longest = Some(buf);
    }
}
