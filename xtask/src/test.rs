//! `cargo xtask test`: every test there is, with all the set-up that it needs; and each step of it by its name. The table here says
//! what a step proves, how long a run has to be to include it, and what it may share the machine with.

use std::env;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::lab::initramfs::Program;
use crate::lab::kernel::Series;
use crate::lab::{cell, despite_the_emulator, payload, report};
use crate::suites::{
    consumers_open_images, crash_dumps_are_read, debuggers_open_cores, images_survive_conversion,
    looking_agrees_with_peers, recipes_carry_images,
};
use crate::{fuzz, setup};

/// The time for fuzzing, in seconds: enough for what was found before, and for the coarsest of mistakes.
const FUZZ_SECONDS: u64 = 20;
/// Steps that share the machine, at most: each has a guest on a processor or two, and images of some GiB.
const LANES: usize = 2;
/// Debian packages that steps in two lanes need. They are installed before, as apt does one thing at a time.
const SHARED_PACKAGES: &[&str] = &["binutils", "bsdextrautils", "qemu-system-x86", "ripgrep"];

/// The length of a run that includes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Minutes: no virtual machine.
    Quick,
    /// Most of an hour.
    Full,
}

/// The other steps that may run beside a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// Nothing: it has both processors busy by itself, changes settings of the machine, or looks at what happens when.
    Alone,
    /// Other steps of this sort: each has a guest of its own, and nothing in it depends on how fast that is.
    Shared,
}

/// Is told each thing that was proved, in a line.
pub(crate) type Say<'a> = &'a mut dyn FnMut(String);

/// The end of a step, or of a part of it that passes or fails by itself.
type Outcome = (String, Result<()>);

/// The function that performs a step.
#[derive(Clone, Copy)]
enum Run {
    /// It passes or fails as one.
    Whole(fn(&[Program], Say) -> Result<()>),
    /// A guest is booted for it; from its beginning again where the emulator failed.
    InGuest(fn(&[Program]) -> Result<Vec<String>>),
    /// Its parts pass or fail each.
    Parts(fn(&[Program], Say) -> Vec<Outcome>),
}

/// A step of the tests.
struct Step {
    /// The first word is what `cargo xtask` calls it.
    name: &'static str,
    proves: &'static str,
    tier: Tier,
    company: Company,
    run: Run,
}

const STEPS: &[Step] = &[
    Step {
        name: "cargo test",
        proves: "every crate does what its tests say, with all features",
        tier: Tier::Quick,
        company: Company::Alone,
        run: Run::Whole(|_, _| cargo_test()),
    },
    Step {
        name: "fuzz",
        proves: "no damaged image makes a reader crash, hang or take much memory",
        tier: Tier::Quick,
        company: Company::Alone,
        run: Run::Whole(|_, _| fuzz::run(FUZZ_SECONDS, None)),
    },
    Step {
        name: "recipes",
        proves: "images arrive whole by every recipe of docs/recipes.md, or it is said that they do not",
        tier: Tier::Quick,
        company: Company::Alone,
        run: Run::Whole(recipes_carry_images::check),
    },
    Step {
        name: "process",
        proves: "gdb, eu-stack, lldb and drgn find in our cores of real processes what they find in gcore's and the kernel's",
        tier: Tier::Quick,
        company: Company::Alone,
        run: Run::Whole(|programs, say| debuggers_open_cores::check(programs, None, say)),
    },
    Step {
        name: "process in a guest",
        proves: "broken memory, frozen control groups and threads of the kernel are coped with",
        tier: Tier::Full,
        company: Company::Alone,
        run: Run::InGuest(debuggers_open_cores::check_in_guest),
    },
    Step {
        name: "cells",
        proves: "images of running guests are equal to what the hypervisor knows of their memory",
        tier: Tier::Full,
        company: Company::Alone,
        run: Run::Parts(cells),
    },
    Step {
        name: "opened 6.1",
        proves: "crash, drgn, makedumpfile, AVML and Volatility open our images of Linux 6.1",
        tier: Tier::Full,
        company: Company::Shared,
        run: Run::InGuest(|programs| consumers_open_images::check(Series::V6_1, programs)),
    },
    Step {
        name: "opened 6.12",
        proves: "the same of Linux 6.12",
        tier: Tier::Full,
        company: Company::Shared,
        run: Run::InGuest(|programs| consumers_open_images::check(Series::V6_12, programs)),
    },
    Step {
        name: "converted",
        proves: "images survive a conversion to every format and back, AVML's and the hypervisor's too",
        tier: Tier::Full,
        company: Company::Shared,
        run: Run::InGuest(images_survive_conversion::check),
    },
    Step {
        name: "vmcore",
        proves: "the kernel's own dump of a guest that crashed is read, and survives conversion",
        tier: Tier::Full,
        company: Company::Shared,
        run: Run::InGuest(crash_dumps_are_read::check),
    },
    Step {
        name: "looked",
        proves: "strings, hexdump and search find what the programs of those names find",
        tier: Tier::Full,
        company: Company::Shared,
        run: Run::InGuest(looking_agrees_with_peers::check),
    },
];

