//! The memory use of a process, so that it can be said if a dump changed it.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::proc::status::{field, kilobytes};

/// The weight of a process, in bytes (`VmRSS`, `VmSwap`, `VmPTE` of its status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// Pages in memory.
    #[serde(rename = "rss")]
    pub resident: u64,
    /// Pages on swap.
    pub swap: u64,
    /// Page tables.
    pub page_tables: u64,
}

impl Weight {
    /// Of the process whose directory in `/proc` is `folder`; none when it is gone.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let bytes = |key| field(&status, key).and_then(kilobytes);
        Some(Self {
            resident: bytes("VmRSS")?,
            swap: bytes("VmSwap")?,
            page_tables: bytes("VmPTE")?,
        })
    }
}
