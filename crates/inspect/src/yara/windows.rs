//! Cuts a view into windows of memory that are searched with rules, and what need not be read between them. The reading is in `read`.

use memdump_image::{AddressSpace, Cause, Extent, Presence, ReadError, View};

use super::limits::Sizes;
use crate::scan::ScanError;

/// A piece of work, in the order of addresses. The extents that jobs own are disjoint, and make up the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Window(Window),
    /// Never touched zeros.
    Zero(Extent),
    /// Nothing to read.
    Hole(Extent, Cause),
}

/// Memory that is searched at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The extent that is read: the window, and the context that may be shown around it.
    pub(super) read: Extent,
    /// The extent that is searched.
    pub(super) searched: Extent,
    /// The extent that this window counts as searched; other jobs count the rest.
    pub(super) own: Extent,
    /// The start of the next window, if it shares memory with this one.
    pub(super) next: Option<u64>,
}

/// The jobs of a view.
pub(super) struct Jobs<'a> {
    space: &'a dyn AddressSpace,
    extents: Box<dyn Iterator<Item = Extent> + Send + 'a>,
    sizes: Sizes,
    /// The present extent, and the start of what is left of it.
    present: Option<(Extent, u64)>,
    /// True if the window before shares memory with what is left.
    goes_on: bool,
    /// Zeros that end where the rest begins.
    zeros: u64,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(view: &View<'a>, sizes: Sizes) -> Self {
        let extents: Vec<Extent> = view.pieces().collect();
        let extents = Box::new(extents.into_iter());
        Self { space: view.space(), extents, sizes, present: None, goes_on: false, zeros: 0 }
    }

    /// The presence of memory at the front of `rest`, and the extent of it.
    fn front(&self, rest: Extent) -> Result<(Presence, Extent), ScanError> {
        let error = |source| ScanError::Read { addr: rest.start(), source };
        match self.space.survey(rest) {
            Ok(runs) => match runs.first() {
                Some(run) if run.extent.start() == rest.start() && rest.covers(run.extent) => {
                    Ok((run.presence, run.extent))
                }
                _ => Err(error(std::io::Error::other("the source surveyed something else"))),
            },
            Err(ReadError::Fault { cause, .. }) => Ok((Presence::Nothing(cause), rest)),
            Err(ReadError::Io(source)) => Err(error(source)),
        }
    }

    fn job(&mut self) -> Result<Option<Job>, ScanError> {
        let (extent, at) = match self.present.take() {
            Some(present) => present,
            None => {
                let Some(extent) = self.extents.next() else { return Ok(None) };
                (self.goes_on, self.zeros) = (false, 0);
                (extent, extent.start())
            }
        };
        let Ok(rest) = Extent::half_open(at, extent.end()) else { return self.job() };
        if !self.goes_on {
            let (presence, run) = self.front(rest)?;
            let blank = match presence {
                Presence::Memory | Presence::InFile => None,
                Presence::Zero => Some((Job::Zero(run), self.zeros + run.len())),
                Presence::Nothing(cause) => Some((Job::Hole(run, cause), 0)),
            };
            if let Some((job, zeros)) = blank {
                self.zeros = zeros;
                self.present = Some((extent, run.end()));
                return Ok(Some(job));
            }
        }
        self.window(extent, rest).map(Job::Window).map(Some)
    }

    /// The window at the front of `rest`, which is left of `extent`.
    fn window(&mut self, extent: Extent, rest: Extent) -> Result<Window, ScanError> {
        let Sizes { window, overlap, margin, context } = self.sizes;
        let at = rest.start();
        let end = rest.end().min(at.saturating_add(window));
        let (before, zeros_before) = match self.goes_on {
            true => (context.min(at - extent.start()), 0),
            false => (self.zeros.min(margin + context), self.zeros.min(margin)),
        };
        // Where memory goes on, also behind few zeros, the next window shares some of this one; of many zeros some are
        // looked at here.
        let behind = Extent::half_open(end, rest.end()).map(|rest| self.front(rest)).ok();
        let (next, zeros_behind) = match behind.transpose()? {
            Some((Presence::Memory | Presence::InFile, _)) => (Some(end - overlap), 0),
            Some((Presence::Zero, run)) if run.len() < overlap => (Some(end - overlap), 0),
            Some((Presence::Zero, run)) => (None, run.len()),
            Some((Presence::Nothing(_), _)) | None => (None, 0),
        };
        let span = |start, end| {
            let extent = Extent::half_open(start, end);
            extent.map_err(|error| ScanError::Read {
                addr: at,
                source: std::io::Error::other(error.to_string()),
            })
        };
        let own_end = next.unwrap_or(end);
        (self.goes_on, self.zeros) = (next.is_some(), 0);
        self.present = Some((extent, own_end));
        Ok(Window {
            read: span(at - before, end + zeros_behind.min(margin + context))?,
            searched: span(at - zeros_before, end + zeros_behind.min(margin))?,
            own: span(at, own_end)?,
            next,
        })
    }
}

impl Iterator for Jobs<'_> {
    type Item = Result<Job, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.job().transpose()
    }
}
