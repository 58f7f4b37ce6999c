//! No two files of a crate import each other, not by way of others either: whoever reads one need not read the other first.
//!
//! Looks at `use` lines alone, outside of tests. A name that a module re-exports counts as an import of the file it is from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: &[&str] = &["image", "live", "sink", "inspect", "acquire", "cli"];

/// The path of a module within its crate; empty for the crate's root.
type Module = Vec<String>;

/// The modules of a crate, with the text of their files.
struct Crate {
    texts: BTreeMap<Module, String>,
    /// The module that each re-exported name is from, by the module that re-exports it.
    exports: BTreeMap<(Module, String), Module>,
}

impl Crate {
    fn read(source: &Path) -> Self {
        let mut files = Vec::new();
        list(source, &mut files);
        let mut texts = BTreeMap::new();
        for file in files {
            let relative = file.strip_prefix(source).unwrap().with_extension("");
            let mut module: Module =
                relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            let text = fs::read_to_string(&file).unwrap();
            // Tests stand at the end of a file, and may import what they like.
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            texts.insert(module, code);
        }
        let mut this = Self { texts, exports: BTreeMap::new() };
        let mut exports = BTreeMap::new();
        for (module, text) in &this.texts {
            for (path, is_public) in imports(text) {
                if let (true, Some((from, Some(name)))) = (is_public, this.resolve(module, &path)) {
                    exports.insert((module.clone(), name), from);
                }
            }
        }
        this.exports = exports;
        this
    }

    /// The module that `path` leads to, seen from `module`, and the name in it; none where it leads out of the crate.
    fn resolve(&self, module: &Module, path: &str) -> Option<(Module, Option<String>)> {
        let mut parts = path.split("::").map(str::trim).peekable();
        let mut here = match *parts.peek()? {
            "crate" => {
                parts.next();
                Module::new()
            }
            "self" | "super" => module.clone(),
            first => {
                let inside = [module.as_slice(), &[first.to_owned()]].concat();
                self.texts.contains_key(&inside).then(|| module.clone())?
            }
        };
        while let Some(part) = parts.next_if(|part| ["self", "super"].contains(part)) {
            if part == "super" {
                here.pop()?;
            }
        }
        for part in parts {
            let inside = [here.as_slice(), &[part.to_owned()]].concat();
            match self.texts.contains_key(&inside) {
                true => here = inside,
                false => return Some((here, Some(part.to_owned()))),
            }
        }
        Some((here, None))
    }

    /// The modules that a module imports, by way of re-exports.
    fn imported(&self, module: &Module) -> BTreeSet<Module> {
        let mut all = BTreeSet::new();
        for (path, is_public) in imports(&self.texts[module]) {
            let Some((mut from, name)) = self.resolve(module, &path) else { continue };
            // A chain of re-exports is short.
            for _ in 0..8 {
                let exported = name.clone().map(|name| (from.clone(), name));
                match exported.and_then(|exported| self.exports.get(&exported)) {
                    Some(next) if *next != from => from = next.clone(),
                    _ => break,
                }
            }
            if !is_public && from != *module {
                all.insert(from);
            }
        }
        all
    }
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
}

/// The paths of `use` items, each name by itself, and true for those that are re-exported.
fn imports(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((before, first)) = line.trim_start().split_once("use ") else { continue };
        let is_public = before == "pub " || before.starts_with("pub(") && before.ends_with(") ");
        if !(before.is_empty() || is_public) {
            continue;
        }
        let mut item = first.to_owned();
        while !item.contains(';') {
            let Some(next) = lines.next() else { break };
            item.push_str(next.trim());
        }
        let item = item.split(';').next().unwrap_or_default();
        expand("", item, &mut |path| found.push((path, is_public)));
    }
    found
}

/// Takes the braces of a `use` item apart.
fn expand(prefix: &str, item: &str, each: &mut dyn FnMut(String)) {
    let Some(open) = item.find('{') else {
        let path = item.split(" as ").next().unwrap_or_default().trim();
        return each(format!("{prefix}{path}"));
    };
    let prefix = format!("{prefix}{}", item[..open].trim());
    let close = item.rfind('}').unwrap_or(item.len());
    let (mut depth, mut start) = (0, open + 1);
    for (at, letter) in item[..close].char_indices().skip_while(|(at, _)| *at <= open) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &item[start..at], each);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !item[start..close].trim().is_empty() {
        expand(&prefix, &item[start..close], each);
    }
}

/// A way from `module` back to itself, where there is one.
fn circle(edges: &BTreeMap<Module, BTreeSet<Module>>, module: &Module) -> Option<Vec<Module>> {
    let mut ways: Vec<Vec<Module>> = vec![vec![module.clone()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in edges.get(way.last()?).into_iter().flatten() {
            let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
            if next == module {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[test]
fn no_two_files_import_each_other() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    for name in CRATES {
        let read = Crate::read(&crates.join(name).join("src"));
        assert!(read.texts.len() > 5, "{name} has few files");
        let edges: BTreeMap<Module, BTreeSet<Module>> =
            read.texts.keys().map(|module| (module.clone(), read.imported(module))).collect();
        assert!(edges.values().any(|imported| !imported.is_empty()), "{name} imports nothing");
        for module in edges.keys() {
            if let Some(way) = circle(&edges, module) {
                let way: Vec<String> = way.iter().map(|module| module.join("::")).collect();
                panic!("files of crates/{name} import each other: {}", way.join(" -> "));
            }
        }
    }
}

#[test]
fn braces_are_taken_apart() {
    let mut found = Vec::new();
    expand("", "crate::{a::{B, C as D}, e}", &mut |path| found.push(path));
    assert_eq!(found, ["crate::a::B", "crate::a::C", "crate::e"]);
}

#[test]
fn a_circle_is_found_by_way_of_others() {
    let module = |name: &str| vec![name.to_owned()];
    let mut edges = BTreeMap::new();
    for (from, to) in [("a", "b"), ("b", "c"), ("d", "a")] {
        edges.insert(module(from), BTreeSet::from([module(to)]));
    }
    assert_eq!(circle(&edges, &module("a")), None);
    edges.insert(module("c"), BTreeSet::from([module("a")]));
    assert_eq!(circle(&edges, &module("a")), Some(["a", "b", "c", "a"].map(module).to_vec()));
    assert_eq!(circle(&edges, &module("d")), None, "it leads into a circle, and is not in it");
}
