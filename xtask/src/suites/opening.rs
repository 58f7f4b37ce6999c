//! One image of a guest, opened by one of the programs that people open images with: it has to find what is known of the guest.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::consumers::{self, Task, crash, drgn, volatility};
use crate::lab::guest::Guest;

/// drgn finds the kernel's release and the tasks that run in the guest.
pub(crate) fn with_drgn(guest: &mut Guest, what: &str, image: &Path) -> Result<String> {
    let found = drgn::open(image, &consumers::vmlinux(&guest.release)?)?;
    ensure!(found.release == guest.release, "drgn finds the release {}", found.release);
    let known = has_tasks("drgn", guest, &found.tasks)?;
    let count = found.tasks.len();
    Ok(format!(
        "drgn opens {what} of {}: {count} tasks, the {known} known ones among them",
        found.release
    ))
}

/// crash opens images of kernels that it is new enough for: 8.0 gives up on Linux 6.12, whichever program wrote the image.
pub(crate) fn with_crash(guest: &mut Guest, what: &str, image: &Path) -> Result<String> {
    let release = guest.release.clone();
    match crash::open(image, &consumers::vmlinux(&release)?)? {
        crash::Outcome::Opened(session) => {
            ensure!(session.release == release, "crash finds the release {}", session.release);
            let modules = guest.demand("busybox cut -d ' ' -f 1 /proc/modules")?;
            for module in modules.lines() {
                let is_there = session.modules.iter().any(|found| found == module);
                ensure!(is_there, "crash does not find the module {module}: {:?}", session.modules);
            }
            ensure!(!session.backtrace.is_empty(), "crash prints no backtrace");
            Ok(format!(
                "crash opens {what} of {release}: {} tasks, all {} modules, a backtrace of {} frames",
                session.tasks.len(),
                modules.lines().count(),
                session.backtrace.len()
            ))
        }
        crash::Outcome::GaveUp { said } if release.starts_with("6.12") => {
            let theirs = guest.hypervisor_dump();
            guest.dump(&theirs)?;
            let theirs_too = crash::open(&theirs, &consumers::vmlinux(&release)?)?;
            guest.discard(&theirs)?;
            match theirs_too {
                crash::Outcome::GaveUp { .. } => Ok(format!(
                    "crash is too old for {release}: it gives up on QEMU's own dump as well"
                )),
                crash::Outcome::Opened(_) => {
                    bail!("crash opens QEMU's dump of {release} and not ours: {said}")
                }
            }
        }
        crash::Outcome::GaveUp { said } => bail!("crash gives up on {release}: {said}"),
    }
}

/// Volatility lists the processes that run in the guest. Without symbol files for the kernel it cannot.
pub(crate) fn with_volatility(guest: &mut Guest, format: &str, image: &Path) -> Result<String> {
    let release = guest.release.clone();
    let Some(symbols) = volatility::Symbols::find(&release)? else {
        return Ok(format!(
            "Volatility 3 NOT run on {format} of {release}, there is no symbol file for it: {}",
            volatility::Symbols::ADVICE
        ));
    };
    let found = volatility::processes(image, &symbols)?;
    let known = has_tasks("Volatility", guest, &found)?;
    Ok(format!(
        "Volatility 3 linux.pslist on {format} of {release}: {} processes, the {known} known ones among them",
        found.len()
    ))
}

/// Tasks that live as long as the machine and keep their names.
const LASTING: &[&str] =
    &["lab-guest", "kthreadd", "kswapd0", "rcu_preempt", "khungtaskd", "kdevtmpfs"];

/// Holds the tasks that were found against the lasting ones of the guest; how many those are.
fn has_tasks(who: &str, guest: &mut Guest, found: &[Task]) -> Result<usize> {
    has_all(who, &lasting(guest)?, found)
}

/// The lasting tasks of the guest.
pub(crate) fn lasting(guest: &mut Guest) -> Result<Vec<Task>> {
    let list = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(busybox cat $p/comm); done";
    let listed = guest.demand(list)?;
    let mut known = Vec::new();
    for line in listed.lines() {
        let Some((pid, comm)) = line.split_once(' ') else { continue };
        if LASTING.contains(&comm) {
            let pid = pid.parse().context("a number of a process")?;
            known.push(Task { pid, comm: comm.to_owned() });
        }
    }
    ensure!(known.len() >= 4, "the guest runs only {listed}");
    Ok(known)
}

/// Holds the tasks that were found against those that are known; how many those are.
pub(crate) fn has_all(who: &str, known: &[Task], found: &[Task]) -> Result<usize> {
    for task in known {
        ensure!(found.contains(task), "{who} does not find {task:?}: {found:?}");
    }
    Ok(known.len())
}
