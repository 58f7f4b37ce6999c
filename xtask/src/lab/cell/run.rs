//! Running cells: those that share a machine share a guest. A cell fails by what it finds, and the others still run.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{Cell, Output, Step, Wanted};
use crate::lab::compare::{self, Knowledge, Verdict};
use crate::lab::guest::{DISK, Finished, Guest, PORT};
use crate::lab::image::{By, Image};
use crate::lab::initramfs::Program;
use crate::lab::machine::Machine;
use crate::lab::paging::{Kernel, Leaf};
use crate::lab::truth::{Fingerprint, Memory};
use crate::lab::{Range, despite_the_emulator, devmem, pages, view};

/// The seed of every pattern of a run.
const SEED: u64 = 0x6d65_6d64_756d_7031;
/// The most that the command may ever hold in memory, in KiB.
const PEAK_LIMIT_KIB: u64 = 64 << 10;
/// Pages of a kernel image that nothing was mapped to before or after: stacks of processes that came and went meanwhile.
const TRANSIENT_LIMIT: u64 = 512;

/// When the truth is taken while a command runs: after so long for the first time, then after three times as long each time.
const FIRST_SAMPLE: Duration = Duration::from_millis(40);
/// The most times that the truth is taken while a command runs.
const SAMPLES: usize = 5;

/// One page in so many, outside the pattern, may differ: what changed and changed back between two looks. Such are the free pages that the
/// port's driver sends from: what was in one when it was read is gone when the last of the image, which is as empty as the page was
/// before, was sent from it. A range that is off by a page, or an image that is shifted, makes nearly all pages wrong.
const FLICKER: u64 = 256;
/// As many pages as all the buffers of the port's driver and of the command have: so many may flicker in an image however small it is,
/// such as the kernel's.
const FLICKER_FLOOR: u64 = 1024;

/// The result of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) cell: String,
    pub(crate) shows: &'static str,
    pub(crate) command: String,
    pub(crate) kernel: String,
    /// The demands that were not met; none if the cell passed.
    pub(crate) failures: Vec<String>,
    pub(crate) status: i32,
    pub(crate) seconds: f64,
    pub(crate) peak_kib: u64,
    /// Bytes of the image.
    pub(crate) image: u64,
    pub(crate) verdict: Option<Verdict>,
    /// The command's output.
    pub(crate) printed: String,
}

impl Outcome {
    /// Of a cell that the laboratory could not bring to its end.
    fn none(cell: &Cell, error: &anyhow::Error) -> Self {
        Self {
            cell: cell.name(),
            shows: cell.scenario.shows,
            command: cell.scenario.command.to_owned(),
            kernel: String::new(),
            failures: vec![format!("{error:#}")],
            status: -1,
            seconds: 0.0,
            peak_kib: 0,
            image: 0,
            verdict: None,
            printed: String::new(),
        }
    }
}

/// Runs `cells`, telling `done` of each.
pub(crate) fn run_all(
    cells: &[Cell],
    programs: &[Program],
    mut done: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut rest = cells.to_vec();
    while let Some(first) = rest.first() {
        let machine = first.machine;
        let (here, elsewhere) = rest.into_iter().partition(|cell: &Cell| cell.machine == machine);
        rest = elsewhere;
        outcomes.extend(run_on(machine, &here, programs, &mut done));
    }
    outcomes
}

/// Runs `cells` on one guest. What the laboratory itself cannot do fails the cell that it is at, and those after it.
fn run_on(
    machine: Machine,
    cells: &[Cell],
    programs: &[Program],
    done: &mut impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let ran = despite_the_emulator(|| {
        outcomes.clear();
        let mut stage = Stage::set(machine, programs)?;
        for cell in cells {
            let outcome = stage.perform(cell).with_context(|| stage.guest.logs())?;
            done(&outcome);
            outcomes.push(outcome);
        }
        Ok(())
    });
    if let Err(error) = ran {
        for cell in &cells[outcomes.len()..] {
            let outcome = Outcome::none(cell, &error);
            done(&outcome);
            outcomes.push(outcome);
        }
    }
    outcomes
}

/// A guest and what is known of it.
struct Stage {
    guest: Guest,
    kernel: Kernel,
    /// Pages that hold the pattern.
    patterned: u64,
    /// DIMMs that were plugged in.
    dimms: u32,
}

/// The facts that are known before the command runs.
struct Before {
    ram: Vec<Range>,
    unreadable: Vec<Range>,
    /// The first is from before, the others are from meanwhile.
    fingerprints: Vec<Fingerprint>,
    mapped: Vec<(&'static str, Vec<Leaf>)>,
}

impl Stage {
    fn set(machine: Machine, programs: &[Program]) -> Result<Self> {
        let mut guest = Guest::boot(machine, programs)?;
        let kernel = Kernel::of(&mut guest).context("find the kernel's page tables")?;
        let mut stage = Self { guest, kernel, patterned: 0, dimms: 0 };
        // A large part of memory, by small pages and by huge ones.
        stage.fill(machine.mib * 3 / 8, "small")?;
        stage.fill(machine.mib / 8, "huge")?;
        Ok(stage)
    }

