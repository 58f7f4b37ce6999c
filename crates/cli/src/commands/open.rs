//! Opening an image that a command is given, with errors that say what to do.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use memdump_image::codec::{self, Codec};
use memdump_image::format::{self, FORMATS, Format, FormatError, Image, OpenError, OpenMode};
use memdump_image::{AddressSpace, Excluding, MemoryMap, ReadAt, Space};
use memdump_inspect::kernel::PageStructs;

use super::select::uses;
use crate::args::{Excluded, InputArgs};
use crate::exit::UsageError;

/// An image file that was opened.
pub(super) struct Opened {
    /// Its bytes, unpacked; of several files those of the first.
    pub(super) file: Arc<dyn ReadAt>,
    /// Bytes of the file as it lies there.
    pub(super) size: u64,
    pub(super) codec: Option<&'static Codec>,
    pub(super) format: &'static Format,
    pub(super) image: Image,
}

impl Opened {
    pub(super) fn map(&self) -> &MemoryMap {
        self.image.space.map()
    }

    /// A line for each thing that is wrong with it.
    pub(super) fn problems(&self) -> Vec<String> {
        let problems = &self.image.problems;
        let mut lines: Vec<String> = problems.listed().iter().map(ToString::to_string).collect();
        if problems.unlisted() > 0 {
            lines.push(format!("and {} problems more", problems.unlisted()));
        }
        lines
    }

    /// The page size of its machine, as far as it says so.
    pub(super) fn page_size(&self) -> u64 {
        let info = self.image.facts.vmcoreinfo.as_ref();
        let said = info.and_then(|info| info.get("PAGESIZE")?.parse::<u64>().ok());
        said.filter(|size| size.is_power_of_two() && (512..=1 << 24).contains(size)).unwrap_or(4096)
    }

    /// The same without memory of these uses, as the page structures in it tell them.
    pub(super) fn without(mut self, excluded: &[Excluded]) -> anyhow::Result<Self> {
        let exclude = uses(excluded);
        if exclude.is_empty() {
            return Ok(self);
        }
        let refused = "cannot tell what the pages of this image were used for (--exclude)";
        let space: Arc<dyn AddressSpace> = self.image.space.into();
        if space.map().space() != Space::Physical {
            bail!("{refused}: it holds {} memory, and no page structures", space.map().space());
        }
        let info = self.image.facts.vmcoreinfo.as_ref();
        let info = info.with_context(|| format!("{refused}: it carries no VMCOREINFO"))?;
        let machine = self.image.facts.machine.as_deref();
        let uses = PageStructs::find(Arc::clone(&space), info, machine).context(refused)?;
        let page_size = info.page_size().unwrap_or(4096);
        self.image.space = Box::new(Excluding::new(Box::new(space), exclude, uses, page_size));
        Ok(self)
    }
}

/// Opens the image at `path`, as the options say.
pub(super) fn open(path: &Path, how: &InputArgs) -> anyhow::Result<Opened> {
    let mode = if how.salvage { OpenMode::Salvage } else { OpenMode::Strict };
    let opening = Opening { path, mode };
    let (file, size) = opening.file(path)?;
    let named = match (&how.input_format, &how.map) {
        _ if !how.part.is_empty() => return opening.parts(file, size, how),
        (None, None) => {
            let format::OpenedImage { format, codec, image } =
                format::open(Arc::clone(&file), mode).map_err(|error| opening.refused(error))?;
            let (_, file) = codec::unpacked(file)?;
            return Ok(Opened { file, size, codec, format, image });
        }
        (Some(name), _) => name,
        (None, Some(_)) => "raw",
    };
    let (codec, file) = codec::unpacked(file).map_err(|error| opening.refused(error.into()))?;
    let format = Format::by_name(named).context("an unlisted format")?;
    let image = match (format.open, &how.map) {
        (_, Some(map)) if named == "raw" => {
            let text = fs::read_to_string(map)
                .with_context(|| format!("cannot read the map {}", map.display()))?;
            format::with_map(Arc::clone(&file), &text, mode)
        }
        (Some(open), _) => open(Arc::clone(&file), mode),
        (None, _) => {
            let shown = path.display();
            bail!("{shown} does not say itself what lies where: give its map (--map FILE)")
        }
    };
    let image = image.map_err(|error| opening.refused(error.into()))?;
    Ok(Opened { file, size, codec, format, image })
}

