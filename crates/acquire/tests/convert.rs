//! Conversions by the public API alone: what an image lacks is a gap in the next one, and never zeros.

use std::fs;
use std::path::Path;

use laid_out::{Head, Laid, PAGE, STORED, lay_out, lime_record, text_page};
use memdump_acquire::manifest::{Manifest, ManifestOptions, default_path};
use memdump_acquire::{
    Destination, ErrorKind, InputImage, InputOptions, JobOptions, Monitor, Report, Result, Source,
    Unattended,
};
use memdump_image::format::Format;
use memdump_image::{Cause, Extent, Hole};

/// A kdump file of four pages, of which the second and the third are not in it.
fn kdump(path: &Path) {
    let page = |frame| (frame, Laid::Page(STORED, text_page(frame)));
    let pages = [page(0), (1, Laid::RamOnly), (2, Laid::RamOnly), page(3)];
    fs::write(path, lay_out(&Head::plain(6), &pages.into())).unwrap();
}

fn job(format: &str, path: &Path) -> JobOptions {
    JobOptions::new(Format::by_name(format).unwrap(), Destination::file(path))
        .manifest(ManifestOptions::beside())
}

fn convert(from: &Path, job: JobOptions, monitor: &mut dyn Monitor) -> Result<Report> {
    let image = InputImage::open(from, &InputOptions::new())?;
    job.open()?.run(Source::image(&image), monitor)?.finish(&|| false)
}

#[test]
fn a_kdump_without_two_pages_becomes_two_records() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("vmcore"), directory.path().join("ram.lime"));
    kdump(&old);
    let report = convert(&old, job("lime", &new), &mut Unattended).unwrap();
    let wanted = [lime_record(0, &text_page(0)), lime_record(0x3000, &text_page(3))].concat();
    assert!(fs::read(&new).unwrap() == wanted);
    let hole =
        Hole { extent: Extent::half_open(0x1000, 0x3000).unwrap(), cause: Cause::NotInImage };
    assert_eq!(report.missing, [hole]);
    assert_eq!(report.summary.bytes, 2 * PAGE as u64);
    assert!(report.is_complete(), "what an image does not have cannot be got out of it");
    let manifest = Manifest::parse(&fs::read(default_path(&new)).unwrap()).unwrap();
    let regions: Vec<_> =
        manifest.regions.iter().map(|region| (region.start, region.end)).collect();
    assert_eq!(regions, [(0, 0x1000), (0x3000, 0x4000)]);
    assert_eq!(manifest.holes.len(), 1);
}

#[test]
fn a_job_that_cannot_open_all_its_files_leaves_none() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("vmcore"), directory.path().join("ram.lime"));
    kdump(&old);
    fs::write(directory.path().join("ram.lime.sha256"), "of another image").unwrap();
    let error = convert(&old, job("lime", &new), &mut Unattended).unwrap_err();
    assert!(error.to_string().contains("ram.lime.sha256"), "{error}");
    let mut left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["ram.lime.sha256", "vmcore"]);
}

/// Stops at once.
struct Impatient;

impl Monitor for Impatient {
    fn wants_stop(&self) -> bool {
        true
    }
}

#[test]
fn a_job_that_is_stopped_leaves_nothing_that_passes_for_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("vmcore"), directory.path().join("ram.lime"));
    kdump(&old);
    let error = convert(&old, job("lime", &new), &mut Impatient).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    assert!(!new.exists() && !default_path(&new).exists());
}

#[test]
fn a_format_that_cannot_hold_the_addresses_is_refused() {
    let core = JobOptions::core(Destination::file("never-opened"));
    let error = core.check_space(memdump_image::Space::Physical).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongFormat);
}