    fn fill(&mut self, mib: u64, size: &str) -> Result<()> {
        let bytes = (mib << 20).to_string();
        let held = self.guest.hold(&["fill", &bytes, &SEED.to_string(), size])?;
        self.patterned += held.runs.iter().map(|&(start, end)| pages(&(start..end))).sum::<u64>();
        Ok(())
    }

    /// Runs a cell. An error is the laboratory's own; what the command did wrong is in the outcome.
    fn perform(&mut self, cell: &Cell) -> Result<Outcome> {
        let name = cell.name();
        let scenario = cell.scenario;
        for step in scenario.before {
            self.step(step).with_context(|| format!("{name}: {step:?}"))?;
        }
        let mut before =
            self.look().with_context(|| format!("{name}: look at the guest before"))?;
        let path = match scenario.output {
            Output::Port => Some(self.guest.collect("image")?),
            Output::Disk => Some(self.guest.disk()),
            Output::Hypervisor => Some(self.guest.hypervisor_dump()),
            Output::Nowhere => None,
        };
        let out = if scenario.output == Output::Disk { DISK } else { PORT };
        let command = scenario.command.replace("{out}", out);
        let finished = self
            .act(cell, &command, &mut before)
            .with_context(|| format!("{name}: run the command"))?;
        let mut outcome = Outcome {
            cell: name.clone(),
            shows: scenario.shows,
            command,
            kernel: self.guest.release.clone(),
            failures: Vec::new(),
            status: finished.status,
            seconds: finished.time.as_secs_f64(),
            peak_kib: finished.peak_kib,
            image: 0,
            verdict: None,
            printed: format!("{}{}", finished.stdout, finished.stderr),
        };
        if let Some(path) = path {
            match scenario.output {
                Output::Port => self.guest.settle(&path)?,
                Output::Hypervisor => self.guest.dump(&path)?,
                Output::Disk | Output::Nowhere => {}
            }
            let judged = self.judge(cell, &before, &path, &mut outcome);
            if let Err(error) = judged {
                outcome.failures.push(format!("{error:#}"));
            }
            self.guest.discard(&path)?;
        }
        expect(cell, &mut outcome);
        Ok(outcome)
    }

    /// Runs the command, and sees the truth meanwhile.
    fn act(&mut self, cell: &Cell, command: &str, before: &mut Before) -> Result<Finished> {
        self.guest.run("rm -f /tmp/map")?;
        self.guest.start(command, cell.scenario.user.then_some(1000))?;
        let mut during = Ok(());
        for step in cell.scenario.during {
            during = during.and_then(|()| match step {
                // The guest is busy with the command, so these act from outside.
                Step::Wait(_) | Step::Dimm(_) | Step::VirtioMem(_) | Step::Balloon(_) => {
                    self.step(step)
                }
                other => bail!("{other:?} cannot be done while a command runs"),
            });
        }
        let mut wait = FIRST_SAMPLE;
        for _ in 0..SAMPLES {
            if matches!(cell.scenario.wanted, Wanted::Nothing) || self.guest.has_finished(wait)? {
                break;
            }
            let ram = &before.ram;
            let sample = self.guest.paused(|_, memory| Fingerprint::of(memory, ram))?;
            before.fingerprints.push(sample);
            wait *= 3;
        }
        let finished = self.guest.finish(command);
        during.and(finished)
    }

    fn look(&mut self) -> Result<Before> {
        let ram = view::ram(&mut self.guest)?;
        let mut unreadable = view::unreadable(&mut self.guest)?;
        let kernel = self.kernel.clone();
        self.guest.paused(|_, memory| {
            unreadable.extend(kernel.unmapped(memory, &ram)?);
            Ok(Before {
                fingerprints: vec![Fingerprint::of(memory, &ram)?],
                mapped: mapped(&kernel, memory)?,
                ram,
                unreadable,
            })
        })
    }

