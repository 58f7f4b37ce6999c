//! QEMU's control channel: JSON objects, one a line (docs/interop/qmp-spec). Commands and their answers; events are passed over.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The longest that one command may take: `dump-guest-memory` of 4 GiB takes a quarter of it.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket at `path` and leaves negotiation.
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("connect to QMP at {}", path.display()))?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut qmp = Self { lines: BufReader::new(stream) };
        qmp.receive()?;
        qmp.call("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns.
    pub(super) fn call(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.lines.get_mut(), "{request}")
            .with_context(|| format!("send QMP {command}"))?;
        loop {
            let mut answer = self.receive().with_context(|| format!("QMP {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QMP {command} {}: {}", request["arguments"], error["desc"]);
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Runs a command of the human monitor and returns what it prints.
    pub(super) fn monitor(&mut self, line: &str) -> Result<String> {
        let printed = self.call("human-monitor-command", json!({ "command-line": line }))?;
        printed.as_str().map(str::to_owned).context("the monitor answers with text")
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).context("read from QMP")? == 0 {
            bail!("QEMU closed its control channel");
        }
        serde_json::from_str(&line).with_context(|| format!("understand QMP: {line}"))
    }
}