impl Step {
    fn outcomes(&self, programs: &[Program], say: Say) -> Vec<Outcome> {
        let result = match self.run {
            Run::Parts(run) => return run(programs, say),
            Run::Whole(run) => run(programs, say),
            Run::InGuest(run) => despite_the_emulator(|| run(programs))
                .map(|proved| proved.into_iter().for_each(say)),
        };
        vec![(self.name.to_owned(), result)]
    }

    /// Does it and says so; lines come at once, or at its end where others run beside it.
    fn perform(&self, programs: &[Program]) -> Performed {
        let started = Instant::now();
        let mut lines = Vec::new();
        let outcomes = match self.company {
            Company::Alone => {
                println!("\n== {}: {}", self.name, self.proves);
                self.outcomes(programs, &mut |line| println!("{line}"))
            }
            Company::Shared => self.outcomes(programs, &mut |line| lines.push(line)),
        };
        if self.company == Company::Shared {
            lines.insert(0, format!("\n== {}: {}", self.name, self.proves));
            println!("{}", lines.join("\n"));
        }
        for (name, result) in &outcomes {
            if let Err(error) = result {
                eprintln!("FAIL {name}: {error:#}");
            }
        }
        Performed { name: self.name, took: started.elapsed(), outcomes }
    }
}

/// A step that has been done.
struct Performed {
    name: &'static str,
    took: Duration,
    outcomes: Vec<Outcome>,
}

/// Runs every step that belongs to a run of this length; ends with the line `N passed, N failed`.
pub(crate) fn run(tier: Tier) -> Result<()> {
    let started = Instant::now();
    setup::programs_of_tests()?;
    if tier == Tier::Full {
        setup::apt(SHARED_PACKAGES)?;
    }
    let programs = payload::build()?;
    let steps: Vec<&Step> = STEPS.iter().filter(|step| step.tier <= tier).collect();
    let done = perform(&steps, &programs);

    println!("\nwhat took how long:");
    for step in &done {
        println!("{:5.0} s  {}", step.took.as_secs_f64(), step.name);
    }
    println!("{:5.0} s  all of it", started.elapsed().as_secs_f64());
    let outcomes = done.iter().flat_map(|step| &step.outcomes);
    let failed: Vec<&str> = outcomes
        .clone()
        .filter(|(_, result)| result.is_err())
        .map(|(name, _)| name.as_str())
        .collect();
    println!("{} passed, {} failed", outcomes.count() - failed.len(), failed.len());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Runs the steps whose names begin with this word.
///
/// # Errors
/// The first that failed.
pub(crate) fn only(name: &str) -> Result<()> {
    let programs = payload::build()?;
    let named = |step: &&Step| step.name.split(' ').next() == Some(name);
    for step in STEPS.iter().filter(named) {
        for (_, result) in step.outcomes(&programs, &mut |line| println!("{line}")) {
            result?;
        }
    }
    Ok(())
}

/// Performs the steps: those that need to be alone first, one after another, and then the others, in lanes. They are in the order
/// in which they ended.
fn perform(steps: &[&Step], programs: &[Program]) -> Vec<Performed> {
    let (alone, shared): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| step.company == Company::Alone);
    let mut done: Vec<Performed> = alone.iter().map(|step| step.perform(programs)).collect();
    let waiting = Mutex::new(shared.into_iter());
    // Given back before the step begins.
    let next = || waiting.lock().ok().and_then(|mut steps| steps.next());
    let lanes = thread::available_parallelism().map_or(1, |count| count.get().min(LANES));
    thread::scope(|scope| {
        let lane = || {
            let mut done = Vec::new();
            while let Some(step) = next() {
                done.push(step.perform(programs));
            }
            done
        };
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            done.extend(lane.join().expect("a step reports its failure and does not panic"));
        }
    });
    done
}

