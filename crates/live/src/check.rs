//! The preflight: what this machine allows, found out without reading memory.

use std::path::Path;

use memdump_image::{Hole, Region};
use serde::Serialize;

use crate::machine::{Machine, page_size};
use crate::physical::SOURCES;
use crate::proc::status::{Capability, Lockdown};
use crate::refusal::Reason;

/// The findings of the preflight.
#[derive(Clone, Debug, Serialize)]
pub struct Preflight {
    /// `uname -n`.
    pub host: Option<String>,
    /// `uname -r`.
    pub release: Option<String>,
    /// `uname -m`.
    pub machine: Option<String>,
    /// The page size, in bytes.
    pub page_size: u64,
    /// `none`, `integrity` or `confidentiality`; none when securityfs is not mounted.
    pub lockdown: Option<&'static str>,
    /// True if CAP_SYS_RAWIO is held, which opening memory needs.
    pub cap_sys_rawio: Option<bool>,
    /// True if CAP_SYS_ADMIN is held, without which `/proc/iomem` shows zeros.
    pub cap_sys_admin: Option<bool>,
    /// True if a hypervisor protects this guest's memory from itself.
    pub confidential_guest: bool,
    /// The rows of [`SOURCES`](crate::SOURCES), in their order.
    pub sources: Vec<PreflightSource>,
    /// Bytes of RAM that a dump would take from the best source.
    pub ram: u64,
    /// That RAM.
    pub ranges: Vec<PreflightRange>,
    /// RAM that would not be taken.
    pub omitted: Vec<PreflightRange>,
    /// The differences between the machine's accounts of its RAM, and other notes.
    pub notes: Vec<String>,
}

/// A source of memory.
#[derive(Clone, Debug, Serialize)]
pub struct PreflightSource {
    /// Its name, by which a user chooses it.
    pub name: &'static str,
    /// Its path.
    pub path: &'static str,
    /// True if it can be opened and its map is valid.
    pub usable: bool,
    /// Bytes of RAM that it offers.
    pub ram: Option<u64>,
    /// The reason why it cannot be used.
    pub reason: Option<String>,
    /// The reason as a type, from which a program can say what helps.
    #[serde(skip)]
    pub refusal: Option<Reason>,
    /// The remedy, in plain words.
    pub remedy: Option<&'static str>,
    /// True if it can give the kernel's virtual memory.
    pub kernel: bool,
    /// True if only reading can tell that it works: STRICT_DEVMEM lets `/dev/mem` be opened.
    pub untried: bool,
}

/// A range of physical addresses.
#[derive(Clone, Debug, Serialize)]
pub struct PreflightRange {
    /// The first address.
    pub start: u64,
    /// The first address beyond.
    pub end: u64,
    /// The kind of memory, or the reason why it is left out.
    pub kind: String,
}

/// Looks at every source without reading memory through it.
///
/// Only reading can find out if STRICT_DEVMEM guards `/dev/mem`; a dump tries that.
pub fn preflight() -> Preflight {
    let machine = Machine::here();
    let facts = machine.facts();
    let mut found = Preflight {
        host: facts.host.clone(),
        release: facts.release.clone(),
        machine: facts.machine().map(str::to_owned),
        page_size: page_size(),
        lockdown: machine.lockdown().map(Lockdown::name),
        cap_sys_rawio: machine.has(Capability::SysRawio),
        cap_sys_admin: machine.has(Capability::SysAdmin),
        confidential_guest: machine.is_confidential_guest(),
        sources: Vec::new(),
        ram: 0,
        ranges: Vec::new(),
        omitted: Vec::new(),
        notes: Vec::new(),
    };
    for source in SOURCES {
        let opened = (source.open)(&machine, Path::new(source.path));
        let reason = opened.as_ref().err();
        found.sources.push(PreflightSource {
            name: source.name,
            path: source.path,
            usable: opened.is_ok(),
            ram: opened.as_ref().ok().map(|physical| physical.space.map().total()),
            reason: reason.map(Reason::to_string),
            refusal: reason.cloned(),
            remedy: reason.map(Reason::remedy),
            untried: opened.is_ok() && source.may_refuse_reads,
            kernel: opened.as_ref().is_ok_and(|physical| physical.kernel.is_some()),
        });
        let Ok(physical) = opened else { continue };
        if physical.space.map().total() > found.ram {
            found.ram = physical.space.map().total();
            found.ranges = physical.space.map().regions().iter().map(PreflightRange::of).collect();
            found.omitted = physical.omitted.iter().map(PreflightRange::of_hole).collect();
            found.notes = physical.differences;
        }
    }
    found
}

impl PreflightRange {
    fn of(region: &Region) -> Self {
        let kind = match region.label.as_str() {
            "" => region.kind.name().to_owned(),
            label => label.to_owned(),
        };
        Self { start: region.extent.start(), end: region.extent.end(), kind }
    }

    fn of_hole(hole: &Hole) -> Self {
        let kind = hole.cause.to_string();
        Self { start: hole.extent.start(), end: hole.extent.end(), kind }
    }
}
