//! The README's tables, compared with those of the code.

use std::fs;
use std::path::Path;

use memdump_image::format::FORMATS;
use memdump_live::SOURCES;
use memdump_sink::SINKS;

fn table(head: [&str; 3], rows: impl Iterator<Item = [String; 3]>) -> String {
    let line = |cells: [String; 3]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.map(str::to_owned)) + "|---|---|---|\n";
    text.extend(rows.map(line));
    text
}

#[test]
fn the_readme_has_the_tables_of_the_code() {
    let formats = FORMATS.iter().map(|format| {
        [format!("`{}`", format.name), format.summary.to_owned(), format.opened_by.to_owned()]
    });
    let sources = SOURCES.iter().map(|source| {
        let name = format!("`{}` {}", source.name, source.path);
        [name, source.summary.to_owned(), source.needs.to_owned()]
    });
    let sinks = SINKS
        .iter()
        .map(|sink| [sink.name.to_owned(), sink.summary.to_owned(), sink.done.to_owned()]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let mut expected = readme.clone();
    for (name, table) in [
        ("sources", table(["source", "offers", "needs"], sources)),
        ("formats", table(["format", "layout", "opened by"], formats)),
        ("sinks", table(["sink", "named by", "when it is whole"], sinks)),
    ] {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let start = expected.find(&open).unwrap() + open.len();
        let end = expected.find(&close).unwrap();
        expected.replace_range(start..end, &table);
    }
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    assert!(readme == expected, "run UPDATE_README=1 cargo test -p memdump --test readme");
}
