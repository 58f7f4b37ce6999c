//! The table of cells: machines, and what is tried on each.

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

const PLACES: &[Place] = &[
    Place {
        machine: Machine::new("6.1-1g", V6_1, 1024),
        scenarios: &[TRUTH, FORMATS, KERNEL, OPTIONS, STRICT, FAILURES],
        quick: &[
            "hypervisor",
            "raw",
            "lime",
            "elf",
            "kernel",
            "odd-sizes",
            "size",
            "mem-strict",
            "user",
            "full-disk",
            "closed-pipe",
            "interrupted",
        ],
    },
    Place {
        machine: Machine::new("6.12-1g", V6_12, 1024),
        scenarios: &[TRUTH, FORMATS, KERNEL, OPTIONS, STRICT, FAILURES],
        quick: &["padded", "disk", "kernel"],
    },
    Place {
        machine: Machine::new("6.1-4g", V6_1, 4096),
        scenarios: &[TRUTH, FORMATS, KERNEL],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.12-4g", V6_12, 4096),
        scenarios: &[TRUTH, FORMATS, KERNEL],
        quick: &["elf"],
    },
    Place {
        machine: Machine::new("6.1-4-levels", V6_1, 1024).four_levels(),
        scenarios: &[KERNEL],
        quick: &["kernel"],
    },
    Place {
        machine: Machine::new("6.12-4-levels", V6_12, 1024).four_levels(),
        scenarios: &[KERNEL],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.1-relaxed", V6_1, 1024).cmdline("nokaslr secretmem.enable=1"),
        scenarios: &[RELAXED, SECRET],
        quick: &["mem", "mem-secret", "secret-raw"],
    },
    Place {
        machine: Machine::new("6.12-relaxed", V6_12, 1024).cmdline("nokaslr"),
        scenarios: &[RELAXED, SECRET],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.1-integrity", V6_1, 1024).cmdline("lockdown=integrity"),
        scenarios: &[INTEGRITY],
        quick: &["integrity", "integrity-mem"],
    },
    Place {
        machine: Machine::new("6.12-integrity", V6_12, 1024).cmdline("lockdown=integrity"),
        scenarios: &[INTEGRITY],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.1-confidentiality", V6_1, 1024)
            .cmdline("lockdown=confidentiality"),
        scenarios: &[CONFIDENTIALITY],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.12-confidentiality", V6_12, 1024)
            .cmdline("lockdown=confidentiality"),
        scenarios: &[CONFIDENTIALITY],
        quick: &["confidentiality"],
    },
    Place {
        machine: Machine::new("6.12-kfence", V6_12, 1024).cmdline("kfence.sample_interval=100"),
        scenarios: &[KFENCE],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.1-hotplug", V6_1, 1024)
            .cmdline("memhp_default_state=online")
            .hotplug(),
        scenarios: &[HOTPLUG],
        quick: &["dimm", "virtio-mem", "plugged-meanwhile"],
    },
    Place {
        machine: Machine::new("6.12-hotplug", V6_12, 1024)
            .cmdline("memhp_default_state=online")
            .hotplug(),
        scenarios: &[HOTPLUG],
        quick: &["balloon"],
    },
    Place {
        machine: Machine::new("6.1-crashkernel", V6_1, 1024).cmdline("crashkernel=128M"),
        scenarios: &[CRASHKERNEL],
        quick: &[],
    },
    Place {
        machine: Machine::new("6.12-crashkernel", V6_12, 1024).cmdline("crashkernel=128M"),
        scenarios: &[CRASHKERNEL, POISON],
        quick: &["crashkernel", "poison"],
    },
];

/// The defaults of a scenario: nothing special is done, and a complete raw image goes through the port.
const PLAIN: Scenario = Scenario {
    name: "",
    shows: "",
    before: &[],
    command: "memdump -m /tmp/map > {out}",
    user: false,
    during: &[],
    output: Output::Port,
    status: 0,
    says: &[],
    wanted: whole(Format::Raw),
    holes: false,
};

/// One that leaves no image to look at.
const REFUSED: Scenario =
    Scenario { output: Output::Nowhere, status: 1, wanted: Wanted::Nothing, ..PLAIN };

const fn whole(format: Format) -> Wanted {
    Wanted::Physical { format, limit: None }
}

const fn first(bytes: u64) -> Wanted {
    Wanted::Physical { format: Format::Raw, limit: Some(bytes) }
}

const TRUTH: &[Scenario] = &[Scenario {
    name: "hypervisor",
    shows: "the laboratory's own truth: QEMU's dump has the same memory at the same addresses",
    command: "true",
    output: Output::Hypervisor,
    wanted: whole(Format::Elf),
    ..PLAIN
}];

