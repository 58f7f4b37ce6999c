//! Image files that are read, whatever their format and compression.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memdump_image::codec::{self, Codec};
use memdump_image::format::{self, FORMATS, Format, FormatError, Image, OpenError, OpenMode};
use memdump_image::{AddressSpace, Exclude, Excluding, MemoryMap, Plan, ReadAt, Space};
use memdump_inspect::kernel::PageStructs;

use crate::error::{Context, Error, ErrorKind, Result};

/// The way an image file is opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct InputOptions {
    /// The name of the format. By default the file's own bytes tell it.
    pub format: Option<String>,
    /// The file with the map of a raw image: a line `0xSTART 0xEND` for each run of addresses in it, END exclusive.
    pub map: Option<PathBuf>,
    /// The further files of a kdump image that was split.
    pub parts: Vec<PathBuf>,
    /// True if the valid parts of a damaged image are recovered.
    pub salvage: bool,
}

impl InputOptions {
    /// Options for a file whose bytes tell its format, and which is not damaged.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for a file of the format of that name.
    #[must_use]
    pub fn format(mut self, name: impl Into<String>) -> Self {
        self.format = Some(name.into());
        self
    }

    /// The same, with the map of a raw image.
    #[must_use]
    pub fn map(mut self, file: impl Into<PathBuf>) -> Self {
        self.map = Some(file.into());
        self
    }

    /// The same, with the further files of a split image.
    #[must_use]
    pub fn parts(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.parts = files.into_iter().collect();
        self
    }

    /// The same. `salvage` is true if the valid parts of a damaged image are recovered.
    #[must_use]
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Returns true if no option tells what the file is.
    pub fn is_silent(&self) -> bool {
        self.format.is_none() && self.map.is_none() && self.parts.is_empty()
    }

    fn mode(&self) -> OpenMode {
        if self.salvage { OpenMode::Salvage } else { OpenMode::Strict }
    }
}

/// An image file that was opened.
pub struct InputImage {
    /// The path that was opened.
    pub path: PathBuf,
    /// The uncompressed bytes of the file. If there are several files, those of the first.
    pub file: Arc<dyn ReadAt>,
    /// The size of the file as it is stored, in bytes. If there are several files, their sum.
    pub size: u64,
    /// The compression of the whole file.
    pub codec: Option<&'static Codec>,
    /// The format.
    pub format: &'static Format,
    /// The memory, and the facts in the image about it.
    pub image: Image,
}

impl InputImage {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// If the file cannot be read, is of no known format ([`ErrorKind::UnknownFormat`]), is damaged
    /// ([`ErrorKind::DamagedImage`]), or needs a map ([`ErrorKind::MapMissing`]).
    pub fn open(path: impl AsRef<Path>, options: &InputOptions) -> Result<Self> {
        let opening = Opening { path: path.as_ref(), mode: options.mode() };
        let (file, size) = opening.file(opening.path)?;
        let named = match (&options.format, &options.map) {
            _ if !options.parts.is_empty() => return opening.parts(file, size, options),
            (None, None) => {
                let format::OpenedImage { format, codec, image } =
                    format::open(Arc::clone(&file), opening.mode)
                        .map_err(|error| opening.refused(error))?;
                let (_, file) = opening.unpacked(file)?;
                return Ok(opening.opened(file, size, codec, format, image));
            }
            (Some(name), _) => name,
            (None, Some(_)) => "raw",
        };
        let (codec, file) = opening.unpacked(file)?;
        let format = known(named)?;
        let image = match (format.open, &options.map) {
            (_, Some(map)) if named == "raw" => {
                let text = fs::read_to_string(map)
                    .with_context(|| format!("cannot read the map {}", map.display()))?;
                format::with_map(Arc::clone(&file), &text, opening.mode)
            }
            (Some(open), _) => open(Arc::clone(&file), opening.mode),
            (None, _) => {
                let message = format!(
                    "{} does not say at which addresses its memory lies",
                    opening.path.display()
                );
                return Err(Error::new(ErrorKind::MapMissing, message));
            }
        };
        let image = image.map_err(|error| opening.refused(error.into()))?;
        Ok(opening.opened(file, size, codec, format, image))
    }

