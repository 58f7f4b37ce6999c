//! Finding processes by what they are: with their children, by name, by control group, by container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use globset::GlobMatcher;

use super::capture::Held;
use super::facts;
use super::found::{Process, ProcessError};
use super::pause::Pause;

/// Processes that belong together.
#[derive(Clone, Debug)]
pub enum Group {
    /// The processes with these numbers.
    Pids(Vec<u32>),
    /// A process and all that descend from it.
    Tree(u32),
    /// Every process whose name, or the last part of its program's path, matches.
    Name(GlobMatcher),
    /// Every process in a control group and in those below it: a path in the cgroup file system, or below its root.
    Cgroup(PathBuf),
    /// Every process in the container of that identifier, or of one that begins so.
    Container(String),
}

/// The reason why no processes were found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// One that was named cannot be used.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// No process matches.
    #[error("no process {0}")]
    Nobody(String),
    /// More than one container fits.
    #[error("several containers begin with {0}: write more of the identifier")]
    Ambiguous(String),
    /// There is no such control group.
    #[error("cannot read the control group {path}: {source}; name one below /sys/fs/cgroup")]
    Cgroup {
        /// The path that was tried.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The mount points of the file system of control groups: version 2, beside version 1, version 1.
const CGROUPS: [&str; 4] =
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd"];
/// The most searches for new processes until all of a group are held.
const MAX_ROUNDS: usize = 16;
/// Characters that an identifier of a container has at least, where it is not written out.
const MIN_CONTAINER_LEN: usize = 6;
/// The longest time that a control group may take to freeze.
const FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// Holds all processes of a group, in the order of their numbers, so that all are paused at one time.
/// A control group is frozen meanwhile where it can be (version 2); where not, and for a tree,
/// newcomers are looked for until there are none.
///
/// # Errors
/// When there is none, or one cannot be held: all run on. Of a group that is described rather than
/// named, processes that end meanwhile are not part.
pub fn hold_all(group: &Group, pause: Pause) -> Result<Vec<Held>, FindError> {
    let is_named = matches!(group, Group::Pids(_));
    let mut held: BTreeMap<u32, Held> = BTreeMap::new();
    for _ in 0..MAX_ROUNDS {
        let (targets, _frozen) = find(group)?;
        let mut newcomers =
            targets.into_iter().filter(|target| !held.contains_key(&target.pid())).peekable();
        if newcomers.peek().is_none() {
            break;
        }
        let mut new = Vec::new();
        for target in newcomers {
            let pid = target.pid();
            match target.hold(pause) {
                Ok(one) => new.push((pid, one)),
                Err(_) if !is_named && Process::find(pid).is_err() => {}
                Err(error) => return Err(error.into()),
            }
        }
        held.extend(new);
        if is_named || pause == Pause::None {
            break;
        }
    }
    Ok(held.into_values().collect())
}

/// The processes of a group, in the order of their numbers, without holding them.
///
/// # Errors
/// The same as those of [`hold_all`].
pub fn list_all(group: &Group) -> Result<Vec<Process>, FindError> {
    Ok(find(group)?.0)
}

/// With what freezes them, where they are a control group.
fn find(group: &Group) -> Result<(Vec<Process>, Option<Frozen>), FindError> {
    match group {
        Group::Pids(pids) => {
            let pids: BTreeSet<u32> = pids.iter().copied().collect();
            let targets = pids.into_iter().map(Process::find).collect::<Result<_, _>>()?;
            Ok((targets, None))
        }
        Group::Tree(root) => {
            Process::find(*root)?;
            Ok((usable(descendants(*root)), None))
        }
        Group::Name(pattern) => {
            let found = usable(everybody().filter(|&pid| is_named(pid, pattern)));
            let wanted = format!("is named {}", pattern.glob());
            if found.is_empty() { Err(FindError::Nobody(wanted)) } else { Ok((found, None)) }
        }
        Group::Cgroup(path) => in_cgroup(&below_root(path)),
        Group::Container(id) => in_cgroup(&container(id)?),
    }
}

/// Those that have memory, and are not this process.
fn usable(pids: impl IntoIterator<Item = u32>) -> Vec<Process> {
    pids.into_iter().filter_map(|pid| Process::find(pid).ok()).collect()
}

fn everybody() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter()
}

