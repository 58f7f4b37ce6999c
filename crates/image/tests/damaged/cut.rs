//! Truncated images.

use std::sync::Arc;

use memdump_image::codec::CODECS;
use memdump_image::format::{self, Format, FormatError, OpenError, OpenMode};
use memdump_image::{Cause, ReadAt, ReadError};

use crate::samples::*;
use laid_out::*;

#[test]
fn what_is_cut_short_is_an_error_that_names_format_place_and_field() {
    for sample in samples().iter().filter(|sample| sample.format != "padded") {
        for len in sample.cuts() {
            let what = format!("{} cut at {len}", sample.format);
            match sample.open(sample.file[..len].to_vec(), OpenMode::Strict).err() {
                Some(OpenError::Unknown { .. }) => assert_eq!(len, 0, "{what}"),
                Some(OpenError::Format(error)) => {
                    let text = error.to_string();
                    // One reader is for all three kinds of kdump, one for both kinds of core headers, one for all records.
                    let format =
                        text.split_whitespace().nth(if text.starts_with("not") { 3 } else { 1 });
                    let format = Format::by_name(format.unwrap()).unwrap();
                    let known = Format::by_name(sample.format).unwrap();
                    let family = |one: &str| match one {
                        "lime" | "avml" => "records".to_owned(),
                        "elf" | "core" => "elf".to_owned(),
                        other => other.split('-').next().unwrap().to_owned(),
                    };
                    assert_eq!(family(format.name), family(known.name), "{what}: {text}");
                    assert!(
                        text.contains("offset 0x") || text.contains("ends at 0x"),
                        "{what}: {text}"
                    );
                    assert!(!text.contains("failed to fill"), "{what}: {text}");
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        assert!(sample.open(sample.file.clone(), OpenMode::Strict).unwrap().problems.is_empty());
    }
}

#[test]
fn what_is_whole_is_salvaged_and_the_rest_is_truncated_to_the_byte() {
    for sample in samples() {
        for len in sample.cuts() {
            let what = format!("{} cut at {len}", sample.format);
            let image = match sample.open(sample.file[..len].to_vec(), OpenMode::Salvage) {
                Ok(image) => image,
                Err(error) => {
                    assert!(len < sample.headers, "{what}: {error}");
                    continue;
                }
            };
            assert!(sample.format == "padded" || !image.problems.is_empty(), "{what}");
            let mut missing = 0;
            // There is little to read within the headers, and there are many cuts.
            let step = if len < sample.headers { sample.pieces.len().div_ceil(2) } else { 1 };
            for piece in sample.pieces.iter().step_by(step) {
                let start = piece.end.saturating_sub(piece.memory.len());
                let present = match piece.is_plain {
                    true => len.saturating_sub(start).min(piece.memory.len()),
                    false if piece.end <= len => piece.memory.len(),
                    false => 0,
                };
                let (found, error) = read_on(&*image.space, piece.addr, piece.memory.len());
                assert!(piece.memory.starts_with(&found), "{what}: wrong bytes");
                if len >= sample.headers && image.space.map().find(piece.addr).is_some() {
                    assert_eq!(found.len(), present, "{what} at {:#x}", piece.addr);
                    missing += piece.memory.len() - present;
                    let is_told = matches!(
                        error,
                        None | Some(ReadError::Fault { cause: Cause::Truncated, .. })
                    );
                    assert!(is_told || sample.format == "padded", "{what}: {error:?}");
                }
            }
            if sample.format != "padded" && len >= sample.headers {
                assert_eq!(said_missing(&*image.space), missing as u64, "{what}");
                let told = image.problems.listed().iter().find_map(|problem| match problem {
                    FormatError::Truncated { missing, .. } => Some(*missing as usize),
                    _ => None,
                });
                // Records that are missing completely are unknown.
                assert!(told.is_none_or(|told| told == missing), "{what}: {told:?}, {missing}");
            }
        }
    }
}

#[test]
fn streams_that_are_cut_short_give_what_stands_before() {
    let samples = [lime(), avml(), machine(false), machine(true), kdump("kdump", 0x20)];
    for (codec, sample) in CODECS.iter().flat_map(|codec| samples.iter().map(move |s| (codec, s))) {
        let stream = packed(codec.name, &sample.file);
        for len in (0..64).chain((64..stream.len() - 64).step_by(16_384)) {
            let what = format!("{} in {} cut at {len}", sample.format, codec.name);
            let cut = stream[..len].to_vec();
            match sample.open(cut.clone(), OpenMode::Strict) {
                Err(OpenError::Unknown { .. }) => assert!(len < 4, "{what}"),
                Err(OpenError::Read(error)) => {
                    assert!(error.to_string().contains(codec.name), "{what}: {error}");
                }
                Err(_) => {}
                Ok(image) => {
                    let found = sample.pieces.iter().filter_map(|piece| {
                        read_on(&*image.space, piece.addr, piece.memory.len()).1
                    });
                    let errors: Vec<_> = found.collect();
                    assert!(!errors.is_empty(), "{what}");
                    for error in errors {
                        assert!(matches!(error, ReadError::Fault { .. }), "{what}: {error:?}");
                    }
                }
            }
            let Ok(image) = sample.open(cut.clone(), OpenMode::Salvage) else { continue };
            // The bytes that the codec's own decoder gets from the file.
            let whole = unpacked_by_its_own(codec.name, &cut);
            for piece in &sample.pieces {
                let (found, _) = read_on(&*image.space, piece.addr, piece.memory.len());
                assert!(piece.memory.starts_with(&found), "{what}: wrong bytes");
                let start = piece.end.saturating_sub(piece.memory.len());
                if piece.is_plain && image.space.map().find(piece.addr).is_some() {
                    let present = whole.saturating_sub(start).min(piece.memory.len());
                    assert!(found.len() >= present, "{what}: {} of {present}", found.len());
                }
            }
        }
    }
}

/// The number of bytes that a codec's own decoder gets from a file that is cut short.
fn unpacked_by_its_own(codec: &str, cut: &[u8]) -> usize {
    use std::io::Read;
    let mut decoder: Box<dyn Read + '_> = match codec {
        "zstd" => Box::new(zstd::Decoder::new(cut).unwrap()),
        "gzip" => Box::new(flate2::read::GzDecoder::new(cut)),
        _ => Box::new(lz4_flex::frame::FrameDecoder::new(cut)),
    };
    let (mut total, mut piece) = (0, [0; 4096]);
    while let Ok(read @ 1..) = decoder.read(&mut piece) {
        total += read;
    }
    total
}

#[test]
fn a_flattened_file_is_salvaged_up_to_its_cut() {
    let pages = kdump_pages(0x20);
    let file = flattened(&lay_out(&Head::plain(6), &pages), 5000);
    for len in (0..file.len()).step_by(4096).chain([file.len() - 1, file.len() - 16]) {
        let cut = &file[..len];
        let text = if len == 0 { continue } else { refusal(cut) };
        assert!(text.contains("kdump") && text.contains("0x"), "{text}");
        let Ok(opened) = format::open(Arc::new(cut.to_vec()), OpenMode::Salvage) else {
            assert!(len < 4096 + 2 * PAGE + 100, "{len}");
            continue;
        };
        for (frame, page) in &pages {
            let Laid::Page(_, wanted) = page else { unreachable!() };
            let mut found = vec![0; PAGE];
            if let Ok(read) = opened.image.space.read_at(frame << 12, &mut found) {
                assert!(found[..read] == wanted[..read]);
            }
        }
        if len >= file.len() - 16 {
            holds(&opened.image, 1 << 12, &text_page(1));
        }
    }
}

#[test]
fn split_files_are_one_image() {
    let pages = kdump_pages(0x20);
    for version in [2, 5, 6] {
        let parts = split(&Head::plain(version), &pages, &[1, 40, 41, 150]);
        let open = |order: &[usize], mode| {
            let files =
                order.iter().map(|&index| Arc::new(parts[index].clone()) as Arc<dyn ReadAt>);
            format::open_parts(files.collect(), mode)
        };
        let image = open(&[2, 0, 3, 1], OpenMode::Strict).unwrap();
        for (frame, page) in &pages {
            let Laid::Page(_, wanted) = page else { unreachable!() };
            holds(&image, frame << 12, wanted);
        }
        // Across the border of two files.
        let both = [noise_page(39), text_page(40), text_page(41)].concat();
        holds(&image, 39 << 12, &both);

        for (order, field) in
            [(&[0, 1, 2][..], "41 to 149"), (&[3], "0 to 40"), (&[0, 1, 1, 2, 3], "two files")]
        {
            let error = open(order, OpenMode::Strict).err().unwrap().to_string();
            assert!(error.contains(field) && error.contains("start_pfn"), "{error}");
        }
        let image = open(&[3], OpenMode::Salvage).unwrap();
        assert!(!image.problems.is_empty());
        let Laid::Page(_, wanted) = &pages[&100] else { unreachable!() };
        holds(&image, 100 << 12, wanted);
        let found = image.space.read_at(1 << 12, &mut [0; PAGE]);
        assert!(matches!(found, Err(ReadError::Fault { .. })), "{found:?}");
        let alone = refusal(&parts[1]);
        assert!(alone.contains("several files"), "{alone}");
        let other = lay_out(&Head::plain(6), &pages);
        let files: Vec<Arc<dyn ReadAt>> = vec![Arc::new(parts[0].clone()), Arc::new(other)];
        let error = format::open_parts(files, OpenMode::Strict).err().unwrap().to_string();
        assert!(error.contains("not parts of one image"), "{error}");
    }
}
