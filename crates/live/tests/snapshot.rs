//! Snapshots of real processes: what they see of it, and what is left.

mod support;

use memdump_live::process::snapshot::{Snapshot, SnapshotOptions};
use memdump_live::process::stop::Stopped;
use support::{Outcome, Target};

#[test]
fn smoke() -> Outcome {
    let mut target = Target::start("wait", &["read"]);
    target.wait_until_asleep();
    let before = target.trace();
    let mut stopped = Stopped::stop(target.pid())?;
    let start = std::time::Instant::now();
    let copy = Snapshot::take(&mut stopped, &SnapshotOptions::default())?;
    println!("took {:?}", start.elapsed());
    println!("copy {} {}", copy.pid(), support::text(copy.pid(), "status"));
    let pause = stopped.resume()?;
    println!("pause {pause:?}");
    copy.end()?;
    assert_eq!(before, target.trace());
    target.say("x");
    println!("{}", target.line());
    println!("{}", target.line());
    Ok(())
}
