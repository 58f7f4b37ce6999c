//! Opens what the user asked for: tries the sources for real, and says which was taken and why.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use memdump_image::{AddressSpace, Exclude, Excluding, Facts, Hole, Space};

use crate::kernel;
use crate::kit::Kit;
use crate::machine::{Machine, page_size};
use crate::physical::exclude::PageFlags;
use crate::physical::{Physical, SOURCES, Source, device, kcore, reserved, trial};
use crate::refusal::{Reason, Refusal};

/// The source to read from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Choice {
    /// The most complete of those that can be used.
    #[default]
    Auto,
    /// The named one.
    Source(&'static Source),
    /// Another kcore (of a host's `/proc` inside a container), or another memory device.
    Path(PathBuf),
}

/// The memory of this machine that is to be opened.
///
/// ```
/// use memdump_live::MemoryRequest;
///
/// let mut request = MemoryRequest::kernel();
/// request.direct_map = true;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryRequest {
    /// The address space: physical or kernel memory.
    pub space: Space,
    /// The source to read from.
    pub choice: Choice,
    /// True if memory that the firmware reserved is added; physical memory only.
    pub include_reserved: bool,
    /// True if the direct map is added; kernel memory only.
    pub direct_map: bool,
    /// The uses whose pages are left out of physical memory.
    pub exclude: Exclude,
    /// True if a few pages are read first, to see that a source really works.
    pub trial: bool,
}

impl MemoryRequest {
    /// Physical memory, from the most complete source, after a trial.
    pub fn physical() -> Self {
        Self {
            space: Space::Physical,
            choice: Choice::Auto,
            include_reserved: false,
            direct_map: false,
            exclude: Exclude::default(),
            trial: true,
        }
    }

    /// The kernel's virtual memory without the direct map, from the most complete source, after a trial.
    pub fn kernel() -> Self {
        Self { space: Space::Kernel, ..Self::physical() }
    }
}

/// [`MemoryRequest::physical`].
impl Default for MemoryRequest {
    fn default() -> Self {
        Self::physical()
    }
}

/// Finds out which RAM came or went since the source was opened.
pub type Recheck = Box<dyn Fn() -> io::Result<Vec<Hole>> + Send + Sync>;

/// Memory of this machine, ready to be read.
#[non_exhaustive]
pub struct MachineMemory {
    /// The memory.
    pub space: Box<dyn AddressSpace>,
    /// The facts that an image of it should carry.
    pub facts: Facts,
    /// The page size, in bytes.
    pub page_size: u64,
    /// The path that it is read from.
    pub source: PathBuf,
    /// The reason for the choice of this source.
    pub why: String,
    /// RAM that the machine names and that is not in the space.
    pub omitted: Vec<Hole>,
    /// Notes for the reader of an image: accounts that differ, memory that was not added.
    pub notes: Vec<String>,
    /// Sources that were tried and could not be used.
    pub refused: Vec<Refusal>,
    /// Finds out which RAM came or went since; see [`Recheck`].
    pub recheck: Recheck,
    /// The files that are wanted beside an image of it.
    pub kit: Kit,
}

/// No source can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoSource {
    /// Each that was tried.
    pub refused: Vec<Refusal>,
}

impl NoSource {
    /// The error of which all these sources were tried.
    pub fn new(refused: Vec<Refusal>) -> Self {
        Self { refused }
    }
}

impl std::error::Error for NoSource {}

/// A line for each source.
impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no source of memory can be used:")?;
        self.refused.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
    }
}