fn descendants(root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in everybody() {
        if let Some(stat) = facts::stat(Path::new(&format!("/proc/{pid}"))) {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::from([root]);
    let mut rest = vec![root];
    while let Some(pid) = rest.pop() {
        let new = children.remove(&pid).unwrap_or_default();
        rest.extend(new.into_iter().filter(|&child| found.insert(child)));
    }
    found
}

fn is_named(pid: u32, pattern: &GlobMatcher) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let Some(stat) = facts::stat(&folder) else { return false };
    let name = String::from_utf8_lossy(&stat.name).into_owned();
    let program = fs::read_link(folder.join("exe")).ok();
    let program = program.as_deref().and_then(Path::file_name);
    pattern.is_match(&name) || program.is_some_and(|program| pattern.is_match(program))
}

/// The directory of a control group that was named by its path, whole or below a root.
fn below_root(path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let candidates = CGROUPS.iter().map(|root| Path::new(root).join(relative));
    let is_group = |path: &PathBuf| path.join("cgroup.procs").is_file();
    match path.starts_with(CGROUPS[0]) {
        true => path.to_owned(),
        false => candidates.clone().find(is_group).unwrap_or(path.to_owned()),
    }
}

/// The directory of the control group whose name holds the identifier: `docker-ID.scope`, `ID`,
/// `libpod-ID.scope`, `cri-containerd-ID.scope`.
fn container(id: &str) -> Result<PathBuf, FindError> {
    let wanted = || FindError::Nobody(format!("runs in a container {id}"));
    let is_identifier = id.len() >= MIN_CONTAINER_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_identifier {
        return Err(wanted());
    }
    let mut found = BTreeSet::new();
    for pid in everybody() {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { continue };
        // `0::/path` in version 2, `7:memory:/path` in version 1.
        for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
            let mut whole = PathBuf::new();
            for part in Path::new(path).components() {
                whole.push(part);
                let name = part.as_os_str().to_string_lossy();
                if name.split(['-', '.']).any(|word| word.len() >= 12 && word.starts_with(id)) {
                    found.insert(whole.clone());
                    break;
                }
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(below_root(&path)),
        (Some(_), Some(_)) => Err(FindError::Ambiguous(id.to_owned())),
        _ => Err(wanted()),
    }
}

fn in_cgroup(folder: &Path) -> Result<(Vec<Process>, Option<Frozen>), FindError> {
    let frozen = Frozen::freeze(folder);
    let mut pids = BTreeSet::new();
    let failed = |source| FindError::Cgroup { path: folder.to_owned(), source };
    members(folder, &mut pids).map_err(failed)?;
    let found = usable(pids);
    match found.is_empty() {
        true => Err(FindError::Nobody(format!("is in {}", folder.display()))),
        false => Ok((found, frozen)),
    }
}

/// The processes in a group and in those below it.
fn members(folder: &Path, pids: &mut BTreeSet<u32>) -> io::Result<()> {
    let text = fs::read_to_string(folder.join("cgroup.procs"))?;
    // 0 is a process of another namespace.
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|&pid| pid != 0));
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // A group that is gone by now has no members.
            let _ = members(&path, pids);
        }
    }
    Ok(())
}

/// A control group that stands still (`cgroup.freeze`, version 2) until this is dropped.
struct Frozen {
    switch: PathBuf,
}

impl Frozen {
    /// None where there is no freezer, it is frozen already, or this process is in the group itself.
    fn freeze(folder: &Path) -> Option<Self> {
        let switch = folder.join("cgroup.freeze");
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = below_root(Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?));
        if own.starts_with(folder) || fs::read_to_string(&switch).ok()?.trim() != "0" {
            return None;
        }
        fs::write(&switch, "1").ok()?;
        let frozen = Self { switch };
        let started = Instant::now();
        while started.elapsed() < FREEZE_LIMIT {
            let events = fs::read_to_string(folder.join("cgroup.events")).ok()?;
            if events.lines().any(|line| line == "frozen 1") {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Where this fails the group is gone.
        let _ = fs::write(&self.switch, "0");
    }
}
