//! The memory of this machine or its kernel, or an image of it that stands in for it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use memdump_image::codec::Codec;
use memdump_image::format::Format;
use memdump_image::{AddressSpace, Exclude, Hole, Plan, Space};
use memdump_live::{Choice, Kit, MemoryRequest, Recheck, SOURCES};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::input::{InputImage, InputOptions};

/// The options for opening the memory of a machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MachineOptions {
    /// True for the kernel's virtual memory, false for physical memory.
    pub kernel: bool,
    /// The source: `auto`, the name of one of [`SOURCES`], or the path of a kcore, a memory device or an image.
    pub source: OsString,
    /// True if ranges that the firmware reserved, and that can be read safely, are dumped too. For physical memory only.
    pub include_reserved: bool,
    /// True if the direct map is dumped too, which repeats all physical memory. For kernel memory only.
    pub direct_map: bool,
    /// The uses of pages that are left out. For physical memory only.
    pub exclude: Exclude,
    /// True if a few pages may be read to see that the source works.
    pub trial: bool,
    /// True if the valid parts of a damaged image are recovered, if the source is an image.
    pub salvage: bool,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            kernel: false,
            source: "auto".into(),
            include_reserved: false,
            direct_map: false,
            exclude: Exclude::default(),
            trial: true,
            salvage: false,
        }
    }
}

impl MachineOptions {
    /// Physical memory, from the most complete source.
    pub fn physical() -> Self {
        Self::default()
    }

    /// The kernel's virtual memory, from the most complete source.
    pub fn kernel() -> Self {
        Self { kernel: true, ..Self::default() }
    }

    /// The same, from that source.
    #[must_use]
    pub fn source(mut self, source: impl AsRef<OsStr>) -> Self {
        self.source = source.as_ref().to_owned();
        self
    }
}

/// The opened memory of a machine, and the plan of what to copy.
pub struct MachineSource {
    /// The memory.
    pub space: Box<dyn AddressSpace>,
    /// The regions to copy, and the facts about the machine.
    pub plan: Plan,
    /// The name of the source, for people.
    pub name: String,
    /// The memory that the machine has but that is known to be missing from the space.
    pub omitted: Vec<Hole>,
    /// Notes on the source for the reader of an image.
    pub notes: Vec<String>,
    /// The problems of an image that is the source.
    pub problems: Vec<String>,
    /// Finds the memory that was added or removed since it was opened.
    pub recheck: Recheck,
    /// The analysis kit of a running machine. `None` if the source is an image.
    pub kit: Option<Kit>,
}

impl MachineSource {
    /// Opens the source, and plans what to copy.
    ///
    /// # Errors
    /// If no source can be used, or the image that was named holds another kind of memory ([`ErrorKind::WrongSpace`]).
    pub fn open(options: &MachineOptions) -> Result<Self> {
        let space = if options.kernel { Space::Kernel } else { Space::Physical };
        let mut opened = match image(options)? {
            Some(image) => Self::of_image(image, options.exclude)?,
            None => Self::live(options, space)?,
        };
        opened.plan.is_thinned = !options.exclude.is_empty();
        let found = opened.plan.map.space();
        if found != space {
            let message = format!("{} holds {found} memory", opened.name);
            return Err(Error::new(ErrorKind::WrongSpace, message));
        }
        Ok(opened)
    }

    fn of_image(image: InputImage, exclude: Exclude) -> Result<Self> {
        let problems = image.problems();
        let name = format!("{} ({} image)", image.path.display(), image.format.name);
        let image = image.without(exclude)?;
        Ok(Self {
            plan: image.plan(),
            space: image.image.space,
            name,
            omitted: Vec::new(),
            notes: Vec::new(),
            problems,
            recheck: Box::new(|| Ok(Vec::new())),
            kit: None,
        })
    }

    fn live(options: &MachineOptions, space: Space) -> Result<Self> {
        let choice = match options.source.to_str() {
            Some("auto") => Choice::Auto,
            name => match SOURCES.iter().find(|source| Some(source.name) == name) {
                Some(source) => Choice::Source(source),
                None => Choice::Path(options.source.clone().into()),
            },
        };
        let mut request = MemoryRequest::default();
        request.space = space;
        request.choice = choice;
        request.exclude = options.exclude;
        request.include_reserved = options.include_reserved;
        request.direct_map = options.direct_map;
        request.trial = options.trial;
        let opened = memdump_live::open(&request)?;
        tracing::info!("source: {} ({})", opened.source.display(), opened.why);
        Ok(Self {
            plan: Plan::whole(opened.space.map().clone(), opened.page_size, opened.facts),
            space: opened.space,
            name: opened.source.display().to_string(),
            omitted: opened.omitted,
            notes: opened.notes,
            problems: Vec::new(),
            recheck: opened.recheck,
            kit: Some(opened.kit),
        })
    }
}

/// Opens the source as an image, if it is a regular file that begins like one. ELF files are left to the live sources, because a
/// kcore at another path is one too.
fn image(options: &MachineOptions) -> Result<Option<InputImage>> {
    let path = Path::new(&options.source);
    if options.source == "auto" || !path.is_file() {
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
    InputImage::open(path, &InputOptions::new().salvage(options.salvage)).map(Some)
}
