//! The table of cells.

use super::{Cell, Output, Scenario, Step, Wanted};
use crate::lab::image::Format;
use crate::lab::kernel::Series::{V6_1, V6_12};
use crate::lab::machine::Machine;

/// A machine and what is tried on it.
struct Place {
    machine: Machine,
    scenarios: &'static [&'static [Scenario]],
    /// The names of the scenarios that are quick cells on this machine.
    quick: &'static [&'static str],
}

/// Every cell.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for place in PLACES {
        for scenario in place.scenarios.iter().copied().flatten() {
            let quick = place.quick.contains(&scenario.name);
            cells.push(Cell { machine: place.machine, scenario, quick });
        }
    }
    cells
}

/// Every machine.
pub(crate) fn machines() -> impl Iterator<Item = Machine> {
    PLACES.iter().map(|place| place.machine)
}

/// What a scenario is unless it says otherwise: nothing special is done, and a whole raw image goes through the port.
const PLAIN: Scenario = Scenario {
    name: "",
    shows: "",
    before: &[],
    command: "",
    user: false,
    during: &[],
    output: Output::Port,
    status: 0,
    says: &[],
    wanted: Wanted::Physical { format: Format::Raw, limit: None },
};

const fn whole(format: Format) -> Wanted {
    Wanted::Physical { format, limit: None }
}

const FORMATS: &[Scenario] = &[
    Scenario {
        name: "raw",
        shows: "all RAM, regions one after another, and the map",
        command: "memdump -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "padded",
        shows: "position is address",
        command: "memdump --format padded > {out}",
        wanted: whole(Format::Padded),
        ..PLAIN
    },
    Scenario {
        name: "lime",
        shows: "LiME, correct to the last byte",
        command: "memdump --format lime > {out}",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
    Scenario {
        name: "elf",
        shows: "an ELF vmcore",
        command: "memdump --format elf > {out}",
        wanted: whole(Format::Elf),
        ..PLAIN
    },
    Scenario {
        name: "disk",
        shows: "`-o` to a block device",
        command: "memdump --format elf -o {out}",
        output: Output::Disk,
        wanted: whole(Format::Elf),
        ..PLAIN
    },
    Scenario {
        name: "kernel",
        shows: "`-k`: all that the kernel has mapped beside the direct map",
        command: "memdump -k -m /tmp/map > {out}",
        wanted: Wanted::Kernel { format: Format::Raw },
        ..PLAIN
    },
];

const PLACES: &[Place] = &[
    Place {
        machine: Machine::new("6.1-1g", V6_1, 1024),
        scenarios: &[FORMATS],
        quick: &["raw", "lime", "elf", "kernel"],
    },
    Place {
        machine: Machine::new("6.12-1g", V6_12, 1024),
        scenarios: &[FORMATS],
        quick: &["padded", "disk", "kernel"],
    },
];
