//! A known chain of calls in two threads, each of which ends in a wait.

use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

#[inline(never)]
fn gamma_waits(never: &Receiver<()>, ready: bool) {
    if ready {
        println!("ready");
        std::io::stdout().flush().unwrap();
    }
    never.recv().unwrap();
}

#[inline(never)]
fn beta_calls(depth: u32, never: &Receiver<()>, ready: bool) {
    match depth {
        0 => gamma_waits(never, ready),
        _ => beta_calls(depth - 1, never, ready),
    }
    std::hint::black_box(depth);
}

fn main() {
    let (keep, never) = channel();
    thread::Builder::new().name("worker".into()).spawn(move || beta_calls(3, &never, false)).unwrap();
    thread::sleep(std::time::Duration::from_millis(200));
    let (keep_too, never) = channel();
    beta_calls(5, &never, true);
    drop((keep, keep_too));
}
