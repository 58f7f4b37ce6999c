//! The analysis kit: the files that are wanted beside an image so that symbols for it can be made later, on another machine.
//!
//! Only reads, one file at a time, each bounded and all of them together as well. What cannot be had is told, and is never a
//! failure. Not how the files are put into an archive.

mod files;
mod modules;

use std::path::PathBuf;

use memdump_image::Facts;

use self::files::{MAX_LEN, names, read};
use crate::machine::Machine;

/// `kallsyms` of a kernel with very many modules has some 20 MiB.
const MAX_SYMBOLS_LEN: usize = 256 << 20;
/// The most bytes of all files together.
const MAX_TOTAL_LEN: usize = 1 << 30;

/// The note on a file without addresses.
const NO_ADDRESSES: &str = "its addresses are zeros: the kernel hides them (kptr_restrict, or no CAP_SYSLOG or CAP_SYS_ADMIN)";

/// The source of a kit's files: the machine whose memory is taken.
#[derive(Debug)]
pub struct Kit {
    machine: Machine,
    vmcoreinfo: Option<Vec<u8>>,
    release: Option<String>,
}

/// A file of the kit.
#[derive(Debug)]
pub struct KitItem {
    /// Its name in the archive: that of the file without the first `/`, but for those that are made here.
    pub name: String,
    /// Its bytes, at most 256 MiB; or why it is not there.
    pub content: Result<Vec<u8>, String>,
    /// A note for its reader.
    pub note: Option<&'static str>,
}

impl KitItem {
    fn new(name: impl Into<String>, content: Result<Vec<u8>, String>) -> Self {
        Self { name: name.into(), content, note: None }
    }

    /// Says so when all addresses that `address` finds, one in a line, are zeros.
    fn with_addresses(self, address: fn(&str) -> Option<&str>) -> Self {
        let hidden = self.content.as_ref().is_ok_and(|content| {
            let text = String::from_utf8_lossy(content);
            let mut addresses = text.lines().filter_map(address).peekable();
            let any = addresses.peek().is_some();
            any && addresses
                .all(|address| !address.contains(|c| matches!(c, '1'..='9' | 'a'..='f')))
        });
        Self { note: hidden.then_some(NO_ADDRESSES), ..self }
    }
}

impl Kit {
    pub(crate) fn new(machine: &Machine, facts: &Facts) -> Self {
        Self {
            machine: machine.clone(),
            vmcoreinfo: facts.vmcoreinfo.as_ref().map(|info| info.as_bytes().to_vec()),
            release: facts.release.clone(),
        }
    }

    /// The files, each read when it is asked for.
    pub fn items(&self) -> impl Iterator<Item = KitItem> + '_ {
        let vmcoreinfo =
            self.vmcoreinfo.clone().ok_or("neither kcore nor sysfs tells it".to_owned());
        let proc = |name: &'static str| move || self.proc(name, MAX_LEN);
        let fixed: [Box<dyn FnOnce() -> KitItem + '_>; 11] = [
            Box::new(|| KitItem::new("vmcoreinfo", vmcoreinfo)),
            Box::new(|| self.proc("kallsyms", MAX_SYMBOLS_LEN).with_addresses(first_word)),
            Box::new(|| self.proc("iomem", MAX_LEN).with_addresses(first_word)),
            Box::new(|| self.proc("modules", MAX_LEN).with_addresses(load_address)),
            Box::new(proc("cmdline")),
            Box::new(proc("version")),
            Box::new(proc("cpuinfo")),
            Box::new(proc("zoneinfo")),
            Box::new(|| self.config()),
            Box::new(|| self.os_release()),
            Box::new(|| KitItem::new("sys/kernel/notes", read(&self.sys("kernel/notes"), MAX_LEN))),
        ];
        let made: [Box<dyn FnOnce() -> KitItem + '_>; 2] = [
            Box::new(|| KitItem::new("build-ids.txt", modules::build_ids(&self.machine.sys))),
            Box::new(|| {
                let sections = modules::sections(&self.machine.sys);
                KitItem::new("module-sections.txt", sections).with_addresses(last_word)
            }),
        ];
        let fixed = fixed.into_iter().map(|read| read());
        let made = made.into_iter().map(|make| make());
        let mut left = MAX_TOTAL_LEN;
        fixed.chain(self.btf()).chain(made).map(move |item| {
            let len = item.content.as_ref().map_or(0, Vec::len);
            match left.checked_sub(len) {
                Some(rest) => {
                    left = rest;
                    item
                }
                None => KitItem::new(
                    item.name,
                    Err(format!("the kit has {MAX_TOTAL_LEN} bytes at most")),
                ),
            }
        })
    }

    fn proc(&self, name: &str, max: usize) -> KitItem {
        KitItem::new(format!("proc/{name}"), read(&self.machine.proc.join(name), max))
    }

    fn sys(&self, name: &str) -> PathBuf {
        self.machine.sys.join(name)
    }

    /// A file of the distribution: in the directory that `/proc` is in.
    fn root(&self, name: &str) -> PathBuf {
        self.machine.proc.join("..").join(name)
    }

    /// The kernel's build configuration: from itself, or from where distributions put it.
    fn config(&self) -> KitItem {
        let own = self.proc("config.gz", MAX_LEN);
        // It becomes a part of paths.
        let release = self.release.as_deref().filter(|release| !release.contains('/'));
        let (Err(_), Some(release)) = (&own.content, release) else { return own };
        let kept = [format!("boot/config-{release}"), format!("lib/modules/{release}/config")];
        let mut found =
            kept.iter().map(|name| KitItem::new(name.clone(), read(&self.root(name), MAX_LEN)));
        found.find(|item| item.content.is_ok()).unwrap_or_else(|| {
            let reason = format!("neither it nor /{} nor /{} is there", kept[0], kept[1]);
            KitItem::new(own.name, Err(reason))
        })
    }

    fn os_release(&self) -> KitItem {
        let content = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .map(|name| read(&self.root(name), MAX_LEN))
            .reduce(|first, second| first.or(second));
        KitItem::new("etc/os-release", content.unwrap_or_else(|| Err(String::new())))
    }

    /// Types of the kernel and of its modules, the kernel's first.
    fn btf(&self) -> impl Iterator<Item = KitItem> + '_ {
        let folder = self.sys("kernel/btf");
        let mut names = names(&folder);
        names.retain(|name| name != "vmlinux");
        names.insert(0, "vmlinux".into());
        names.into_iter().map(move |name| {
            let content = read(&folder.join(&name), MAX_LEN);
            KitItem::new(format!("sys/kernel/btf/{name}"), content)
        })
    }
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

fn last_word(line: &str) -> Option<&str> {
    line.split_whitespace().next_back().and_then(|word| word.strip_prefix("0x"))
}

/// The address of a module: `name size users dependents state 0xADDRESS`, and flags where it taints.
fn load_address(line: &str) -> Option<&str> {
    line.split_whitespace().nth(5).and_then(|word| word.strip_prefix("0x"))
}

#[cfg(test)]
mod tests;
