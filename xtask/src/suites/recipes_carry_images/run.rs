//! Runs a recipe: the two machines are two directories of this one, with nothing in common but what the recipe carries over.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::made_up::Memory;
use super::{IMAGE, Recipe};
use crate::command::{self, Running};

/// The longest that a step may take; it takes a second or two.
const LIMIT: Duration = Duration::from_secs(120);
const HOST: &str = "127.0.0.1";

/// Runs the recipe with the command at `memdump`, and compares what has arrived with what is in memory.
pub(super) fn run(recipe: &Recipe, memdump: &Path, memory: &Memory) -> Result<()> {
    let mut ports = vec![("PORT", free_port()?)];
    for name in recipe.ports {
        ports.push((name, free_port()?));
    }
    let mut ports_here = ports.clone();
    for name in recipe.ports_here {
        ports_here.push((name, free_port()?));
    }
    let here = Place::new("here", memdump, memory, &ports_here)?;
    let there = Place::new("there", memdump, memory, &ports)?;

    there.run(recipe.prepare)?;
    there.give(recipe.brought, &here)?;
    let listening = match recipe.listen {
        "" => None,
        script => Some(there.listen(script, &ports)?),
    };
    here.run(recipe.send)?;
    if let Some(listening) = listening {
        listening.finish()?;
    }
    here.give(recipe.carried, &there)?;
    there.run(recipe.open)?;

    let image = there.folder.path().join(IMAGE);
    let (arrived, len) = (sha256(&image)?, fs::metadata(&image)?.len());
    ensure!(
        arrived == memory.sha256,
        "{len} of {} bytes arrived, with SHA-256 {arrived}; what was in memory has {}",
        memory.image_bytes(),
        memory.sha256
    );
    Ok(())
}

/// The SHA-256 of a file, in hexadecimal, as `sha256sum` says.
pub(super) fn sha256(file: &Path) -> Result<String> {
    let printed = command::run(Command::new("sha256sum").arg("--").arg(file), LIMIT)?;
    let digest = printed.split(' ').next().filter(|digest| digest.len() == 64);
    Ok(digest.with_context(|| format!("sha256sum says {printed}"))?.to_owned())
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((HOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// A directory that stands for a machine.
pub(super) struct Place {
    pub(super) folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    /// `memdump` without a path is the command at `memdump`, reading the made-up memory.
    pub(super) fn new(
        name: &str,
        memdump: &Path,
        memory: &Memory,
        ports: &[(&str, u16)],
    ) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new().prefix(name).tempdir()?;
        let programs = folder.path().join(".programs");
        fs::create_dir(&programs)?;
        let script = programs.join("memdump");
        fs::write(
            &script,
            "#!/bin/sh\nexec \"$MADE_UP_COMMAND\" --source \"$MADE_UP_KCORE\" \"$@\"\n",
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;

        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let path = std::env::var("PATH").context("PATH is not set")?;
        let mut environment = vec![
            ("HOST".to_owned(), HOST.to_owned()),
            ("PATH".to_owned(), format!("{}:{path}", text(&programs)?)),
            ("MADE_UP_COMMAND".to_owned(), text(&std::path::absolute(memdump)?)?),
            ("MADE_UP_KCORE".to_owned(), text(&memory.kcore())?),
        ];
        environment.extend(ports.iter().map(|(name, port)| ((*name).to_owned(), port.to_string())));
        Ok(Self { folder, environment })
    }

    /// Bash, about to run a script as the page has it. Job control lets the script end what it started.
    pub(super) fn bash(&self, script: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-o", "pipefail", "-c", script]).current_dir(&self.folder);
        bash.envs(self.environment.iter().map(|(name, value)| (name, value)));
        bash
    }

    fn run(&self, script: &str) -> Result<()> {
        if !script.is_empty() {
            command::run(&mut self.bash(script), LIMIT)?;
        }
        Ok(())
    }

    /// Starts a script and waits until it listens on all of the ports.
    pub(super) fn listen(&self, script: &str, ports: &[(&str, u16)]) -> Result<Listening> {
        let log = fs::File::create(self.folder.path().join(".log"))?;
        let mut bash = self.bash(script);
        bash.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut running = Running::start(&mut bash)?;
        let input = running.take_stdin();
        let started = Instant::now();
        let waiting = || -> Result<bool> {
            let listening = listening_ports()?;
            Ok(!ports.iter().all(|(_, port)| listening.contains(port)))
        };
        while waiting()? {
            ensure!(
                started.elapsed() < Duration::from_secs(20) && !running.has_ended()?,
                "it does not listen:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Listening { running, _input: input })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(".log")).unwrap_or_default()
    }

    /// Copies files to another place.
    fn give(&self, names: &[&str], other: &Place) -> Result<()> {
        for name in names {
            fs::copy(self.folder.path().join(name), other.folder.path().join(name))
                .with_context(|| format!("carry {name} over"))?;
        }
        Ok(())
    }
}

/// A script that listens.
pub(super) struct Listening {
    running: Running,
    /// Stays open, as it does in a terminal.
    _input: Option<ChildStdin>,
}

impl Listening {
    /// Waits for its end, and demands that it succeeds.
    pub(super) fn finish(self) -> Result<()> {
        let status = self.running.finish(LIMIT).context("wait for the machine that receives")?;
        ensure!(status.success(), "the machine that receives ended with {status}");
        Ok(())
    }
}

/// The ports that some program of this machine listens on (`proc_pid_net(5)`: local address and port in hexadecimal, state 0A). They
/// are not tried, as the receiver would take that for the sender.
fn listening_ports() -> Result<Vec<u16>> {
    let table = fs::read_to_string("/proc/net/tcp").context("read /proc/net/tcp")?;
    let port = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let (_, port) = local.split_once(':')?;
        (state == "0A").then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    Ok(table.lines().filter_map(port).collect())
}
