//! The agent: takes requests from the control port, one at a time, and answers each. Not concurrent: while a command runs, what
//! else happens to the machine happens from outside, through the hypervisor.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab_guest::protocol::{DATA_PATH, Held, Ran, Request, Response};

use crate::sys;

/// Bytes of a command's output that are kept, from its end: enough for what a person or a test reads.
const KEPT: usize = 16 << 20;

pub(crate) fn serve(control: &Path) -> Result<()> {
    let mut port = File::options()
        .read(true)
        .write(true)
        .open(control)
        .with_context(|| format!("open {}", control.display()))?;
    let mut requests = BufReader::new(port.try_clone().context("duplicate the control port")?);
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    send(&mut port, &Response::Ready { release }, &[])?;

    // Kept so that they are never waited for: what they hold is held until the machine ends.
    let mut holders = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line).context("read the control port")? == 0 {
            // Nobody is connected on the host's side.
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        let answer = serde_json::from_str(&line)
            .context("understand the request")
            .and_then(|request| handle(request, &mut holders));
        match answer {
            Ok((response, payload)) => send(&mut port, &response, &payload)?,
            Err(error) => {
                send(&mut port, &Response::Failed { reason: format!("{error:#}") }, &[])?;
            }
        }
    }
}

fn send(port: &mut File, response: &Response, payload: &[u8]) -> Result<()> {
    let mut bytes = serde_json::to_vec(response).context("encode the response")?;
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    port.write_all(&bytes).context("write to the control port")
}

fn handle(request: Request, holders: &mut Vec<Child>) -> Result<(Response, Vec<u8>)> {
    match request {
        Request::Run { command, uid, limit } => {
            let (ran, output) = run(&command, uid, Duration::from_secs(limit))?;
            Ok((Response::Ran(ran), output))
        }
        Request::Hold { arguments } => Ok((Response::Held(hold(&arguments, holders)?), Vec::new())),
        Request::Mark { mark } => {
            let mut port = File::options()
                .write(true)
                .open(DATA_PATH)
                .with_context(|| format!("open {DATA_PATH}"))?;
            port.write_all(mark.as_bytes()).with_context(|| format!("write to {DATA_PATH}"))?;
            Ok((Response::Marked, Vec::new()))
        }
    }
}

fn run(command: &str, uid: Option<u32>, limit: Duration) -> Result<(Ran, Vec<u8>)> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(uid) = uid {
        shell.uid(uid).gid(uid);
    }
    let started = Instant::now();
    let mut child = shell.spawn().context("start /bin/sh")?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let pid = child.id();
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            kill_group(pid);
        }
        late
    });
    let result = sys::wait(pid).context("wait for the command")?;
    let micros = started.elapsed().as_micros() as u64;
    // The channel may be gone already when the watchdog fired.
    ended.send(()).ok();
    let timed_out = watchdog.join().unwrap_or(false);
    let mut output = stdout.join().unwrap_or_default();
    let errors = stderr.join().unwrap_or_default();
    let ran = Ran {
        status: result.status,
        timed_out,
        micros,
        peak_kib: result.peak_kib,
        stdout: output.len(),
        stderr: errors.len(),
    };
    output.extend_from_slice(&errors);
    Ok((ran, output))
}

fn kill_group(pid: u32) {
    if let Some(group) = rustix::process::Pid::from_raw(pid as i32) {
        // It may just have ended by itself.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
}

/// Reads a pipe to its end in a thread, keeping the last [`KEPT`] bytes.
fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = VecDeque::new();
        let mut buffer = [0; 65536];
        let Some(mut pipe) = pipe else { return Vec::new() };
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend(&buffer[..count]);
            kept.drain(..kept.len().saturating_sub(KEPT));
        }
        kept.into()
    })
}

fn hold(arguments: &[String], holders: &mut Vec<Child>) -> Result<Held> {
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start a holder")?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).context("read from the holder")?;
    }
    if line.is_empty() {
        let mut why = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut why).context("read from the holder")?;
        }
        let status = child.wait().context("wait for the holder")?;
        bail!("`{}` ended with {status}: {}", arguments.join(" "), why.trim());
    }
    holders.push(child);
    serde_json::from_str(&line).context("understand the holder")
}