const FORMATS: &[Scenario] = &[
    Scenario { name: "raw", shows: "all RAM, holes left out, and the map", ..PLAIN },
    Scenario {
        name: "padded",
        shows: "position is address",
        command: "memdump --format padded > {out}",
        wanted: whole(Format::Padded),
        ..PLAIN
    },
    Scenario {
        name: "lime",
        shows: "LiME records, correct to the last byte",
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
];

const KERNEL: &[Scenario] = &[
    Scenario {
        name: "kernel",
        shows: "`-k`: what the kernel has mapped beside the direct map, by its own page tables",
        command: "memdump -k -m /tmp/map -o {out}",
        output: Output::Disk,
        wanted: Wanted::Kernel { format: Format::Raw },
        ..PLAIN
    },
    Scenario {
        name: "kernel-elf",
        shows: "`-k` as ELF, by virtual addresses",
        command: "memdump -k --format elf -o {out}",
        output: Output::Disk,
        wanted: Wanted::Kernel { format: Format::Elf },
        ..PLAIN
    },
];

const OPTIONS: &[Scenario] = &[
    Scenario {
        name: "small-reads",
        shows: "`-b 4k`",
        command: "memdump -b 4k -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "large-pages",
        shows: "`-p 1m`: memory before a hole is not lost",
        command: "memdump -p 1m -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "odd-sizes",
        shows: "`-b` and `-p` that fit no page",
        command: "memdump -b 64k -p 12345 -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "size",
        shows: "`-s`: exactly so many bytes",
        command: "memdump -s 123456789 -m /tmp/map > {out}",
        wanted: first(123_456_789),
        ..PLAIN
    },
    Scenario {
        name: "size-d",
        shows: "`-d` is `-s`",
        command: "memdump -d 64m -m /tmp/map > {out}",
        wanted: first(64 << 20),
        ..PLAIN
    },
    Scenario {
        name: "size-beyond",
        shows: "`-s` beyond the RAM there is ends, complete",
        command: "memdump -s 64g -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "map-stderr",
        shows: "`-m-`: the map on standard error",
        command: "memdump -m- 2> /tmp/map.all > {out}; s=$?; grep ^0x /tmp/map.all > /tmp/map; exit $s",
        ..PLAIN
    },
    Scenario {
        name: "file",
        shows: "`-o` to a file, which is there when it is whole",
        command: "memdump -s 32m -m /tmp/map -o /tmp/image && cat /tmp/image > {out} && rm /tmp/image",
        wanted: first(32 << 20),
        ..PLAIN
    },
    Scenario {
        name: "kcore-named",
        shows: "`--source kcore`",
        command: "memdump --source kcore --format lime > {out}",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
    Scenario {
        name: "kcore-path",
        shows: "`--source FILE`: another path to a kcore",
        command: "mkdir -p /tmp/proc && mount -t proc none /tmp/proc; \
                  memdump --source /tmp/proc/kcore --format lime > {out}; \
                  s=$?; umount /tmp/proc; exit $s",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
    Scenario {
        name: "reserved",
        shows: "`--include reserved` adds firmware's tables, and RAM is as right as without",
        command: "memdump --include reserved --format lime > {out}",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
];

const STRICT: &[Scenario] = &[Scenario {
    name: "mem-strict",
    shows: "`/dev/mem` under STRICT_DEVMEM is refused, and why is said",
    command: "memdump --source mem > /tmp/image",
    says: &["STRICT_DEVMEM"],
    ..REFUSED
}];

const FAILURES: &[Scenario] = &[
    Scenario {
        name: "user",
        shows: "an ordinary user is told what is needed",
        command: "memdump > /tmp/image-of-user",
        user: true,
        says: &["/proc/kcore: permission denied", "run as root"],
        ..REFUSED
    },
    Scenario {
        name: "full-disk",
        shows: "a disk that is too small is known before the start, and nothing is left on it",
        before: &[Step::Run(SMALL_DISK)],
        command: "memdump -o /tmp/small/image; s=$?; test -z \"$(ls -A /tmp/small)\" || exit 9; exit $s",
        says: &["/tmp/small"],
        ..REFUSED
    },
    Scenario {
        name: "disk-fills",
        shows: "an output that takes no more is a failure",
        command: "memdump > /dev/full",
        says: &["No space left"],
        ..REFUSED
    },
    Scenario {
        name: "closed-pipe",
        shows: "a receiver that goes away is a failure with a clear line",
        command: "{ memdump; echo $? > /tmp/status; } | head -c 1048576 > /dev/null; \
                  exit $(cat /tmp/status)",
        says: &["went away"],
        ..REFUSED
    },
    Scenario {
        name: "interrupted",
        shows: "SIGTERM ends it in order, with a partial image and a status that says so",
        command: "memdump > /dev/lab-data & p=$!; usleep 300000; kill -TERM $p; wait $p",
        output: Output::Port,
        ..REFUSED
    },
];

const SMALL_DISK: &str = "mountpoint -q /tmp/small || \
    { mkdir -p /tmp/small && mount -t tmpfs -o size=16m none /tmp/small; }";

const RELAXED: &[Scenario] = &[
    Scenario {
        name: "mem",
        shows: "`/dev/mem` where the kernel lets it: RAM and no device",
        before: &[Step::RelaxDevmem],
        command: "memdump --source mem -m /tmp/map > {out}",
        ..PLAIN
    },
    Scenario {
        name: "mem-odd",
        shows: "`/dev/mem` with sizes that fit no page",
        command: "memdump --source mem -b 12345 -p 64k --format lime > {out}",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
    Scenario {
        name: "mem-reserved",
        shows: "`/dev/mem` with firmware's tables",
        command: "memdump --source mem --include reserved --format elf > {out}",
        wanted: whole(Format::Elf),
        ..PLAIN
    },
    Scenario {
        name: "mem-secret",
        shows: "a read that fails in the middle (EFAULT) costs a page",
        before: &[Step::RelaxDevmem, Step::Secret(3)],
        command: "memdump --source mem -m /tmp/map > {out}",
        status: 3,
        holes: true,
        ..PLAIN
    },
    Scenario {
        name: "mem-secret-elf",
        shows: "a read that fails in the middle (EFAULT) is zeros in ELF, and it is said",
        before: &[Step::RelaxDevmem, Step::Secret(3)],
        command: "memdump --source mem --format elf > {out}",
        wanted: whole(Format::Elf),
        status: 3,
        holes: true,
        ..PLAIN
    },
];

const INTEGRITY: &[Scenario] = &[
    Scenario {
        name: "integrity",
        shows: "lockdown=integrity leaves kcore readable",
        command: "memdump --format lime > {out}",
        wanted: whole(Format::Lime),
        ..PLAIN
    },
    Scenario {
        name: "integrity-mem",
        shows: "lockdown=integrity refuses `/dev/mem`, and is named",
        command: "memdump --source mem > /tmp/image",
        says: &["lockdown", "integrity"],
        ..REFUSED
    },
];

const CONFIDENTIALITY: &[Scenario] = &[Scenario {
    name: "confidentiality",
    shows: "lockdown=confidentiality refuses everything, and is named",
    command: "memdump > /tmp/image",
    says: &["lockdown", "confidentiality"],
    ..REFUSED
}];

const SECRET: &[Scenario] = &[
    Scenario {
        name: "secret-raw",
        shows: "a read that fails in the middle costs a page: left out",
        before: &[Step::Secret(3)],
        status: 3,
        holes: true,
        ..PLAIN
    },
    Scenario {
        name: "secret-elf",
        shows: "a read that fails in the middle costs a page: zeros, and it is said",
        command: "memdump --format elf > {out}",
        wanted: whole(Format::Elf),
        status: 3,
        holes: true,
        ..PLAIN
    },
];

const KFENCE: &[Scenario] = &[Scenario {
    name: "kfence",
    shows: "guard pages of KFENCE, which come and go",
    command: "memdump --format lime > {out}",
    wanted: whole(Format::Lime),
    status: 3,
    holes: true,
    ..PLAIN
}];

const POISON: &[Scenario] = &[
    Scenario {
        name: "poison",
        shows: "pages that the kernel calls broken are not read",
        before: &[Step::Poison(2)],
        status: 3,
        holes: true,
        ..PLAIN
    },
    Scenario {
        name: "poison-lime",
        shows: "pages that the kernel calls broken are zeros, and it is said",
        command: "memdump --format lime > {out}",
        wanted: whole(Format::Lime),
        status: 3,
        holes: true,
        ..PLAIN
    },
];

const HOTPLUG: &[Scenario] = &[
    Scenario {
        name: "dimm",
        shows: "a DIMM that was plugged in",
        before: &[Step::Dimm(256), Step::Run(ONLINE), Step::Fill(400)],
        ..PLAIN
    },
    Scenario {
        name: "virtio-mem",
        shows: "memory that a virtio-mem device gave",
        before: &[Step::VirtioMem(256), Step::Run(ONLINE), Step::Fill(200)],
        command: "memdump --format elf > {out}",
        wanted: whole(Format::Elf),
        ..PLAIN
    },
    Scenario {
        name: "plugged-meanwhile",
        shows: "a DIMM that is plugged in while the copy runs is reported",
        command: "memdump --format lime > {out}",
        during: &[Step::Wait(500), Step::Dimm(256)],
        wanted: whole(Format::Lime),
        status: 3,
        ..PLAIN
    },
    Scenario {
        name: "balloon",
        shows: "pages that a balloon took have no content: left out, and it is said",
        before: &[Step::Balloon(96), Step::Wait(2000)],
        says: &["offline"],
        holes: true,
        ..PLAIN
    },
];

/// Waits until memory that was plugged in is online.
const ONLINE: &str = "for i in $(seq 100); do \
    grep -qv online /sys/devices/system/memory/memory*/state || exit 0; usleep 100000; done; exit 1";

const CRASHKERNEL: &[Scenario] = &[Scenario {
    name: "crashkernel",
    shows: "memory set aside for a crash kernel is RAM too",
    command: "memdump --format elf > {out}",
    wanted: whole(Format::Elf),
    ..PLAIN
}];
