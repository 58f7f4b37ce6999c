//! The machine that a guest is: kernel, memory, devices, command line. Not a running one: that is `guest`.

use std::path::Path;

use super::kernel::Series;

/// The name of the backend that is the machine's memory from the start.
pub(crate) const RAM: &str = "ram0";
/// The name of the backend behind the virtio-mem device, which gives its memory out bit by bit.
pub(crate) const VIRTIO_MEM: &str = "vmem0";
/// The size of that backend, in MiB.
const VIRTIO_MEM_MIB: u64 = 1024;

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The name that cells use.
    pub(crate) name: &'static str,
    /// The kernel that it boots.
    pub(crate) series: Series,
    /// Its memory from the start, in MiB.
    pub(crate) mib: u64,
    /// Words for the kernel's command line.
    pub(crate) cmdline: &'static str,
    /// True if memory can be added and taken away: slots for DIMMs, a virtio-mem device, a balloon.
    pub(crate) hotplug: bool,
    /// True if the processor has a fifth level of page tables, which these kernels then use.
    pub(crate) five_levels: bool,
}

impl Machine {
    /// A machine without anything special.
    pub(crate) const fn new(name: &'static str, series: Series, mib: u64) -> Self {
        Self { name, series, mib, cmdline: "", hotplug: false, five_levels: true }
    }

    /// The same with words on the kernel's command line.
    pub(crate) const fn cmdline(self, cmdline: &'static str) -> Self {
        Self { cmdline, ..self }
    }

    /// The same with devices that add and take memory.
    pub(crate) const fn hotplug(self) -> Self {
        Self { hotplug: true, ..self }
    }

    /// The same with four levels of page tables.
    pub(crate) const fn four_levels(self) -> Self {
        Self { five_levels: false, ..self }
    }

    /// QEMU's arguments that describe the machine itself; memory lies in files of `folder`, where the laboratory can read it.
    pub(super) fn arguments(&self, folder: &Path) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);

        add("-machine", format!("q35,memory-backend={RAM}"));
        add("-accel", "tcg,thread=multi".into());
        // With ERMS the kernel copies by `rep movsb`, which is emulated byte by byte: five times slower than without.
        let levels = if self.five_levels { "" } else { ",la57=off" };
        add("-cpu", format!("max,erms=off,fsrm=off{levels}"));
        add("-smp", "2".into());
        let slots = format!(",slots=4,maxmem={}M", self.mib + 8192);
        add("-m", format!("{}M{}", self.mib, if self.hotplug { &slots } else { "" }));
        add("-object", backend(folder, RAM, self.mib));
        add("-device", "vmcoreinfo".into());
        if self.hotplug {
            add("-object", backend(folder, VIRTIO_MEM, VIRTIO_MEM_MIB));
            add("-device", format!("virtio-mem-pci,id=vmem,memdev={VIRTIO_MEM},requested-size=0"));
            add("-device", "virtio-balloon-pci,id=balloon".into());
        }
        words
    }
}

fn backend(folder: &Path, id: &str, mib: u64) -> String {
    let path = folder.join(id);
    format!("memory-backend-file,id={id},size={mib}M,mem-path={},share=on", path.display())
}