    fn judge(
        &mut self,
        cell: &Cell,
        before: &Before,
        path: &std::path::Path,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let (format, by) = match cell.scenario.wanted {
            Wanted::Nothing => return Ok(()),
            Wanted::Physical { format, .. } => (format, By::Physical),
            Wanted::Kernel { format } => (format, By::Virtual),
        };
        let map = self.guest.run("cat /tmp/map")?.stdout;
        // QEMU's dump ends in a table of names, and a disk goes on.
        let rest = cell.scenario.output != Output::Port;
        let image = Image::open(path, format, by, &map, rest)?;
        outcome.image = image.length();

        let now_ram = view::ram(&mut self.guest)?;
        let mut unreadable = before.unreadable.clone();
        unreadable.extend(view::unreadable(&mut self.guest)?);
        let ram = intersection(&before.ram, &now_ram);
        let kernel = self.kernel.clone();
        let verdict = self.guest.paused(|_, memory| {
            unreadable.extend(kernel.unmapped(memory, &ram)?);
            let known = Knowledge {
                earlier: &before.fingerprints,
                now: memory,
                ram: &ram,
                unreadable: &unreadable,
                seed: SEED,
            };
            match cell.scenario.wanted {
                Wanted::Physical { limit, .. } => {
                    compare::physical(&known, &image, limit.unwrap_or(u64::MAX))
                }
                _ => compare::kernel(&known, &image, &before.mapped, &mapped(&kernel, memory)?),
            }
        })?;
        if let Wanted::Physical { limit: None, .. } = cell.scenario.wanted {
            let seen = verdict.patterned + verdict.patterned_bad;
            ensure!(
                seen == self.patterned,
                "the laboratory filled {} pages and finds {seen}",
                self.patterned
            );
        }
        outcome.verdict = Some(verdict);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Run(command) => self.guest.demand(command).map(drop),
            Step::Fill(mib) => self.fill(mib, "small"),
            Step::Secret(count) => self.guest.hold(&["secret", &count.to_string()]).map(drop),
            Step::Poison(count) => self.guest.hold(&["poison", &count.to_string()]).map(drop),
            Step::Dimm(mib) => self.plug_dimm(mib),
            Step::VirtioMem(mib) => {
                let size =
                    json!({ "path": "vmem", "property": "requested-size", "value": mib << 20 });
                self.guest.qmp("qom-set", size)
            }
            Step::Balloon(mib) => self.inflate_balloon(mib),
            Step::RelaxDevmem => devmem::relax(&mut self.guest),
            Step::Wait(millis) => {
                thread::sleep(Duration::from_millis(millis));
                Ok(())
            }
        }
    }

    fn inflate_balloon(&mut self, mib: u64) -> Result<()> {
        let actual = self.guest.query("query-balloon")?["actual"].as_u64();
        let actual = actual.context("QEMU says how much the balloon leaves")?;
        self.guest.qmp("balloon", json!({ "value": actual.saturating_sub(mib << 20) }))
    }

    fn plug_dimm(&mut self, mib: u64) -> Result<()> {
        self.dimms += 1;
        let backend = format!("dimm{}", self.dimms);
        let path = self.guest.memory_folder().join(&backend);
        self.guest.qmp(
            "object-add",
            json!({
                "qom-type": "memory-backend-file",
                "id": backend,
                "size": mib << 20,
                "mem-path": path,
                "share": true,
            }),
        )?;
        let device =
            json!({ "driver": "pc-dimm", "id": format!("plugged-{backend}"), "memdev": backend });
        self.guest.qmp("device_add", device)
    }
}

fn mapped(kernel: &Kernel, memory: &Memory) -> Result<Vec<(&'static str, Vec<Leaf>)>> {
    kernel.ranges.iter().map(|(name, range)| Ok((*name, kernel.mapped(memory, range)?))).collect()
}

/// The ranges that are in both.
fn intersection(a: &[Range], b: &[Range]) -> Vec<Range> {
    let mut both: Vec<Range> = a
        .iter()
        .flat_map(|a| b.iter().map(move |b| a.start.max(b.start)..a.end.min(b.end)))
        .filter(|range| !range.is_empty())
        .collect();
    both.sort_by_key(|range| range.start);
    both
}

/// Adds what is not as the cell has it.
fn expect(cell: &Cell, outcome: &mut Outcome) {
    let scenario = cell.scenario;
    let mut fail = |message: String| outcome.failures.push(message);
    if outcome.status != scenario.status {
        fail(format!("exit status {}, not {}", outcome.status, scenario.status));
    }
    for text in scenario.says {
        if !outcome.printed.contains(text) {
            fail(format!("it does not say `{text}`"));
        }
    }
    if outcome.peak_kib > PEAK_LIMIT_KIB {
        fail(format!("{} KiB of memory at its peak", outcome.peak_kib));
    }
    if let Wanted::Physical { limit: Some(limit), format: crate::lab::image::Format::Raw } =
        scenario.wanted
        && outcome.image != limit
    {
        fail(format!("{} bytes were written, not {limit}", outcome.image));
    }
    if let Some(verdict) = &outcome.verdict {
        let total = verdict.total();
        if scenario.holes != (total.hole > 0) {
            fail(format!("{} pages are unreadable and not in the image", total.hole));
        }
        if total.ok == 0 {
            fail("no page is right".to_owned());
        }
        if total.wrong > (total.ok / FLICKER).max(FLICKER_FLOOR)
            || total.missing + verdict.patterned_bad > 0
        {
            let mut message = format!("{total}; {} patterned pages are bad", verdict.patterned_bad);
            for example in &verdict.examples {
                write!(message, "; {example}").ok();
            }
            fail(message);
        }
        if verdict.extra > TRANSIENT_LIMIT {
            fail(format!("{} pages that nothing was mapped to", verdict.extra));
        }
    }
}
