//! The fork, where no call can be injected yet: on all architectures but x86-64.

use super::error::SnapshotError;
use crate::process::stop::Session;

/// A copy; there is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Copied {}

impl Copied {
    pub(super) fn pid(&self) -> u32 {
        match *self {}
    }
}

pub(super) fn copy(_session: &mut Session, _allow_seccomp: bool) -> Result<Copied, SnapshotError> {
    Err(SnapshotError::Architecture)
}

pub(super) fn end(_session: &mut Session, copied: Copied) -> Result<(), SnapshotError> {
    match copied {}
}