    /// Opens any file as it is, compressed or not. Its offsets are the addresses.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_plain(path: impl AsRef<Path>) -> Result<Self> {
        let opening = Opening { path: path.as_ref(), mode: OpenMode::Strict };
        let (file, size) = opening.file(opening.path)?;
        let format = known("padded")?;
        let Some(open) = format.open else { return Err(Error::failed("padded cannot be read")) };
        let image = open(Arc::clone(&file), opening.mode);
        let image = image.map_err(|error| opening.refused(error.into()))?;
        Ok(opening.opened(file, size, None, format, image))
    }

    /// Opens a raw image by the text of its map. Recovers what is there if the file is too short.
    ///
    /// # Errors
    /// If the file cannot be read, or the text is not a map.
    pub fn open_raw(path: impl AsRef<Path>, map: &str) -> Result<Self> {
        let opening = Opening { path: path.as_ref(), mode: OpenMode::Salvage };
        let (file, size) = opening.file(opening.path)?;
        let (codec, file) = opening.unpacked(file)?;
        let image = format::with_map(Arc::clone(&file), map, opening.mode);
        let image = image.map_err(|error| opening.refused(error.into()))?;
        Ok(opening.opened(file, size, codec, known("raw")?, image))
    }

    /// The memory.
    pub fn space(&self) -> &dyn AddressSpace {
        &*self.image.space
    }

    /// The regions of the memory.
    pub fn map(&self) -> &MemoryMap {
        self.image.space.map()
    }

    /// A line for each problem of the image. If there are too many, the first ones and the number of the others.
    pub fn problems(&self) -> Vec<String> {
        let problems = &self.image.problems;
        let mut lines: Vec<String> = problems.listed().iter().map(ToString::to_string).collect();
        if problems.unlisted() > 0 {
            lines.push(format!("and {} problems more", problems.unlisted()));
        }
        lines
    }

    /// The page size of the machine that the memory belongs to, in bytes; 4096 if the image does not tell.
    pub fn page_size(&self) -> u64 {
        let info = self.image.facts.vmcoreinfo.as_ref();
        let said = info.and_then(|info| info.get("PAGESIZE")?.parse::<u64>().ok());
        said.filter(|size| size.is_power_of_two() && (512..=1 << 24).contains(size)).unwrap_or(4096)
    }

    /// A plan to copy all of the memory.
    pub fn plan(&self) -> Plan {
        Plan::whole(self.map().clone(), self.page_size(), self.image.facts.clone())
    }

    /// The same image without pages of these uses. The kernel's page structures in the image tell the uses.
    ///
    /// # Errors
    /// [`ErrorKind::UsesUnknown`] when it holds no page structures, or they cannot be found.
    pub fn without(mut self, exclude: Exclude) -> Result<Self> {
        if exclude.is_empty() {
            return Ok(self);
        }
        let refused = |why: String| {
            let message = "cannot tell what the pages of this image were used for";
            Error::new(ErrorKind::UsesUnknown, format!("{message}: {why}"))
        };
        let space: Arc<dyn AddressSpace> = self.image.space.into();
        if space.map().space() != Space::Physical {
            let held = space.map().space();
            return Err(refused(format!("it holds {held} memory, and no page structures")));
        }
        let info = self.image.facts.vmcoreinfo.as_ref();
        let info = info.ok_or_else(|| refused("it carries no VMCOREINFO".into()))?;
        let uses = PageStructs::find(Arc::clone(&space), info, &self.image.facts)
            .map_err(|error| refused(error.to_string()).because(error))?;
        let page_size = info.page_size().unwrap_or(4096);
        self.image.space = Box::new(Excluding::new(Box::new(space), exclude, uses, page_size));
        Ok(self)
    }
}

/// The formats that can be read: all that record their addresses themselves, and raw with its map.
pub fn readable_formats() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().filter(|format| format.open.is_some() || format.name == "raw")
}

pub(crate) fn known(name: &str) -> Result<&'static Format> {
    Format::by_name(name).ok_or_else(|| Error::request(format!("{name} is no known format")))
}

/// An image that is being opened. It has what error messages need.
struct Opening<'a> {
    path: &'a Path,
    mode: OpenMode,
}

impl Opening<'_> {
    fn opened(
        &self,
        file: Arc<dyn ReadAt>,
        size: u64,
        codec: Option<&'static Codec>,
        format: &'static Format,
        image: Image,
    ) -> InputImage {
        InputImage { path: self.path.to_owned(), file, size, codec, format, image }
    }

    /// Opens a file. Returns it with its size in bytes.
    fn file(&self, path: &Path) -> Result<(Arc<dyn ReadAt>, u64)> {
        let shown = path.display();
        if path == OsStr::new("-") {
            return Err(Error::failed(
                "an image is read here and there, not from front to back: name a file in place of -",
            ));
        }
        let failed = || format!("cannot open the image {shown}");
        let file = File::open(path).with_context(failed)?;
        if file.metadata().with_context(failed)?.is_dir() {
            return Err(Error::failed(format!(
                "cannot open the image {shown}: it is a directory; name the file in it"
            )));
        }
        let size = file.size().with_context(failed)?;
        Ok((Arc::new(file), size))
    }

    fn unpacked(&self, file: Arc<dyn ReadAt>) -> Result<(Option<&'static Codec>, Arc<dyn ReadAt>)> {
        codec::unpacked(file).map_err(|error| self.refused(error.into()))
    }

    /// Opens the files of a split image.
    fn parts(
        &self,
        first: Arc<dyn ReadAt>,
        size: u64,
        options: &InputOptions,
    ) -> Result<InputImage> {
        let format = known("kdump")?;
        if options.format.as_ref().is_some_and(|name| name != format.name) {
            return Err(Error::request("only a split kdump image has further parts"));
        }
        let (codec, first) = self.unpacked(first)?;
        let mut files = vec![Arc::clone(&first)];
        let mut whole = size;
        for path in &options.parts {
            let (file, size) = self.file(path)?;
            files.push(self.unpacked(file)?.1);
            whole += size;
        }
        let image = format::open_parts(files, self.mode);
        let image = image.map_err(|error| self.refused(error.into()))?;
        Ok(self.opened(first, whole, codec, format, image))
    }

    fn refused(&self, error: OpenError) -> Error {
        let kind = match (&error, self.mode) {
            (OpenError::Unknown { .. }, _) => ErrorKind::UnknownFormat,
            (OpenError::Format(_), OpenMode::Strict) => ErrorKind::DamagedImage,
            _ => ErrorKind::Failed,
        };
        let message = format!("cannot open the image {}: {error}", self.path.display());
        Error::new(kind, message).because(error)
    }
}

/// Returns true if the file is not a damaged image but something else: it begins like no format, or is an ELF file but not a core.
pub(crate) fn is_no_image(error: &Error) -> bool {
    use std::error::Error as _;
    match error.source().and_then(|source| source.downcast_ref::<OpenError>()) {
        Some(OpenError::Unknown { .. }) => true,
        Some(OpenError::Format(FormatError::Field { field, .. })) => *field == "e_type",
        _ => false,
    }
}
