//! Opening an image that a command is given, with errors that say what to do.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use memdump_image::codec::{self, Codec};
use memdump_image::format::{self, FORMATS, Format, Image, OpenError};
use memdump_image::{MemoryMap, ReadAt};

/// An image file that was opened.
pub(super) struct Opened {
    /// Its bytes, unpacked.
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

    /// The page size of its machine, as far as it says so.
    pub(super) fn page_size(&self) -> u64 {
        let info = self.image.facts.vmcoreinfo.as_ref();
        let said = info.and_then(|info| info.get("PAGESIZE")?.parse::<u64>().ok());
        said.filter(|size| size.is_power_of_two() && (512..=1 << 24).contains(size)).unwrap_or(4096)
    }
}

/// Opens the image at `path`. `format` names what does not show; a raw image has its `map` beside it.
pub(super) fn open(
    path: &Path,
    format: Option<&str>,
    map: Option<&PathBuf>,
) -> anyhow::Result<Opened> {
    let shown = path.display();
    if path == OsStr::new("-") {
        bail!("an image is read here and there, not from front to back: name a file in place of -");
    }
    let file = File::open(path).with_context(|| format!("cannot open the image {shown}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot open the image {shown}"))?;
    if metadata.is_dir() {
        bail!("cannot open the image {shown}: it is a folder; name the file in it");
    }
    let size = metadata.len();
    let file: Arc<dyn ReadAt> = Arc::new(file);
    let damaged = || format!("cannot open the image {shown}");
    let named = match (format, map) {
        (None, None) => {
            let opened = format::open(Arc::clone(&file)).map_err(|error| {
                let message = match &error {
                    OpenError::Unknown { .. } => format!(
                        "cannot open the image {shown}: {error}; say what it is: --map FILE for a raw one, \
                         --input-format padded where position is address"
                    ),
                    _ => damaged(),
                };
                anyhow::Error::from(error).context(message)
            })?;
            let (_, file) = codec::unpacked(file)?;
            let format::Opened { format, codec, image } = opened;
            return Ok(Opened { file, size, codec, format, image });
        }
        (Some(name), _) => name,
        (None, Some(_)) => "raw",
    };
    let (codec, file) = codec::unpacked(file).with_context(damaged)?;
    let format = Format::by_name(named).context("an unlisted format")?;
    let image = match (format.open, map) {
        (_, Some(map)) if named == "raw" => {
            let text = fs::read_to_string(map)
                .with_context(|| format!("cannot read the map {}", map.display()))?;
            format::with_map(Arc::clone(&file), &text)
        }
        (Some(open), _) => open(Arc::clone(&file)),
        (None, _) => {
            bail!("{shown} does not say itself what lies where: give its map (--map FILE)")
        }
    };
    let image = image.with_context(damaged)?;
    Ok(Opened { file, size, codec, format, image })
}

/// Opens any file as it is, also where it is compressed: its offsets are the addresses.
pub(super) fn plain(path: &Path) -> anyhow::Result<Opened> {
    let failed = || format!("cannot open {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let metadata = file.metadata().with_context(failed)?;
    if metadata.is_dir() {
        bail!("cannot open {}: it is a folder; name the file in it", path.display());
    }
    let file: Arc<dyn ReadAt> = Arc::new(file);
    let format = Format::by_name("padded").context("an unlisted format")?;
    let open = format.open.context("a format that cannot be read")?;
    let image = open(Arc::clone(&file)).with_context(failed)?;
    Ok(Opened { file, size: metadata.len(), codec: None, format, image })
}

/// Opens a raw image by the text of its map.
pub(super) fn raw(path: &Path, map: &str) -> anyhow::Result<Opened> {
    let failed = || format!("cannot open the image {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let size = file.metadata().with_context(failed)?.len();
    let (codec, file) = codec::unpacked(Arc::new(file)).with_context(failed)?;
    let image = format::with_map(Arc::clone(&file), map).with_context(failed)?;
    let format = Format::by_name("raw").context("an unlisted format")?;
    Ok(Opened { file, size, codec, format, image })
}

/// The names of formats that can be read.
pub(crate) fn readable() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().filter(|format| format.open.is_some() || format.name == "raw")
}
