//! The memory that a job copies, and what happens to its process at the moments of the copy.

use memdump_image::{AddressSpace, Facts, Hole, Plan, Summary};
use memdump_live::process::{Capture, ProcessError, Release};
use memdump_live::{Kit, Recheck};
use serde_json::json;

use crate::error::{Error, Result};
use crate::input::InputImage;
use crate::machine::MachineSource;
use crate::manifest::{Origin, ProcessRecord};

/// The memory that a job copies.
pub struct Source<'a> {
    pub(super) space: &'a dyn AddressSpace,
    pub(super) plan: Plan,
    name: String,
    /// The memory that is known to be left out.
    pub(super) omitted: Vec<Hole>,
    recheck: Option<&'a Recheck>,
    pub(super) kit: Option<&'a Kit>,
    process: Option<HeldProcess<'a>>,
}

struct HeldProcess<'a> {
    pid: u32,
    name: String,
    release: Release<'a>,
}

impl<'a> Source<'a> {
    /// The memory of a machine, or of an image of one in its place.
    pub fn machine(machine: &'a MachineSource) -> Self {
        Self {
            space: &*machine.space,
            plan: machine.plan.clone(),
            name: machine.name.clone(),
            omitted: machine.omitted.clone(),
            recheck: Some(&machine.recheck),
            kit: machine.kit.as_ref(),
            process: None,
        }
    }

    /// The memory of an image.
    pub fn image(image: &'a InputImage) -> Self {
        let plan = image.plan();
        Self::planned(image, plan)
    }

    /// The memory of an image that `plan` names.
    pub fn planned(image: &'a InputImage, plan: Plan) -> Self {
        Self {
            space: image.space(),
            plan,
            name: image.path.to_string_lossy().into_owned(),
            omitted: Vec::new(),
            recheck: None,
            kit: None,
            process: None,
        }
    }

    /// The memory of a process, which runs on as early as its pause allows.
    pub fn process(capture: &'a mut Capture) -> Self {
        let (pid, name) = (capture.target().pid(), capture.target().name());
        let omitted = capture.omitted.clone();
        let (space, plan, release) = capture.release();
        Self {
            space,
            plan: plan.clone(),
            name: format!("process {pid} ({name})"),
            omitted,
            recheck: None,
            kit: None,
            process: Some(HeldProcess { pid, name, release }),
        }
    }

    /// Takes the plan out of the source. It is moved, not copied, because the plan of an image with many regions is large.
    pub(super) fn take_plan(&mut self) -> Plan {
        let nothing = Plan::whole(self.plan.map.truncate(0), self.plan.page_size, Facts::default());
        std::mem::replace(&mut self.plan, nothing)
    }

    /// The number of bytes in the plan, including known zeros.
    pub fn total(&self) -> u64 {
        self.plan.total()
    }

    /// The mappings of the process as `/proc/PID/maps` shows them.
    pub(super) fn maps_text(&self) -> Result<Vec<u8>> {
        match &self.process {
            Some(process) => Ok(process.release.process().maps_text()?),
            None => Err(Error::request("only a process has mappings to split")),
        }
    }

    /// Called when everything that must be copied first has been copied.
    pub(super) fn first_taken(&mut self) -> Result<(), ProcessError> {
        self.process.as_mut().map_or(Ok(()), |process| process.release.first_taken())
    }

    /// Called when everything has been copied. Returns the record that a core keeps of the copy.
    pub(super) fn all_taken(&mut self, summary: &Summary) -> Result<String, ProcessError> {
        let Some(process) = &mut self.process else { return Ok(String::new()) };
        process.release.all_taken()?;
        Ok(core_record(summary, &process.release, &self.omitted))
    }

    /// Lets a process run on when its copy ended early. A failure of that is not reported, because the failure of the copy is.
    pub(super) fn let_go(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.release.all_taken();
        }
    }

    /// Memory that came or went while it was copied.
    pub(super) fn changed_since(&self) -> Result<Vec<Hole>> {
        Ok(self.recheck.map_or(Ok(Vec::new()), |recheck| recheck())?)
    }

    /// The origin of the memory, for the manifest.
    pub(super) fn origin(&self, plan: &Plan) -> Origin {
        Origin {
            source: self.name.clone(),
            space: plan.map.space(),
            facts: plan.facts.clone(),
            process: self.process.as_ref().map(|process| ProcessRecord {
                pid: process.pid,
                name: process.name.clone(),
                pause: process.release.pause().name().to_owned(),
                pause_seconds: process.release.paused().as_secs_f64(),
            }),
        }
    }
}

/// The record that a core keeps of how it was made. If there are too many holes, it lists the first ones.
fn core_record(summary: &Summary, release: &Release<'_>, omitted: &[Hole]) -> String {
    let mut missing = omitted.to_vec();
    missing.extend(summary.holes.listed());
    let all = missing.len() as u64 + summary.holes.unlisted();
    loop {
        let record = json!({
            "tool": concat!("memdump ", env!("CARGO_PKG_VERSION")),
            "pause": release.pause().name(),
            "pause_seconds": release.paused().as_secs_f64(),
            "consistent": release.pause() != memdump_live::process::Pause::None,
            "started": release.started(),
            "seconds": summary.elapsed.as_secs_f64(),
            "taken": summary.bytes,
            "zero": summary.zero,
            "holes": crate::report::holes_json(&missing),
            "unlisted_holes": all - missing.len() as u64,
        });
        let record = record.to_string();
        if record.len() <= memdump_image::format::RECORD_LEN || missing.is_empty() {
            return record;
        }
        missing.truncate(missing.len() / 2);
    }
}
