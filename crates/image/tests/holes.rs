//! A hole is not a zero. An image that lacks pages is copied to each format through the public API alone, by a program that does
//! nothing about holes itself.

use std::io;
use std::sync::Arc;

use memdump_image::format::{Format, OpenMode, OpenedImage, open};
use memdump_image::{
    Cause, Chunk, CopyOptions, Extent, Hole, HoleEncoding, Observer, Plan, Summary, copy,
};

use laid_out::{
    Head, Laid, Load, PAGE, STORED, avml_record, elf, lay_out, lime_record, process_note, text_page,
};

/// An observer that does nothing.
struct Silent;

impl Observer for Silent {
    fn chunk(&mut self, _: &Chunk<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wants_stop(&self) -> bool {
        false
    }
}

fn convert(from: Vec<u8>, to: &str) -> (Vec<u8>, Summary) {
    let OpenedImage { image, .. } = open(Arc::new(from), OpenMode::Salvage).unwrap();
    let plan = Plan::whole(image.space.map().clone(), PAGE as u64, image.facts);
    let mut output = Vec::new();
    let options = CopyOptions::default();
    let mut writer = (Format::by_name(to).unwrap().writer)(&mut output);
    let (summary, result) = copy(&*image.space, &plan, &mut *writer, &options, &mut Silent);
    result.unwrap();
    drop(writer);
    (output, summary)
}

/// A kdump file of four pages of RAM that lacks the second and the third.
fn kdump() -> Vec<u8> {
    let page = |frame| (frame, Laid::Page(STORED, text_page(frame)));
    let pages = [page(0), (1, Laid::RamOnly), (2, Laid::RamOnly), page(3)];
    lay_out(&Head::plain(6), &pages.into())
}

fn missing() -> Hole {
    Hole { extent: Extent::half_open(0x1000, 0x3000).unwrap(), cause: Cause::NotInImage }
}

fn assert_lists_it(summary: &Summary, format: &str) {
    assert_eq!(summary.holes.listed(), [missing()], "{format}");
    assert_eq!(summary.holes.total(), 2 * PAGE as u64, "{format}");
    assert_eq!(summary.bytes, 2 * PAGE as u64, "{format}");
}

#[test]
fn pages_that_an_image_lacks_are_a_gap_between_two_records() {
    type Record = fn(u64, &[u8]) -> Vec<u8>;
    for (format, record) in [("lime", lime_record as Record), ("avml", avml_record)] {
        let (image, summary) = convert(kdump(), format);
        let wanted = [record(0, &text_page(0)), record(0x3000, &text_page(3))].concat();
        assert!(image == wanted, "{format}");
        assert_lists_it(&summary, format);
    }
}

#[test]
fn in_elf_they_are_a_gap_between_two_segments() {
    let (image, summary) = convert(kdump(), "elf");
    assert_lists_it(&summary, "elf");
    let number = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let headers = usize::from(u16::from_le_bytes([image[56], image[57]]));
    // The p_offset, p_paddr and p_filesz of each PT_LOAD.
    let loads: Vec<_> = (0..headers)
        .map(|index| 64 + 56 * index)
        .filter(|&at| image[at..at + 4] == 1_u32.to_le_bytes())
        .map(|at| (number(at + 8) as usize, number(at + 24), number(at + 32)))
        .collect();
    assert_eq!(
        loads.iter().map(|load| (load.1, load.2)).collect::<Vec<_>>(),
        [(0, 0x1000), (0x3000, 0x1000)]
    );
    for (offset, addr, _) in loads {
        assert!(image[offset..offset + PAGE] == text_page(addr / PAGE as u64));
    }
}

#[test]
fn kdump_keeps_them_apart_itself() {
    let (image, summary) = convert(kdump(), "kdump");
    assert_lists_it(&summary, "kdump");
    // The first bitmap lists RAM, the second the pages that have a descriptor.
    let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let (first, len) = (PAGE * (1 + number(432)), PAGE * number(436) / 2);
    assert_eq!((image[first], image[first + len]), (0b1111, 0b1111));
    // A missing page has a descriptor of zeros.
    let descriptors = image[first + 2 * len..].chunks(24).take(4);
    let is_there: Vec<_> = descriptors.map(|bytes| bytes != [0; 24]).collect();
    assert_eq!(is_there, [true, false, false, true]);
    let (_, summary) = convert(image, "kdump");
    assert_lists_it(&summary, "kdump from kdump");
}

#[test]
fn what_has_no_gaps_says_so_in_the_summary() {
    let (image, summary) = convert(kdump(), "padded");
    assert_lists_it(&summary, "padded");
    assert!(image == [text_page(0), vec![0; 2 * PAGE], text_page(3)].concat());
    let (image, summary) = convert(kdump(), "raw");
    assert_lists_it(&summary, "raw");
    assert!(image == [text_page(0), text_page(3)].concat());
}

#[test]
fn what_was_cut_off_a_core_has_no_content_in_the_next() {
    let load = Load { vaddr: 0x1000, paddr: 0, size: 0x3000 };
    let core = elf(&process_note(), &[(load, &text_page(7))]);
    let (image, summary) = convert(core, "core");
    let extent = Extent::half_open(0x2000, 0x4000).unwrap();
    assert_eq!(summary.holes.listed(), [Hole { extent, cause: Cause::Truncated }]);
    assert_eq!(summary.bytes, PAGE as u64);
    // The p_filesz and p_memsz of the segment.
    let number = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let is_load = |&at: &usize| image[at..at + 4] == 1_u32.to_le_bytes();
    let headers = (0..usize::from(image[56])).map(|index| 64 + 56 * index);
    let loads: Vec<_> =
        headers.filter(is_load).map(|at| (number(at + 32), number(at + 40))).collect();
    assert_eq!(loads, [(0x1000, 0x3000)]);
}

#[test]
fn a_plan_is_fitted_once_and_only_to_gaps() {
    let OpenedImage { image, .. } = open(Arc::new(kdump()), OpenMode::Strict).unwrap();
    let whole = Plan::whole(image.space.map().clone(), PAGE as u64, image.facts);
    let kept = whole.clone().fitted(&*image.space, HoleEncoding::Kept);
    assert_eq!((kept.total(), kept.known_holes().total()), (4 * PAGE as u64, 0));
    let fitted = kept.fitted(&*image.space, HoleEncoding::Gaps);
    assert_eq!(fitted.map.regions().len(), 2);
    assert_eq!(fitted.known_holes().listed(), [missing()]);
    let again = fitted.clone().fitted(&*image.space, HoleEncoding::Gaps);
    assert_eq!(again.map, fitted.map);
    assert_eq!(again.known_holes().listed(), [missing()]);
}
