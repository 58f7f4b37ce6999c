//! Cells: a machine, what is done to it, the command that is run there, and what has to come of it. The table is in `table`, how a
//! cell is run in `run`.

mod run;
mod table;

pub(crate) use run::{Outcome, run_all};
pub(crate) use table::{all, machines};

use super::image::Format;
use super::machine::Machine;

/// One row of the proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) machine: Machine,
    pub(crate) scenario: &'static Scenario,
    /// True if it is one of those that differ in kind, which every change has to pass.
    pub(crate) quick: bool,
}

impl Cell {
    /// `SCENARIO@MACHINE`, which no two cells share.
    pub(crate) fn name(&self) -> String {
        format!("{}@{}", self.scenario.name, self.machine.name)
    }
}

/// A command and the result that it must have, on any machine that allows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The property that it proves, in a few words.
    pub(crate) shows: &'static str,
    /// The preparation.
    pub(crate) before: &'static [Step],
    /// The command, for the guest's shell. `{out}` stands for where the image goes, and the map is expected in `/tmp/map`.
    pub(crate) command: &'static str,
    /// True if an ordinary user runs it.
    pub(crate) user: bool,
    /// The action while it runs.
    pub(crate) during: &'static [Step],
    /// The destination of the image.
    pub(crate) output: Output,
    /// The exit status.
    pub(crate) status: i32,
    /// Words that it has to print on standard error or output, in any order.
    pub(crate) says: &'static [&'static str],
    /// The demands on the image.
    pub(crate) wanted: Wanted,
    /// True if there is RAM that cannot be read, which the image then lacks.
    pub(crate) holes: bool,
}

/// Something that is done to a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A shell command in the guest that has to succeed.
    Run(&'static str),
    /// So many MiB of new pattern.
    Fill(u64),
    /// So many pages that the kernel takes out of its own page tables.
    Secret(u32),
    /// So many pages that are broken, for all the kernel knows.
    Poison(u32),
    /// A DIMM of so many MiB is plugged in and brought online by the guest.
    Dimm(u64),
    /// The virtio-mem device is asked to give so many MiB.
    VirtioMem(u64),
    /// The balloon takes so many MiB from the guest.
    Balloon(u64),
    /// `devmem_is_allowed` is made to answer yes, as in a kernel without STRICT_DEVMEM.
    RelaxDevmem,
    /// So many milliseconds pass.
    Wait(u64),
}

/// The destination of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The port that ends in a file of the host.
    Port,
    /// The guest's disk.
    Disk,
    /// The image to check is the hypervisor's own dump, taken when the command has ended.
    Hypervisor,
    /// Nowhere that is checked.
    Nowhere,
}

/// The demands on an image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// There is none, or it is not checked.
    Nothing,
    /// All RAM, or so many bytes of it.
    Physical { format: Format, limit: Option<u64> },
    /// All that the kernel has mapped beside the direct map.
    Kernel { format: Format },
}
