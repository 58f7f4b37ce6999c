//! The options that apply to each side.

use memdump_acquire::{TargetName, TargetOptions};
use memdump_image::{ExtentSet, MemoryMap};

use super::super::target::Target;
use crate::args::{DiffArgs, FileArgs, FileOption};
use crate::exit::UsageError;
use crate::options;

/// A target, and how it is opened.
pub(super) struct Side {
    pub(super) name: TargetName,
    pub(super) options: TargetOptions,
}

/// Gives A and B each its options.
///
/// # Errors
/// When an option can apply to neither side.
pub(super) fn sides(args: &DiffArgs) -> Result<[Side; 2], UsageError> {
    let sides = &args.sides;
    let names = [&sides.a, &sides.b].map(|name| TargetName::parse(name));
    let [a, b] = &names;
    let (file_a, used_by_a) = file_options("A", a, &sides.of_a, &sides.of_both)?;
    let (file_b, used_by_b) = file_options("B", b, &sides.of_b, &sides.of_both)?;
    let used = used_by_a.iter().zip(&used_by_b).map(|(a, b)| *a || *b);
    if let Some((option, _)) = sides.of_both.iter().zip(used).find(|(_, is_used)| !is_used) {
        let why = match a.path().or(b.path()) {
            Some(_) => "the options of each file leave no room for it",
            None => "neither A nor B is one",
        };
        return Err(UsageError(format!("{} is about a file: {why}", option.name())));
    }
    let has_process = names.iter().any(is_process);
    let side = |name: TargetName, file: Vec<FileOption>| {
        let FileArgs { raw, image } = file.into_iter().collect();
        let mut options = options::target(&args.of, &name, &image, raw);
        // Kinds are those of both: see `of_kinds`.
        options.kinds.clear();
        if has_process && !is_process(&name) {
            (options.filter.dont_dump, options.filter.coredump_filter) = (false, None);
        }
        Side { name, options }
    };
    let [a, b] = names;
    Ok([side(a, file_a), side(b, file_b)])
}

/// The options for one side, and which of those for both it uses.
fn file_options(
    side: &str,
    name: &TargetName,
    own: &[FileOption],
    both: &[FileOption],
) -> Result<(Vec<FileOption>, Vec<bool>), UsageError> {
    if name.path().is_none() {
        if let Some(option) = own.first() {
            let message = format!(
                "{} is about a file, and {side} ({name}) is none: put it before the name of the file, or after \
                 both names",
                option.name()
            );
            return Err(UsageError(message));
        }
        return Ok((Vec::new(), vec![false; both.len()]));
    }
    let is_free = |option: &FileOption| {
        own.iter().all(|other| other.name() != option.name() && !option.excludes(other))
    };
    let used: Vec<bool> = both.iter().map(is_free).collect();
    let shared = both.iter().filter(|option| is_free(option));
    Ok((own.iter().chain(shared).cloned().collect(), used))
}

fn is_process(name: &TargetName) -> bool {
    matches!(name, TargetName::Process(_))
}

impl FromIterator<FileOption> for FileArgs {
    fn from_iter<I: IntoIterator<Item = FileOption>>(options: I) -> Self {
        let mut file = Self::default();
        for option in options {
            match option {
                FileOption::Raw => file.raw = true,
                FileOption::InputFormat(name) => file.image.input_format = Some(name),
                FileOption::Map(path) => file.image.map = Some(path),
                FileOption::Part(path) => file.image.part.push(path),
                FileOption::Salvage => file.image.salvage = true,
            }
        }
        file
    }
}

/// Refuses a kind of region that neither side has.
pub(super) fn check_kinds(kinds: &[String], a: &Target, b: &Target) -> Result<(), UsageError> {
    let names = || a.map().regions().iter().chain(b.map().regions()).map(|r| r.kind.name());
    let Some(unknown) = kinds.iter().find(|kind| names().all(|name| name != kind.as_str())) else {
        return Ok(());
    };
    let mut there: Vec<&str> = names().collect();
    there.sort_unstable();
    there.dedup();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(UsageError(format!("--kind {unknown}: there is no such region; there are: {there}")))
}

/// The regions of these kinds, which a side may lack.
pub(super) fn of_kinds(kinds: &[String], map: &MemoryMap) -> ExtentSet {
    let is_chosen = |kind: &str| kinds.is_empty() || kinds.iter().any(|chosen| chosen == kind);
    let chosen = map.regions().iter().filter(|region| is_chosen(region.kind.name()));
    chosen.map(|region| region.extent).collect()
}
