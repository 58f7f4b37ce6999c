//! The command line as a manifest records it: options by their long names, and the values of those that can hold no secret.
//!
//! Values are recorded where they are one of a list, a number, an address or a size, and of the options in [`NAMES_MEMORY`].
//! Every other value is replaced: a pattern or a path may tell what was looked for, or hold a secret of the user.

use std::any::TypeId;
use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use memdump_acquire::Destination;
use memdump_image::Extent;

use crate::args::Cli;

/// Options whose values say which memory was taken from where and to where. `docs/manifest.md` lists them.
const NAMES_MEMORY: &[&str] = &["source", "input", "output", "size", "read_size", "page_size"];
/// The place of a value that is not recorded.
const REPLACED: &str = "…";

/// The command line of this program, as it is recorded.
pub(crate) fn command() -> Vec<String> {
    of(Cli::command(), std::env::args_os())
}

fn of(mut command: Command, words: impl IntoIterator<Item = std::ffi::OsString>) -> Vec<String> {
    command.build();
    let mut recorded = vec![command.get_name().to_owned()];
    let Ok(matches) = command.clone().try_get_matches_from(words) else { return recorded };
    let (mut command, mut matches) = (&command, &matches);
    loop {
        recorded.extend(options(command, matches));
        let Some((name, further)) = matches.subcommand() else { return recorded };
        let Some(subcommand) = command.find_subcommand(name) else { return recorded };
        recorded.push(name.to_owned());
        (command, matches) = (subcommand, further);
    }
}

/// The options that were given, in their order.
fn options(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let indices: Vec<usize> = matches.indices_of(id).into_iter().flatten().collect();
        let values: Vec<&OsStr> = matches.get_raw(id).into_iter().flatten().collect();
        let name = arg.get_long().map(|long| format!("--{long}"));
        if !arg.get_action().takes_values() {
            words
                .extend(indices.into_iter().map(|index| (index, name.clone().unwrap_or_default())));
            continue;
        }
        if values.is_empty() {
            let index = indices.first().copied().unwrap_or(usize::MAX);
            words.extend(name.clone().map(|name| (index, name)));
        }
        for (index, value) in indices.into_iter().zip(values) {
            words.extend(name.clone().map(|name| (index, name)));
            words.push((index, recorded_value(arg, value)));
        }
    }
    words.sort_by_key(|(index, _)| *index);
    words.into_iter().map(|(_, word)| word).collect()
}

fn recorded_value(arg: &Arg, value: &OsStr) -> String {
    let id = arg.get_id().as_str();
    if id == "output" {
        // A place that is more than a path may carry a secret, which it does not show.
        return match Destination::parse(value) {
            Ok(place) if place.is_stdout() => value.to_string_lossy().into_owned(),
            Ok(place) => place.to_string(),
            Err(_) => REPLACED.into(),
        };
    }
    let parsed = arg.get_value_parser().type_id();
    let is_plain = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<f64>(),
        TypeId::of::<Extent>(),
    ]
    .iter()
    .any(|plain| parsed == *plain);
    match is_plain || !arg.get_possible_values().is_empty() || NAMES_MEMORY.contains(&id) {
        true => value.to_string_lossy().into_owned(),
        false => REPLACED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(words: &[&str]) -> Vec<String> {
        of(Cli::command(), words.iter().map(Into::into))
    }

    /// Every option of every command that writes a manifest, and every option that will ever be added.
    #[test]
    fn no_option_that_takes_any_text_is_recorded_unless_it_names_the_memory() {
        const TOKEN: &str = "T0ken-5f1e";
        let mut root = Cli::command();
        root.build();
        let mut texts = 0;
        for command in
            [Some(&root), root.find_subcommand("process"), root.find_subcommand("convert")]
        {
            let command = command.unwrap();
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let parsed = arg.get_value_parser().type_id();
                let is_text = [
                    TypeId::of::<String>(),
                    TypeId::of::<std::ffi::OsString>(),
                    TypeId::of::<std::path::PathBuf>(),
                    TypeId::of::<memdump_live::process::GlobMatcher>(),
                ]
                .iter()
                .any(|text| parsed == *text);
                let takes_any = is_text && arg.get_possible_values().is_empty();
                if takes_any && !NAMES_MEMORY.contains(&arg.get_id().as_str()) {
                    texts += 1;
                    assert_eq!(
                        recorded_value(arg, OsStr::new(TOKEN)),
                        REPLACED,
                        "{}",
                        arg.get_id()
                    );
                }
            }
        }
        assert!(texts >= 12, "only {texts} options take any text");
    }

    #[test]
    fn plain_values_are_recorded_and_texts_are_not() {
        assert_eq!(
            recorded(&[
                "memdump", "-o", "ram.lime", "--format", "lime", "-s", "1m", "--case", "7", "-q"
            ]),
            [
                "memdump", "--output", "ram.lime", "--format", "lime", "--size", "1m", "--case",
                "…", "--quiet"
            ]
        );
        assert_eq!(
            recorded(&[
                "memdump",
                "process",
                "12",
                "13",
                "--name",
                "secret",
                "--range",
                "1000-2000"
            ]),
            ["memdump", "process", "12", "13", "--name", "…", "--range", "1000-2000"]
        );
        assert_eq!(
            recorded(&["memdump", "convert", "a.lime", "-", "--exclude", "free,user"]),
            ["memdump", "convert", "a.lime", "-", "--exclude", "free", "--exclude", "user"]
        );
    }
}
