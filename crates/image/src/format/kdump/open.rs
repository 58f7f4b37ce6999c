//! Opens a file, or the several files of a split image.

use std::sync::Arc;

use super::super::row::Image;
use super::fields::sub;
use super::flattened::{self, Flattened};
use super::header::{Header, field};
use super::pages::Kdump;
use super::part::Part;
use crate::ReadAt;
use crate::problem::{FormatError, OpenMode, Problems};

pub(super) fn open(file: Arc<dyn ReadAt>, mode: OpenMode) -> Result<Image, FormatError> {
    open_parts(vec![file], mode)
}

/// Opens the files that `makedumpfile --split` made of one image, in any order; or the one file of any other.
///
/// # Errors
/// When one of them is damaged, is not of the same image, or one is missing: page frames that none has. With
/// [`OpenMode::Salvage`] the pages of such files are holes.
pub fn open_parts(files: Vec<Arc<dyn ReadAt>>, mode: OpenMode) -> Result<Image, FormatError> {
    let mut problems = Problems::new(mode);
    let mut opened: Vec<(Header, Part)> = Vec::new();
    let is_one = files.len() == 1;
    for file in files {
        let (header, part) = open_part(file, &mut problems)?;
        if let Some((first, _)) = opened.first() {
            let is_same = (first.block, first.max_mapnr) == (header.block, header.max_mapnr)
                && first.map == header.map;
            if !is_same || !first.is_split || !header.is_split {
                let problem =
                    "the files are not parts of one image: their headers or bitmaps differ";
                problems.found(field(first.block as usize + sub::SPLIT, "split").bad(problem))?;
                continue;
            }
        }
        opened.push((header, part));
    }
    let mut parts = Vec::new();
    let mut whole: Option<Header> = None;
    for (header, part) in opened {
        parts.push(part);
        whole.get_or_insert(header);
    }
    let Some(header) = whole else {
        return Err(field(0, "header").bad("no file was given"));
    };
    if header.is_split {
        parts.sort_by_key(|part| part.pages.start);
        check_parts(&header, &mut parts, is_one, &mut problems)?;
    }
    let Header { block, map, facts, .. } = header;
    Ok(Image { space: Box::new(Kdump { block, map, parts }), facts, problems })
}

fn open_part(
    file: Arc<dyn ReadAt>,
    problems: &mut Problems,
) -> Result<(Header, Part), FormatError> {
    let mut start = [0; 16];
    let is_flattened = file.read_exact_at(0, &mut start).is_ok() && start == flattened::SIGNATURE;
    let (file, is_whole, held) = match is_flattened {
        true => {
            let (flattened, is_whole) = Flattened::open(file, problems)?;
            let held = flattened.held();
            (Arc::new(flattened) as Arc<dyn ReadAt>, is_whole, held)
        }
        false => (file, true, u64::MAX),
    };
    let mut header = Header::read(&*file, held, problems)?;
    let table = field(0, "descriptors");
    let part = Part::new(file, &mut header, is_whole).map_err(|source| table.failed(source))?;
    part.truncated(header.block).map_or(Ok(()), |problem| problems.found(problem))?;
    Ok((header, part))
}

/// Every page frame is one part's; `parts` ascend, and where two have one, the first keeps it.
fn check_parts(
    header: &Header,
    parts: &mut [Part],
    is_one: bool,
    problems: &mut Problems,
) -> Result<(), FormatError> {
    let place = field(header.block as usize + sub::START_PFN_64, "start_pfn_64");
    let mut end = 0;
    for part in parts {
        let (start, part_end) = (part.pages.start, part.pages.end);
        if start < end {
            problems.found(place.bad(format!("two files have the page frame {start}")))?;
        }
        if start > end {
            problems.found(place.bad(missing(end, start, is_one)))?;
        }
        part.owned = start.max(end)..part_end.max(end);
        end = end.max(part_end);
    }
    match end < header.max_mapnr {
        true => problems.found(place.bad(missing(end, header.max_mapnr, is_one))),
        false => Ok(()),
    }
}

fn missing(from: u64, to: u64, is_one: bool) -> String {
    let advice = match is_one {
        true => "it is one of several files of a split image, which are opened together",
        false => "a file of the split image is missing",
    };
    format!("{advice}: no file has the page frames {from} to {}", to - 1)
}
