//! The inputs that once broke a reader (`fuzz/regressions`), run without a fuzzer.

mod exercise;

use std::fs;
use std::path::Path;

fn each(target: &str, exercise: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions").join(target);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        exercise(&fs::read(&path).unwrap());
    }
}

#[test]
fn images_are_survived() {
    each("images", exercise::images);
    each("images", exercise::images_in_every_way);
}

#[test]
fn compressed_files_are_survived() {
    each("codecs", exercise::codecs);
}

#[test]
fn notes_are_survived() {
    each("notes", exercise::notes);
}

#[test]
fn maps_are_survived() {
    each("maps", exercise::maps);
}
