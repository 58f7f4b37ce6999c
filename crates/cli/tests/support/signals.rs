//! Checks of commands that read processes and are ended by a signal.

use std::fs;
use std::io::{self, Read};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{self, Target, memdump, said};

/// Checks that the command ends cleanly on each signal, with each way to pause the targets. The signal is sent while the command is
/// blocked on its output. The command must report the signal, exit with `status`, and leave nothing behind.
pub(crate) fn end_it_in_order(command: &[&str], targets: &[&Target], status: i32) {
    for pause in ["none", "stop", "snapshot"] {
        for signal in [Signal::INT, Signal::TERM] {
            let mut memdump = memdump();
            memdump.args(command).args(["--pause", pause]).args(targets.iter().map(|t| t.pid()));
            let mut child = memdump.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            // The command is at work: it waits until its output is read.
            stdout.read_exact(&mut [0; 100]).unwrap();
            support::signal(&child, signal);
            io::copy(&mut stdout, &mut io::sink()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(status), "{pause} {signal:?}: {}", said(&output));
            assert!(said(&output).contains("stopped by a signal"), "{}", said(&output));
            for target in targets {
                let pid = target.pid();
                assert!(!matches!(target.state(), 'T' | 't'), "{pause}: it was left stopped");
                let children = format!("/proc/{pid}/task/{pid}/children");
                assert_eq!(fs::read_to_string(children).unwrap(), "", "{pause}");
            }
        }
    }
}
