//! The room that the control groups of a process leave it, version 1 and 2: memory, processes, and whether they
//! are frozen. Looked for where systemd and everybody else mounts them.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Lack;

/// The mount points of hierarchies.
const ROOT: &str = "/sys/fs/cgroup";
/// A limit above this is none (version 1 writes almost 2^63 for it).
const NO_LIMIT: u64 = 1 << 60;

/// The groups of one process.
pub(super) struct Groups {
    /// Of version 2; none when it is not mounted.
    unified: Option<Cgroup>,
    /// Of the version 1 hierarchies for memory and processes.
    memory: Option<Cgroup>,
    pids: Option<Cgroup>,
}

/// A group in one hierarchy.
struct Cgroup {
    mount: PathBuf,
    folder: PathBuf,
}

impl Cgroup {
    /// None where it does not show, as in a container with a view of its own.
    fn find(mounts: &[&str], path: &str) -> Option<Self> {
        let mounts = mounts.iter().map(|mount| Path::new(ROOT).join(mount));
        let mut groups =
            mounts.map(|mount| Self { folder: mount.join(path.trim_start_matches('/')), mount });
        groups.find(|group| group.folder.join("cgroup.procs").exists())
    }

    /// It and those that it is in, below the root.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folder.ancestors().take_while(|&folder| folder != self.mount)
    }
}

impl Groups {
    /// By the text of `/proc/PID/cgroup`: `number:controllers:path` in each line.
    pub(super) fn find(text: &str) -> Self {
        let path = |controller: &str| {
            text.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let controllers = fields.next()?;
                controllers.split(',').any(|one| one == controller).then(|| fields.next())?
            })
        };
        Self {
            unified: path("").and_then(|path| Cgroup::find(&["", "unified"], path)),
            memory: path("memory").and_then(|path| Cgroup::find(&["memory"], path)),
            pids: path("pids").and_then(|path| Cgroup::find(&["pids"], path)),
        }
    }

    /// Returns true if a group of version 2 is frozen: its threads can be traced but do not run.
    pub(super) fn frozen(&self) -> bool {
        self.unified.as_ref().is_some_and(|group| {
            let events = fs::read_to_string(group.folder.join("cgroup.events"));
            events.is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
        })
    }

    /// The tightest limit that leaves less than `needed` bytes.
    pub(super) fn memory(&self, needed: u64) -> Option<Lack> {
        let levels = |group: &Option<Cgroup>, limit, usage, prefix| -> Vec<(u64, PathBuf)> {
            let folders = group.iter().flat_map(Cgroup::folders);
            folders.filter_map(|folder| memory_left(folder, limit, usage, prefix)).collect()
        };
        let mut all = levels(&self.unified, "memory.max", "memory.current", "");
        all.extend(levels(
            &self.memory,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_",
        ));
        let (left, limit) = all.into_iter().min()?;
        (left < needed).then_some(Lack::Memory { needed, left, limit })
    }

    /// The tightest limit that leaves less than `needed` processes.
    pub(super) fn processes(&self, needed: u64) -> Option<Lack> {
        let folders = [&self.unified, &self.pids].into_iter().flatten().flat_map(Cgroup::folders);
        let (left, limit) = folders
            .filter_map(|folder| {
                let limit = folder.join("pids.max");
                let left = number(&limit)?.saturating_sub(number(&folder.join("pids.current"))?);
                Some((left, limit))
            })
            .min()?;
        (left < needed).then_some(Lack::Processes { left, limit })
    }
}

/// The room that a group leaves: its limit less its use, page cache not counted as use.
fn memory_left(folder: &Path, limit: &str, usage: &str, prefix: &str) -> Option<(u64, PathBuf)> {
    let limit = folder.join(limit);
    let most = number(&limit).filter(|&most| most < NO_LIMIT)?;
    let used = number(&folder.join(usage))?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cache: u64 = ["inactive_file", "active_file"]
        .iter()
        .filter_map(|name| {
            let value =
                |line: &str| line.strip_prefix(prefix)?.strip_prefix(name)?.trim().parse().ok();
            stat.lines().find_map(value).map(|bytes: u64| bytes)
        })
        .sum();
    Some((most.saturating_sub(used.saturating_sub(cache)), limit))
}

/// A file that holds one number; none for `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_group_and_those_above() -> Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let mount = root.path().to_path_buf();
        let folder = mount.join("a/b");
        fs::create_dir_all(&folder)?;
        let write = |path: &str, text: &str| fs::write(mount.join(path), text);
        write("a/memory.max", "1000000\n")?;
        write("a/memory.current", "900000\n")?;
        write("a/memory.stat", "anon 5\ninactive_file 300000\nactive_file 100000\n")?;
        write("a/b/memory.max", "max\n")?;
        write("a/b/memory.current", "7\n")?;
        write("a/b/pids.max", "10\n")?;
        write("a/b/pids.current", "9\n")?;
        write("a/b/cgroup.events", "populated 1\nfrozen 1\n")?;

        let unified = Some(Cgroup { mount: mount.clone(), folder });
        let groups = Groups { unified, memory: None, pids: None };
        assert_eq!(groups.memory(500_000), None);
        let limit = mount.join("a/memory.max");
        let lack = Lack::Memory { needed: 500_001, left: 500_000, limit };
        assert_eq!(groups.memory(500_001), Some(lack));
        let limit = mount.join("a/b/pids.max");
        assert_eq!(groups.processes(2), Some(Lack::Processes { left: 1, limit }));
        assert_eq!(groups.processes(1), None);
        assert!(groups.frozen());
        Ok(())
    }
}
