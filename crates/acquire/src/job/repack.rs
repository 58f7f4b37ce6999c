//! The same image with another compression, or none. Its uncompressed bytes do not change.

use memdump_image::{Summary, is_zero};

use super::{Job, Monitor, Report};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::input::InputImage;

/// The number of bytes that are copied at a time.
const PIECE_LEN: usize = 1 << 20;

impl Job {
    /// Copies the uncompressed bytes of `image`'s file as they are. The job must have the same format.
    ///
    /// # Errors
    /// If the image cannot be read ([`ErrorKind::DamagedImage`]) or the new one cannot be written, or the monitor stops it.
    pub fn repack(self, image: &InputImage, monitor: &mut dyn Monitor) -> Result<Report> {
        let Self { mut output, .. } = self;
        let passed = {
            let place = output.place();
            pass(image, output.sink()?, &place, monitor)
        };
        monitor.ends();
        passed?;
        let summary = Summary::default();
        let receipt = output.commit(&summary)?;
        Ok(Report { summary, missing: Vec::new(), second_look: None, kit: None, receipt })
    }
}

fn pass(
    image: &InputImage,
    sink: &mut dyn memdump_sink::Sink,
    place: &str,
    monitor: &mut dyn Monitor,
) -> Result<()> {
    let unread = |message: String, error: std::io::Error| {
        Error::new(ErrorKind::DamagedImage, format!("{message}: {error}")).because(error)
    };
    let size = image.file.size().map_err(|error| unread("cannot read the image".into(), error))?;
    monitor.begins(size);
    let mut piece = vec![0; PIECE_LEN];
    let mut at = 0;
    while at < size {
        if monitor.wants_stop() {
            return Err(Error::new(ErrorKind::Stopped, "stopped by a signal"));
        }
        let now = piece.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let piece = &mut piece[..now];
        image
            .file
            .read_exact_at(at, piece)
            .map_err(|error| unread(format!("cannot read the image at offset {at:#x}"), error))?;
        match is_zero(piece) {
            true => sink.zeros(now as u64),
            false => sink.write_all(piece),
        }
        .with_context(|| format!("cannot write to {place}"))?;
        at += now as u64;
        monitor.advance(now as u64);
    }
    Ok(())
}
