//! Writing into the memory of a running guest through QEMU's gdb stub. Only that of the remote protocol, as QEMU alone sees to it
//! that translated code is thrown away; the file that backs the RAM could be written to, but the guest would go on with the old code.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Writes `bytes` at the physical address `address`. The guest is paused meanwhile.
pub(super) fn write_physical(socket: &Path, address: u64, bytes: &[u8]) -> Result<()> {
    let stream = UnixStream::connect(socket).context("connect to QEMU's gdb stub")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stub = Stub { stream };
    stub.expect("Qqemu.PhyMemMode:1", "OK")?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    stub.expect(&format!("M{address:x},{:x}:{hex}", bytes.len()), "OK")?;
    stub.expect("Qqemu.PhyMemMode:0", "OK")?;
    stub.expect("D", "OK")
}

struct Stub {
    stream: UnixStream,
}

impl Stub {
    fn expect(&mut self, packet: &str, wanted: &str) -> Result<()> {
        let answer = self.exchange(packet).with_context(|| format!("gdb stub: {packet}"))?;
        ensure!(answer == wanted, "gdb stub: {packet} is answered with `{answer}`");
        Ok(())
    }

    /// Sends `$packet#sum` and returns the payload of the answer.
    fn exchange(&mut self, packet: &str) -> Result<String> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}")?;
        loop {
            let payload = self.receive()?;
            // That the machine stopped, as it does when the stub is connected to, is told unasked.
            if !payload.starts_with(['T', 'S']) {
                return Ok(payload);
            }
        }
    }

    /// Receives a packet and acknowledges it.
    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut payload = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => payload.push(byte),
            }
        }
        // The sum, which a socket does not need.
        self.byte()?;
        self.byte()?;
        self.stream.write_all(b"+")?;
        String::from_utf8(payload).context("an answer in ASCII")
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}
