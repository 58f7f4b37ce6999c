//! The laboratory's program inside the guest: as process 1 it sets the machine up and does what the host asks; by name it holds
//! memory in a state that a test needs, or loads the kernel that a crash boots. It is not part of what is tested, and shares no code with it.

mod agent;
mod capture;
mod hold;
mod init;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = if std::process::id() == 1 { init::run() } else { hold::run(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-guest: {error:#}");
            if std::process::id() == 1 {
                // Process 1 must not end: the kernel would panic over the message just printed.
                init::power_off();
            }
            ExitCode::FAILURE
        }
    }
}
