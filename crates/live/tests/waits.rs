//! Programs that wait in a system call while they are stopped or copied. They must not notice it.

mod support;

use std::thread;
use std::time::Duration;

use memdump_live::process::snapshot::{Snapshot, SnapshotOptions};
use memdump_live::process::stop::{Halt, Stopped};
use rustix::process::Signal;
use support::{Outcome, Target};

/// The disturbance of a process that waits.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Stop,
    Snapshot,
}

const DISTURBANCES: [Disturbance; 2] = [Disturbance::Stop, Disturbance::Snapshot];

/// Disturbs the target three times in a row, because a system call that was restarted once must be restarted again.
fn disturb(target: &Target, disturbance: Disturbance) -> Outcome {
    let children = target.children();
    for _ in 0..3 {
        let mut stopped = Stopped::stop(target.pid())?;
        match disturbance {
            Disturbance::Stop => {
                stopped.resume()?;
            }
            Disturbance::Snapshot => {
                let copy = Snapshot::take(&mut stopped, &SnapshotOptions::default())?;
                stopped.resume()?;
                copy.end()?;
            }
        }
        assert_eq!(target.children(), children, "{disturbance:?}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The output of `wait.c` about its call: everything but the time, and the time.
fn outcome(target: &Target) -> (String, f64) {
    let line = target.line();
    let mut words: Vec<&str> = line.split(' ').collect();
    let took = words.remove(2).parse().expect("milliseconds");
    assert_eq!(target.line(), "children none");
    (words.join(" "), took)
}

/// Runs `wait.c` for a call that `wake` wakes: undisturbed, stopped and copied. All three must print the same.
fn same_when_woken(call: &str, limit: &str, wake: impl Fn(&mut Target)) -> Outcome {
    let mut wanted = None;
    for disturbance in [None].into_iter().chain(DISTURBANCES.map(Some)) {
        let mut target = Target::start("wait", &[call, limit]);
        target.wait_until_asleep();
        let before = target.trace();
        if let Some(disturbance) = disturbance {
            disturb(&target, disturbance)?;
            target.wait_until_asleep();
            assert_eq!(target.trace(), before, "{call}, {disturbance:?}");
        }
        wake(&mut target);
        let (printed, _) = outcome(&target);
        let wanted = wanted.get_or_insert_with(|| printed.clone());
        assert_eq!(&printed, wanted, "{call}, {disturbance:?}");
    }
    Ok(())
}

#[test]
fn calls_that_input_ends() -> Outcome {
    for call in [
        "read",
        "recv",
        "poll",
        "ppoll",
        "select",
        "pselect",
        "epoll_wait",
        "epoll_pwait",
        "futex",
        "semop",
        "msgrcv",
        "waitpid",
    ] {
        same_when_woken(call, "-1", |target| target.say("x"))?;
    }
    Ok(())
}

#[test]
fn calls_that_a_signal_ends() -> Outcome {
    for call in ["ppoll", "pselect", "epoll_pwait", "sigsuspend", "pause", "read", "poll"] {
        same_when_woken(call, "-1", |target| {
            target.signal(Signal::USR1);
            // The call is restarted after the handler and ends by input, which must not come before the signal.
            target.wait_for("status", |status| {
                let mut pending = status.lines().filter(|line| line.contains("Pnd:"));
                pending.all(|line| line.ends_with("\t0000000000000000"))
            });
            target.say("x");
        })?;
    }
    Ok(())
}

#[test]
fn calls_that_time_ends() -> Outcome {
    let limit = 500.0;
    for call in [
        "nanosleep",
        "clock_nanosleep",
        "poll",
        "ppoll",
        "pselect",
        "epoll_wait",
        "epoll_pwait",
        "futex",
        "sigtimedwait",
    ] {
        let mut wanted = None;
        for disturbance in [None].into_iter().chain(DISTURBANCES.map(Some)) {
            let target = Target::start("wait", &[call, &limit.to_string()]);
            target.wait_until_asleep();
            if let Some(disturbance) = disturbance {
                disturb(&target, disturbance)?;
            }
            let (printed, took) = outcome(&target);
            let wanted = wanted.get_or_insert_with(|| printed.clone());
            assert_eq!(&printed, wanted, "{call}, {disturbance:?}");
            // Some calls start over, at most three times. None ends early.
            assert!(took >= limit - 1.0, "{call}, {disturbance:?}: {took} ms");
        }
    }
    Ok(())
}

#[test]
fn no_register_changes_in_a_program_that_computes() -> Outcome {
    for disturbance in DISTURBANCES {
        let target = Target::start("wait", &["spin"]);
        for _ in 0..20 {
            disturb(&target, disturbance)?;
        }
        target.signal(Signal::USR1);
        let (printed, _) = outcome(&target);
        assert!(printed.starts_with("0 0 handled=1"), "{disturbance:?}: {printed}");
    }
    Ok(())
}

#[test]
fn what_job_control_stopped_stays_stopped() -> Outcome {
    for disturbance in DISTURBANCES {
        let mut target = Target::start("wait", &["read"]);
        target.wait_until_asleep();
        target.signal(Signal::STOP);
        target.wait_for("stat", |stat| stat.contains(") T "));
        let before = target.trace();
        let stopped = Stopped::stop(target.pid())?;
        let stop = Signal::STOP.as_raw();
        assert!(stopped.threads().iter().all(|thread| thread.halt == Halt::JobControl(stop)));
        stopped.resume()?;
        disturb(&target, disturbance)?;
        target.wait_for("stat", |stat| stat.contains(") T "));
        assert_eq!(target.trace(), before, "{disturbance:?}");
        target.say("x");
        assert_eq!(target.line_within(Duration::from_millis(50)), None);
        target.signal(Signal::CONT);
        assert!(outcome(&target).0.starts_with("1 0"));
    }
    Ok(())
}

#[test]
fn a_signal_that_comes_meanwhile_is_delivered_afterwards() -> Outcome {
    for disturbance in DISTURBANCES {
        let target = Target::start("wait", &["read"]);
        target.wait_until_asleep();
        let mut stopped = Stopped::stop(target.pid())?;
        target.signal(Signal::USR1);
        target.signal(Signal::USR2);
        match disturbance {
            Disturbance::Stop => {
                stopped.resume()?;
            }
            Disturbance::Snapshot => {
                let copy = Snapshot::take(&mut stopped, &SnapshotOptions::default())?;
                // Before the process runs on, because it looks for children at once.
                copy.end()?;
                stopped.resume()?;
            }
        }
        let (printed, _) = outcome(&target);
        let both = printed.contains("handled=12 ") || printed.contains("handled=21 ");
        assert!(both, "{disturbance:?}: {printed}");
    }
    Ok(())
}