/// Opens a source. Beside the trial that was asked for, and the page tables of a kernel, no memory is
/// read.
///
/// # Errors
/// When no source that was asked for can be used; each says why.
pub fn open(request: &MemoryRequest) -> Result<MachineMemory, NoSource> {
    let candidates: Vec<(&Path, Machine)> = match &request.choice {
        Choice::Auto => {
            SOURCES.iter().map(|source| (Path::new(source.path), Machine::here())).collect()
        }
        Choice::Source(source) => vec![(Path::new(source.path), Machine::here())],
        Choice::Path(path) => vec![(path, Machine::of_kcore(path))],
    };
    let mut refused = Vec::new();
    let mut best: Option<(&Path, Machine, Physical)> = None;
    for (path, machine) in candidates {
        match attempt(request, &machine, path) {
            Ok(physical) => {
                let size = physical.space.map().total();
                tracing::info!("{}: usable, {size} bytes of RAM", path.display());
                // Of equals the first: the table's order is the order of preference.
                if best.as_ref().is_none_or(|(_, _, best)| best.space.map().total() < size) {
                    best = Some((path, machine, physical));
                }
            }
            Err(reason) => {
                let refusal = Refusal { path: path.into(), reason };
                tracing::info!("{refusal}");
                refused.push(refusal);
            }
        }
    }
    let Some((path, machine, physical)) = best else { return Err(NoSource { refused }) };
    let why = match request.choice {
        Choice::Auto => "the most complete source that can be used",
        _ => "asked for",
    };
    match finish(request, path, &machine, physical) {
        Ok(opened) => Ok(MachineMemory { why: why.to_owned(), refused, ..opened }),
        Err(reason) => {
            refused.push(Refusal { path: path.into(), reason });
            Err(NoSource { refused })
        }
    }
}

/// Opens one source and tries it.
fn attempt(request: &MemoryRequest, machine: &Machine, path: &Path) -> Result<Physical, Reason> {
    let physical = match SOURCES.iter().find(|source| Path::new(source.path) == path) {
        Some(source) => (source.open)(machine, path)?,
        None => by_kind(machine, path)?,
    };
    if request.space == Space::Kernel && physical.kernel.is_none() {
        return Err(Reason::PhysicalOnly);
    }
    if request.trial {
        trial(&*physical.space)?;
    }
    Ok(physical)
}

/// A path that is in no table: a device by its position, anything else a kcore.
fn by_kind(machine: &Machine, path: &Path) -> Result<Physical, Reason> {
    let metadata =
        std::fs::metadata(path).map_err(|error| machine.refusal_of_open(path, &error))?;
    if metadata.file_type().is_char_device() {
        return device::open(&Machine::here(), path);
    }
    match metadata.is_file() {
        true => kcore::open(machine, path),
        false => Err(Reason::UnknownKind),
    }
}

/// Goes from physical memory to what was asked for.
fn finish(
    request: &MemoryRequest,
    path: &Path,
    machine: &Machine,
    physical: Physical,
) -> Result<MachineMemory, Reason> {
    let Physical { space, facts, mut omitted, differences: mut notes, recheck, kernel } = physical;
    let space: Box<dyn AddressSpace> = match (request.space, kernel) {
        (Space::Kernel, Some(segments)) => {
            let source = kernel::KernelSource {
                machine,
                path,
                physical: space,
                segments,
                vmcoreinfo: facts.vmcoreinfo.as_ref(),
                arch: facts.arch,
                direct_map: request.direct_map,
            };
            // Physical RAM that is missing is no part of what was asked for.
            omitted.clear();
            let (space, other_way) = kernel::open(source)?;
            notes.extend(other_way);
            space
        }
        _ if request.include_reserved => {
            let (space, unavailable) = reserved::add(machine, space);
            notes.extend(unavailable);
            Box::new(space)
        }
        _ => Box::new(space),
    };
    let space: Box<dyn AddressSpace> = match request.exclude {
        exclude if exclude.is_empty() => space,
        exclude => {
            let flags = PageFlags::open(&machine.proc)
                .map_err(|error| Reason::NoPageFlags(error.to_string()))?;
            Box::new(Excluding::new(space, exclude, flags, page_size()))
        }
    };
    tracing::info!("{} bytes in {} regions", space.map().total(), space.map().regions().len());
    for region in space.map().regions() {
        tracing::debug!("{} {} {}", region.extent, region.kind, region.label);
    }
    Ok(MachineMemory {
        kit: Kit::new(machine, &facts),
        space,
        facts,
        page_size: page_size(),
        source: path.into(),
        why: String::new(),
        omitted,
        notes,
        refused: Vec::new(),
        recheck,
    })
}
