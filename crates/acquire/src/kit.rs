//! The analysis kit: the archive beside an image. It is written after the memory was copied, so that reading files does not
//! change the memory.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use memdump_live::KitItem;
use memdump_sink::layer::Hash;
use memdump_sink::{Destination, OpenOptions, Sink, sha256};

use crate::error::{Context, Error, Result};
use crate::manifest::{FileRecord, Kit, KitFile};

/// The mode of the files in the archive: only their owner may read them, like the archive itself.
const MODE: u32 = 0o400;

/// The archive, opened before anything is read. If it is dropped, no file remains.
pub(crate) struct Archive {
    sink: Box<dyn Sink>,
    path: PathBuf,
}

/// The archive that was written.
pub(crate) struct Packed {
    pub(crate) kit: Kit,
    /// True if it lies in the image's directory.
    pub(crate) is_beside: bool,
}

impl Archive {
    pub(crate) fn open(path: &Path, overwrite: bool) -> Result<Self> {
        let destination = Destination::parse(path.as_os_str())
            .map_err(|error| Error::request(error.to_string()))?;
        if destination.is_stdout() {
            return Err(Error::request("the kit is not written to standard output: name a file"));
        }
        let sink = destination
            .open(&OpenOptions::new().overwrite(overwrite))
            .with_context(|| format!("cannot write the kit {}", path.display()))?;
        Ok(Self { sink, path: path.to_owned() })
    }

    /// Writes the archive. `time` is the time of all files in it, in seconds since 1970. `image` is the destination of the image.
    pub(crate) fn write(
        self,
        items: impl Iterator<Item = KitItem>,
        time: u64,
        image: Option<&Path>,
    ) -> Result<Packed> {
        let path = self.path;
        let failed = || format!("cannot write the kit {} (the image is whole)", path.display());
        let mut archive = tar::Builder::new(Hash::new(self.sink).with_context(failed)?);
        let mut files = Vec::new();
        for item in items {
            files.push(add(&mut archive, item, time).with_context(failed)?);
        }
        let sink: Box<dyn Sink> = Box::new(archive.into_inner().with_context(failed)?);
        let receipt = sink.commit().with_context(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = receipt.sent.and_then(|sent| sent.sha256);
        let archive = FileRecord { name, size: receipt.size, sha256 };
        let is_beside = image.is_some_and(|image| path.parent() == image.parent());
        Ok(Packed { kit: Kit { archive, files }, is_beside })
    }
}

fn add(archive: &mut tar::Builder<Hash>, item: KitItem, time: u64) -> io::Result<KitFile> {
    let note = item.note.map(str::to_owned);
    let content = match item.content {
        Ok(content) => content,
        Err(missing) => {
            return Ok(KitFile {
                name: item.name,
                missing: Some(missing),
                note,
                ..KitFile::default()
            });
        }
    };
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(MODE);
    header.set_mtime(time);
    archive.append_data(&mut header, &item.name, Cursor::new(&content))?;
    let digest = sha256(content.as_slice(), |_| Ok(()))?;
    Ok(KitFile {
        name: item.name,
        size: Some(content.len() as u64),
        sha256: Some(digest),
        note,
        ..KitFile::default()
    })
}