/// Opens any file as it is, also where it is compressed: its offsets are the addresses.
pub(super) fn plain(path: &Path) -> anyhow::Result<Opened> {
    let opening = Opening { path, mode: OpenMode::Strict };
    let (file, size) = opening.file(path)?;
    let format = Format::by_name("padded").context("an unlisted format")?;
    let open = format.open.context("a format that cannot be read")?;
    let image = open(Arc::clone(&file), opening.mode);
    let image = image.map_err(|error| opening.refused(error.into()))?;
    Ok(Opened { file, size, codec: None, format, image })
}

/// Opens a raw image by the text of its map, and takes what is there of it.
pub(super) fn raw(path: &Path, map: &str) -> anyhow::Result<Opened> {
    let opening = Opening { path, mode: OpenMode::Salvage };
    let (file, size) = opening.file(path)?;
    let (codec, file) = codec::unpacked(file).map_err(|error| opening.refused(error.into()))?;
    let image = format::with_map(Arc::clone(&file), map, OpenMode::Salvage);
    let image = image.map_err(|error| opening.refused(error.into()))?;
    let format = Format::by_name("raw").context("an unlisted format")?;
    Ok(Opened { file, size, codec, format, image })
}

/// An image that is being opened, for what is said when it cannot be.
struct Opening<'a> {
    path: &'a Path,
    mode: OpenMode,
}

impl Opening<'_> {
    /// Opens a file, and says how many bytes it has.
    fn file(&self, path: &Path) -> anyhow::Result<(Arc<dyn ReadAt>, u64)> {
        let shown = path.display();
        if path == OsStr::new("-") {
            bail!(
                "an image is read here and there, not from front to back: name a file in place of -"
            );
        }
        let failed = || format!("cannot open the image {shown}");
        let file = File::open(path).with_context(failed)?;
        if file.metadata().with_context(failed)?.is_dir() {
            bail!("cannot open the image {shown}: it is a folder; name the file in it");
        }
        let size = file.size().with_context(failed)?;
        Ok((Arc::new(file), size))
    }

    /// Opens the files of a split image.
    fn parts(&self, first: Arc<dyn ReadAt>, size: u64, how: &InputArgs) -> anyhow::Result<Opened> {
        let format = Format::by_name("kdump").context("an unlisted format")?;
        if how.input_format.as_ref().is_some_and(|name| name != format.name) {
            let message = "--part is for the files of a split kdump image alone";
            return Err(UsageError(message.into()).into());
        }
        let (codec, first) = codec::unpacked(first).map_err(|error| self.refused(error.into()))?;
        let mut files = vec![Arc::clone(&first)];
        let mut whole = size;
        for path in &how.part {
            let (file, size) = self.file(path)?;
            let (_, file) = codec::unpacked(file).map_err(|error| self.refused(error.into()))?;
            files.push(file);
            whole += size;
        }
        let image = format::open_parts(files, self.mode);
        let image = image.map_err(|error| self.refused(error.into()))?;
        Ok(Opened { file: first, size: whole, codec, format, image })
    }

    /// What is said when it cannot be opened, and what to do.
    fn refused(&self, error: OpenError) -> anyhow::Error {
        let shown = self.path.display();
        let advice = match (&error, self.mode) {
            (OpenError::Unknown { .. }, _) => {
                "; say what it is: --map FILE for a raw one, --input-format padded where position is address"
            }
            (OpenError::Format(_), OpenMode::Strict) => "; --salvage takes what is whole of it",
            _ => "",
        };
        Refused { message: format!("cannot open the image {shown}: {error}{advice}"), error }.into()
    }
}

/// Why a file is not opened as an image.
#[derive(Debug)]
pub(super) struct Refused {
    message: String,
    error: OpenError,
}

impl Refused {
    /// Whether it is no damaged image but something else: no format begins so, or it is an ELF file and no core.
    pub(super) fn is_no_image(&self) -> bool {
        match &self.error {
            OpenError::Unknown { .. } => true,
            OpenError::Format(FormatError::Field { field, .. }) => *field == "e_type",
            _ => false,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// The names of formats that can be read.
pub(crate) fn readable() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().filter(|format| format.open.is_some() || format.name == "raw")
}
