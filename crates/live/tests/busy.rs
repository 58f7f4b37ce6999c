//! A thousand snapshots of a busy process, whose threads are interrupted anywhere.

mod support;

use std::process::Command;

use memdump_live::process::snapshot::{Snapshot, SnapshotOptions};
use memdump_live::process::stop::Stopped;
use support::{Outcome, Target};

/// The number of snapshots.
const TIMES: usize = 1000;

/// Asserts that the target reports no harm at its end. It must have received signals, but their number does not matter.
fn unharmed(target: &mut Target) {
    target.hang_up();
    let told = target.line();
    let (told, sent) = told.rsplit_once(" sent=").expect("the counts");
    assert_eq!(told, "lost=0 children=0 failures=0 left=0 worked=1");
    assert!(sent.parse::<u64>().expect("a count") > 100, "{sent} signals");
    assert!(target.end().success());
}

fn take_many(pid: u32) -> Outcome {
    for _ in 0..TIMES {
        let mut stopped = Stopped::stop(pid)?;
        assert_eq!(stopped.threads().len(), 17);
        let copy = Snapshot::take(&mut stopped, &SnapshotOptions::default())?;
        stopped.resume()?;
        copy.end()?;
    }
    Ok(())
}

#[test]
fn snapshots_leave_busy_threads_unharmed() -> Outcome {
    let mut target = Target::start("busy", &[]);
    take_many(target.pid())?;
    assert_eq!(target.children(), [0; 0]);
    unharmed(&mut target);
    Ok(())
}

/// In a PID namespace the copies become orphans, and the namespace's first process waits for them.
#[test]
fn snapshots_in_a_pid_namespace_leave_busy_threads_unharmed() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root makes a pid namespace");
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "bash", "-c"]);
    command.arg("exec 3<&0; \"$0\" <&3 3<&- & exec 3<&- 0</dev/null; wait");
    let mut target = Target::spawn({
        command.arg(support::build("busy"));
        command
    });
    let first = target.children()[0];
    let pid = support::children(first)[0];
    assert!(support::text(pid, "status").contains(&format!("NSpid:\t{pid}\t")));
    take_many(pid)?;
    assert_eq!(support::children(first), [pid]);
    assert_eq!(support::children(pid), [0; 0]);
    unharmed(&mut target);
    Ok(())
}

#[test]
fn stops_leave_busy_threads_unharmed() -> Outcome {
    let mut target = Target::start("busy", &[]);
    for _ in 0..TIMES {
        Stopped::stop(target.pid())?.resume()?;
    }
    unharmed(&mut target);
    Ok(())
}