/// The cells of the laboratory that differ in kind.
fn cells(programs: &[Program], say: Say) -> Vec<Outcome> {
    let quick: Vec<_> = cell::all().into_iter().filter(|cell| cell.quick).collect();
    let outcomes = cell::run_all(&quick, programs, |outcome| say(report::line(outcome)));
    let verdict = |outcome: cell::Outcome| {
        let result = match outcome.failures.is_empty() {
            true => Ok(()),
            false => Err(anyhow!("{}", outcome.failures.join("; "))),
        };
        (outcome.cell, result)
    };
    outcomes.into_iter().map(verdict).collect()
}

fn cargo_test() -> Result<()> {
    let arguments =
        ["test", "--workspace", "--all-features", "--no-fail-fast", "--quiet", "--locked"];
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = command.args(arguments).current_dir(payload::workspace()).status();
    let status = status.context("start cargo")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_step_is_done_once_and_those_that_need_to_be_alone_come_first() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        fn alone(_: &[Program], _: Say) -> Result<()> {
            ensure!(RUNNING.fetch_add(1, Ordering::SeqCst) == 0, "another runs");
            thread::sleep(Duration::from_millis(5));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
        fn shared(_: &[Program]) -> Result<Vec<String>> {
            let running = RUNNING.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            ensure!(running < LANES, "{running} others run");
            Ok(vec![])
        }
        fn failing(_: &[Program]) -> Result<Vec<String>> {
            Err(anyhow!("as it should"))
        }
        let step = |name, company, run| Step { name, proves: "", tier: Tier::Quick, company, run };
        let steps = [
            step("shared 1", Company::Shared, Run::InGuest(shared)),
            step("alone 1", Company::Alone, Run::Whole(alone)),
            step("failing", Company::Shared, Run::InGuest(failing)),
            step("shared 2", Company::Shared, Run::InGuest(shared)),
            step("alone 2", Company::Alone, Run::Whole(alone)),
            step("shared 3", Company::Shared, Run::InGuest(shared)),
        ];
        let done = perform(&steps.iter().collect::<Vec<_>>(), &[]);
        let mut names: Vec<&str> = done.iter().map(|step| step.name).collect();
        assert_eq!(names[..2], ["alone 1", "alone 2"]);
        names.sort();
        assert_eq!(names, ["alone 1", "alone 2", "failing", "shared 1", "shared 2", "shared 3"]);
        let failed = done.iter().flat_map(|step| &step.outcomes).filter(|end| end.1.is_err());
        assert_eq!(failed.map(|end| end.0.as_str()).collect::<Vec<_>>(), ["failing"]);
    }

    #[test]
    fn what_is_quick_needs_no_guest() {
        let in_guest = |step: &&Step| matches!(step.run, Run::InGuest(_));
        assert!(STEPS.iter().filter(in_guest).all(|step| step.tier == Tier::Full));
        assert!(STEPS.iter().any(|step| step.tier == Tier::Quick));
    }
}
