//! The analysis kit: the archive beside an image, written when the memory has been taken, so that to read files changes nothing of it.

use std::ffi::OsString;
use std::io::{self, Cursor};
use std::path::Path;

use anyhow::Context;
use memdump_image::manifest::{FileRecord, Kit, KitFile};
use memdump_live::KitItem;
use memdump_sink::{Hashing, Request, Sink, sha256};

use crate::exit::UsageError;

/// Files in it are read by their owner alone, as the archive itself.
const MODE: u32 = 0o400;

/// The archive, opened before anything is read.
pub(super) struct Archive {
    sink: Box<dyn Sink>,
    path: OsString,
}

/// What was written.
pub(super) struct Packed {
    pub(super) kit: Kit,
    /// Whether it lies in the image's folder.
    pub(super) is_beside: bool,
}

impl Archive {
    pub(super) fn open(path: &Path, overwrite: bool) -> anyhow::Result<Self> {
        let request = Request { target: path.into(), overwrite };
        if request.kind().name == "stdout" {
            let message = "the kit is not written to standard output: name a file (--kit kit.tar)";
            return Err(UsageError(message.into()).into());
        }
        let sink = (request.kind().open)(&request)
            .with_context(|| format!("cannot write the kit {}", path.display()))?;
        Ok(Self { sink, path: request.target })
    }

    /// Fills it. `time` is that of all files in it, in seconds since 1970; `image` is where the image went.
    pub(super) fn write(
        self,
        items: impl Iterator<Item = KitItem>,
        time: u64,
        image: &OsString,
    ) -> anyhow::Result<Packed> {
        let path = Path::new(&self.path);
        let failed = || format!("cannot write the kit {} (the image is whole)", path.display());
        let mut archive = tar::Builder::new(Hashing::new(self.sink).with_context(failed)?);
        let mut files = Vec::new();
        let result = items
            .map(|item| add(&mut archive, item, time))
            .try_for_each(|file| file.map(|file| files.push(file)))
            .and_then(|()| archive.finish());
        let (sink, hashed) = archive.into_inner().with_context(failed)?.finish();
        if let Err(error) = result {
            sink.abort();
            return Err(error).with_context(failed);
        }
        sink.commit().with_context(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let archive = FileRecord { name, size: hashed.size, sha256: hashed.sha256 };
        let is_beside = path.parent() == Path::new(image).parent();
        Ok(Packed { kit: Kit { archive, files }, is_beside })
    }

    /// Nothing was written.
    pub(super) fn abandon(self) {
        self.sink.abort();
    }
}

fn add(archive: &mut tar::Builder<Hashing>, item: KitItem, time: u64) -> io::Result<KitFile> {
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
