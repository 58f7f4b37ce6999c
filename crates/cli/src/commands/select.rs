//! Which memory: the options that every command about a live machine shares.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use memdump_image::codec::Codec;
use memdump_image::format::Format;
use memdump_image::{AddressSpace, Exclude, Hole, Plan, Space};
use memdump_live::{Choice, Kit, Recheck, SOURCES};

use super::open::{self, Opened};
use crate::args::{Excluded, Include, InputArgs, SelectArgs};
use crate::exit::UsageError;
use crate::size;

/// An address space that has been opened, and what will be taken of it.
pub(super) struct Selection {
    pub(super) space: Box<dyn AddressSpace>,
    pub(super) plan: Plan,
    /// Where it is read from, for people.
    pub(super) source: String,
    /// Memory that is known not to be in it.
    pub(super) omitted: Vec<Hole>,
    /// What else should be known of it.
    pub(super) notes: Vec<String>,
    /// What is wrong with an image that it is read from.
    pub(super) problems: Vec<String>,
    /// What has come and gone since.
    pub(super) recheck: Recheck,
    /// What is wanted beside an image of a running machine; none where the source is an image.
    pub(super) kit: Option<Kit>,
}

/// The value of an option that takes a size; none when it is not given or 0.
pub(super) fn size(
    option: &str,
    text: &Option<String>,
    example: &str,
) -> Result<Option<u64>, UsageError> {
    let Some(text) = text else { return Ok(None) };
    match size::parse(text) {
        Some(size) => Ok(Some(size).filter(|&size| size > 0)),
        None => Err(UsageError(format!(
            "{option} {text:?} is not a size: write bytes with a suffix k, m, g or t if you like, \
             as in {option} {example}"
        ))),
    }
}

/// Opens the source and decides what to take of it, without what is excluded. `trial` is whether a few pages may be
/// read to see that it works.
pub(super) fn open(
    args: &SelectArgs,
    exclude: &[Excluded],
    trial: bool,
) -> anyhow::Result<Selection> {
    let space = if args.kernel { Space::Kernel } else { Space::Physical };
    let mut selection = match image(args)? {
        Some(opened) => {
            let problems = opened.problems();
            let opened = opened.without(exclude)?;
            let source =
                format!("{} ({} image)", Path::new(&args.source).display(), opened.format.name);
            let map = opened.map().clone();
            let plan = Plan::whole(map, opened.page_size(), opened.image.facts);
            let recheck = Box::new(|| Ok(Vec::new()));
            let (omitted, notes) = (Vec::new(), Vec::new());
            let space = opened.image.space;
            Selection { space, plan, source, omitted, notes, problems, recheck, kit: None }
        }
        None => live(args, exclude, space, trial)?,
    };
    selection.plan.is_thinned = !exclude.is_empty();
    if selection.plan.map.space() != space {
        let found = selection.plan.map.space();
        let hint = if args.kernel { "leave out -k" } else { "use -k" };
        let message = format!("{} holds {found} memory: {hint}", selection.source);
        return Err(UsageError(message).into());
    }
    Ok(selection)
}

fn live(
    args: &SelectArgs,
    exclude: &[Excluded],
    space: Space,
    trial: bool,
) -> anyhow::Result<Selection> {
    let choice = match args.source.to_str() {
        Some("auto") => Choice::Auto,
        name => match SOURCES.iter().find(|source| Some(source.name) == name) {
            Some(source) => Choice::Source(source),
            None => Choice::Path(args.source.clone().into()),
        },
    };
    let opened = memdump_live::open(&memdump_live::MemoryRequest {
        space,
        choice,
        exclude: uses(exclude),
        include_reserved: args.include.contains(&Include::Reserved),
        direct_map: args.direct_map,
        trial,
    })?;
    let plan = Plan::whole(opened.space.map().clone(), opened.page_size, opened.facts);
    tracing::info!("source: {} ({})", opened.source.display(), opened.why);
    Ok(Selection {
        space: opened.space,
        plan,
        source: opened.source.display().to_string(),
        omitted: opened.omitted,
        notes: opened.notes,
        problems: Vec::new(),
        recheck: opened.recheck,
        kit: Some(opened.kit),
    })
}

/// The uses of pages among what is excluded.
pub(super) fn uses(excluded: &[Excluded]) -> Exclude {
    Exclude {
        free: excluded.contains(&Excluded::Free),
        cache: excluded.contains(&Excluded::Cache),
        user: excluded.contains(&Excluded::User),
    }
}

/// Opens the source as a memory image, where it is a regular file that begins like one. ELF files are
/// left to the live sources: a kcore elsewhere is one too.
fn image(args: &SelectArgs) -> anyhow::Result<Option<Opened>> {
    let path = Path::new(&args.source);
    if args.source == "auto" || !path.is_file() {
        return Ok(None);
    }
    let failed = || format!("cannot open the memory image {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let mut head = Vec::new();
    file.take(16).read_to_end(&mut head).with_context(failed)?;
    let is_image = Format::detect(&head).is_some_and(|format| format.name != "elf");
    if !is_image && Codec::detect(&head).is_none() {
        return Ok(None);
    }
    let how = InputArgs { salvage: args.salvage, ..InputArgs::default() };
    open::open(path, &how).map(Some)
}
