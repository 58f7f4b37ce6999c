//! Images with wrong bytes in them. Each wrong byte costs the memory that it describes, and nothing else.

use std::sync::Arc;

use memdump_image::format::{self, OpenMode};
use memdump_image::{Cause, ReadError};

use crate::samples::*;
use laid_out::*;

#[test]
fn a_damaged_header_costs_one_record() {
    let (first, second, third) = (memory(20), memory(17), memory(9));
    for is_lime in [true, false] {
        let record = if is_lime { lime_record } else { avml_record };
        let parts = [record(0x1000, &first), record(0x10_0000, &second), record(0x20_0000, &third)];
        let middle = parts[0].len();
        let end = (middle + parts[1].len()) as u64;
        for (at, value, field) in
            [(0, 0x55, "magic"), (4, 9, "version"), (15, 0xff, "e_addr"), (20, 0, "e_addr")]
        {
            let mut file = parts.concat();
            file[middle + at] = value;
            if at == 20 {
                // The end of the record is before its start.
                file[middle + 16..middle + 24].fill(0);
            }
            assert!(refusal(&file).contains(field), "{}", refusal(&file));
            let image = salvage(file);
            holds(&image, 0x1000, &first);
            holds(&image, 0x20_0000, &third);
            assert!(image.space.map().find(0x10_0000).is_none());
            let told: Vec<String> =
                image.problems.listed().iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|line| line.contains(&format!("{end:#x}"))), "{told:?}");
        }
    }
}

#[test]
fn an_end_far_away_does_not_swallow_the_records_behind() {
    let (first, second) = (memory(20), memory(17));
    for last in [0xffff_ffff_ffff_0fff_u64, 0x1f_ffff_ffff_ffff, 0x7f_fffe] {
        let mut file = [lime_record(0x1000, &first), lime_record(0x80_0000, &second)].concat();
        file[16..24].copy_from_slice(&last.to_le_bytes());
        let image = salvage(file);
        holds(&image, 0x1000, &first);
        holds(&image, 0x80_0000, &second);
        assert_eq!(image.space.map().total(), (first.len() + second.len()) as u64, "{last:#x}");
    }
}

#[test]
fn damage_in_a_stream_costs_what_follows_in_its_record() {
    let (first, second) = (memory(64), memory(17));
    let records = [avml_record(0x1000, &first), avml_record(0x10_0000, &second)];
    let pieces = avml_pieces(0x1000, &first, &records[0][32..], 32);
    let mut file = records.concat();
    // The type of the third chunk.
    file[pieces[1].end] = 0x33;
    assert!(refusal(&file).contains("chunk"));
    let image = salvage(file);
    holds(&image, 0x1000, &first[..128 << 10]);
    holds(&image, 0x10_0000, &second);
    let found = image.space.read_at(0x1000 + (128 << 10), &mut [0; 10]);
    assert!(matches!(found, Err(ReadError::Fault { cause: Cause::Damaged, .. })), "{found:?}");
}

#[test]
fn a_descriptor_that_points_beyond_the_file_is_one_damaged_page() {
    let pages = kdump_pages(0x20);
    let whole = lay_out(&Head::plain(6), &pages);
    for (within, value) in [(4, 0x7f_u8), (0, 1), (9, 0x80), (12, 0x77)] {
        let mut file = whole.clone();
        file[4 * PAGE + 24 * 7 + within] = value;
        for mode in [OpenMode::Strict, OpenMode::Salvage] {
            let image = format::open(Arc::new(file.clone()), mode).unwrap().image;
            let mut page = vec![0; PAGE];
            let found = image.space.read_at(8 << 12, &mut page);
            assert!(
                matches!(found, Err(ReadError::Fault { cause: Cause::Damaged, .. })),
                "{found:?}"
            );
            for frame in [7, 9, 149] {
                let Laid::Page(_, wanted) = &pages[&frame] else { unreachable!() };
                holds(&image, frame << 12, wanted);
            }
        }
    }
}

#[test]
fn bitmaps_and_notes_that_lie_cost_themselves() {
    let pages = kdump_pages(0x20);
    let whole = lay_out(&Head::plain(6), &pages);
    for (at, value, field) in [
        (PAGE + 96, 1 << 40, "max_mapnr"),
        (PAGE + 32, 1 << 50, "offset_vmcoreinfo"),
        (PAGE + 48, 1 << 50, "offset_note"),
    ] {
        let mut file = whole.clone();
        file[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        file[PAGE + 40] = 9;
        file[PAGE + 56] = 9;
        assert!(refusal(&file).contains(field), "{}", refusal(&file));
        let image = salvage(file);
        let Laid::Page(_, wanted) = &pages[&149] else { unreachable!() };
        holds(&image, 149 << 12, wanted);
    }
}
