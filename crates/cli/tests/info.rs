//! `memdump info` on live memory: processes and the machine. It is tested on images together with the commands that write them.

#[path = "support/mod.rs"]
mod machine;
#[path = "support/process.rs"]
mod support;

use std::path::Path;

use machine::{Machine, RAM};
use serde_json::Value;
use support::{PAGE, Target, memdump, said};

fn info(arguments: &[&str], status: i32) -> Value {
    let output = memdump().args(["info", "--json"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_process_is_told_of_and_does_not_grow() {
    let target = Target::start("guard", Path::new(""));
    target.settles();
    let weight = || (target.status("VmRSS"), target.status("VmPTE"));
    let before = weight();
    let told = info(&["--scan", &target.pid()], 0);
    assert_eq!(weight(), before);
    assert_eq!(told["format"], Value::Null);
    assert_eq!(told["process"]["name"], "target");
    assert_eq!(told["process"]["threads"], 1);
    assert_eq!(told["holes"]["guard"], PAGE);
    let (start, len) = target.told["guarded"];
    let regions = told["regions"].as_array().unwrap();
    let covers = |region: &&Value| {
        region["start"].as_u64().unwrap() <= start && start + len <= region["end"].as_u64().unwrap()
    };
    assert_eq!(regions.iter().filter(covers).count(), 1);

    let text = memdump().args(["info", &target.pid()]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(" (target), 1 thread\n"), "{text}");
}

#[test]
fn the_machine_is_told_of() {
    let machine = Machine::new();
    let kcore = machine.kcore();
    let told = info(&["physical", "--source", kcore.to_str().unwrap()], 0);
    assert_eq!(told["space"], "physical");
    let ram: Vec<_> = told["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| (region["start"].as_u64().unwrap(), region["end"].as_u64().unwrap()))
        .collect();
    assert_eq!(ram, RAM);
    let missing = memdump().args(["info", "4194305"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("no process 4194305"), "{}", said(&missing));
}
