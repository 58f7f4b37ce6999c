//! A running guest: QEMU, its sockets and files, and what can be asked of it. It ends when it is dropped, and no wait is without
//! a limit. What the guest is made of is `machine`; what its memory holds is `truth`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab_guest::protocol::{CONTROL_PORT, DATA_PATH, DATA_PORT, Held, Ran, Request, Response};
use serde_json::json;
use tempfile::TempDir;

use super::initramfs::{self, Program};
use super::kernel::Kernel;
use super::machine::Machine;
use super::qmp::Qmp;
use super::truth::Memory;
use super::{emulator, gdb};
use crate::scratch;

/// The longest that a guest may take to its first command; it takes 2 to 5 s on a machine that has nothing else to do.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// The longest that a command in the guest may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);
/// The mark that follows an image on the data port, so that it is known to be complete.
const MARK: &str = "[the laboratory saw the end of the image]";

/// The disk as the guest sees it.
pub(crate) const DISK: &str = "/dev/vda";
/// The data port as the guest sees it.
pub(crate) const PORT: &str = DATA_PATH;

/// A command's exit status, output and cost in the guest.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// Its exit status as a shell states it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Wall time.
    pub(crate) time: Duration,
    /// The largest resident set among the processes that it was made of, in KiB.
    pub(crate) peak_kib: u64,
}

/// A running guest.
pub(crate) struct Guest {
    /// The output of `uname -r` in it.
    pub(crate) release: String,
    /// Held for its drop, which must come before the files are gone.
    _qemu: Qemu,
    qmp: Qmp,
    control: BufReader<UnixStream>,
    /// In memory: sockets, the console's log and the files that are the guest's RAM.
    folder: TempDir,
    /// On a disk: images and the guest's disk.
    images: TempDir,
}

impl Guest {
    /// Boots `machine` with `programs` in it and waits until it takes commands.
    pub(crate) fn boot(machine: Machine, programs: &[Program]) -> Result<Self> {
        let kernel = Kernel::fetch(machine.series)?;
        emulator::until_it_boots(|| Self::boot_once(machine, &kernel, programs))
    }

    fn boot_once(machine: Machine, kernel: &Kernel, programs: &[Program]) -> Result<Self> {
        let folder = scratch::in_memory()?;
        let images = scratch::on_disk()?;
        let initramfs = folder.path().join("initramfs");
        initramfs::write(&initramfs, kernel, programs)?;
        // Twice the memory: room for every format, padding included.
        File::create(images.path().join("disk"))
            .and_then(|disk| disk.set_len(machine.mib << 21))
            .context("create the guest's disk")?;

        let mut qemu = Qemu(
            command(&machine, kernel, &initramfs, folder.path(), images.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(folder.path().join("qemu.log"))?)
                .spawn()
                .context("start qemu-system-x86_64")?,
        );
        let started = Instant::now();
        let booted = loop {
            match connect(folder.path()) {
                Ok(sockets) => break Ok(sockets),
                Err(error) if started.elapsed() > Duration::from_secs(20) => break Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
            if let Some(status) = qemu.0.try_wait()? {
                break Err(anyhow::anyhow!("QEMU ended with {status}"));
            }
        };
        let booted =
            booted.and_then(|(qmp, mut control)| match receive(&mut control, BOOT_LIMIT)? {
                Response::Ready { release } => Ok((qmp, control, release)),
                other => bail!("the guest began with {other:?}"),
            });
        let (qmp, control, release) = booted.with_context(|| {
            format!("boot {} ({})\n{}", machine.name, kernel.release, logs(folder.path()))
        })?;
        Ok(Self { release, _qemu: qemu, qmp, control, folder, images })
    }

    /// Runs `command` in the guest, as root, to its end.
    pub(crate) fn run(&mut self, command: &str) -> Result<Finished> {
        self.start(command, None)?;
        self.finish(command)
    }

    /// Runs `command` in the guest and demands that it succeeds; returns its standard output.
    pub(crate) fn demand(&mut self, command: &str) -> Result<String> {
        let done = self.run(command)?;
        ensure!(done.status == 0, "`{command}` in the guest: {} {}", done.status, done.stderr);
        Ok(done.stdout)
    }

    /// Starts `command` as `uid` (root when absent); [`Guest::finish`] has to follow.
    pub(crate) fn start(&mut self, command: &str, uid: Option<u32>) -> Result<()> {
        let command = command.to_owned();
        self.send(&Request::Run { command, uid, limit: COMMAND_LIMIT.as_secs() })
    }

    /// Waits for the command that was started.
    pub(crate) fn finish(&mut self, command: &str) -> Result<Finished> {
        match self.receive(COMMAND_LIMIT + Duration::from_secs(10))? {
            Response::Ran(ran) => self.take(ran, command),
            other => bail!("`{command}` in the guest: {other:?}"),
        }
    }

    /// Returns true if the command that was started has ended, after a wait of at most `limit`.
    pub(crate) fn has_finished(&mut self, limit: Duration) -> Result<bool> {
        self.control.get_ref().set_read_timeout(Some(limit))?;
        match self.control.fill_buf() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("read from the guest's control port"),
        }
    }

    fn take(&mut self, ran: Ran, command: &str) -> Result<Finished> {
        let mut payload = |length: usize| -> Result<String> {
            let mut bytes = vec![0; length];
            self.control.read_exact(&mut bytes).context("read what a command printed")?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (stdout, stderr) = (payload(ran.stdout)?, payload(ran.stderr)?);
        ensure!(!ran.timed_out, "`{command}` did not end in {COMMAND_LIMIT:?}\n{stdout}{stderr}");
        let time = Duration::from_micros(ran.micros);
        Ok(Finished { status: ran.status, stdout, stderr, time, peak_kib: ran.peak_kib })
    }

    /// Has the guest hold memory: `fill BYTES SEED small|huge`, `secret PAGES` or `poison PAGES`.
    pub(crate) fn hold(&mut self, arguments: &[&str]) -> Result<Held> {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        self.send(&Request::Hold { arguments })?;
        match self.receive(COMMAND_LIMIT)? {
            Response::Held(held) => Ok(held),
            other => bail!("hold memory in the guest: {other:?}"),
        }
    }

    /// Has the guest's kernel crash, and waits until the capture kernel that stands ready for that takes commands. From then on
    /// the guest is that kernel, in the memory that was kept free for it.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.start("echo c > /proc/sysrq-trigger", None)?;
        match self.receive(BOOT_LIMIT)? {
            Response::Ready { .. } => Ok(()),
            other => bail!("the guest did not crash: {other:?}"),
        }
    }

    /// Points the data port to a new file and returns its path. [`Guest::settle`] says when the image is in it.
    pub(crate) fn collect(&mut self, name: &str) -> Result<PathBuf> {
        let path = self.images.path().join(name);
        let backend = json!({ "type": "file", "data": { "out": path } });
        self.qmp("chardev-change", json!({ "id": "data", "backend": backend }))?;
        Ok(path)
    }

    /// Waits until all that the guest wrote to the data port is in the file at `path`.
    pub(crate) fn settle(&mut self, path: &Path) -> Result<()> {
        self.send(&Request::Mark { mark: MARK.to_owned() })?;
        match self.receive(COMMAND_LIMIT)? {
            Response::Marked => {}
            other => bail!("mark the end of the image: {other:?}"),
        }
        let mut file = File::options().read(true).write(true).open(path)?;
        let started = Instant::now();
        loop {
            let length = file.metadata()?.len();
            if let Some(image) = length.checked_sub(MARK.len() as u64) {
                let mut tail = String::new();
                file.seek(SeekFrom::Start(image))?;
                if file.read_to_string(&mut tail).is_ok() && tail == MARK {
                    return file.set_len(image).context("take the mark off the image");
                }
            }
            ensure!(started.elapsed() < COMMAND_LIMIT, "the end of the image did not arrive");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Dumps the guest's memory in a format, through the data port into a file here.
    pub(crate) fn acquire(&mut self, format: &str) -> Result<PathBuf> {
        self.acquire_with(format, &format!("--format {format}"))
    }

    /// The same with the command's arguments, into a file of this name.
    pub(crate) fn acquire_with(&mut self, name: &str, arguments: &str) -> Result<PathBuf> {
        let image = self.collect(name)?;
        self.demand(&format!("memdump --quiet {arguments} > {PORT}"))?;
        self.settle(&image)?;
        Ok(image)
    }

    /// The file that is the guest's disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.images.path().join("disk")
    }

    /// Makes the guest's disk all zeros again.
    pub(crate) fn wipe_disk(&self) -> Result<()> {
        let disk = File::options().write(true).open(self.disk())?;
        let length = disk.metadata()?.len();
        disk.set_len(0).and_then(|()| disk.set_len(length)).context("wipe the guest's disk")
    }

    /// The file for [`Guest::dump`] to write to.
    pub(crate) fn hypervisor_dump(&self) -> PathBuf {
        self.images.path().join("hypervisor-dump")
    }

    /// Has QEMU write the guest's memory to `path` as an ELF file: its own code for it, which nothing of the laboratory takes part in.
    pub(crate) fn dump(&mut self, path: &Path) -> Result<()> {
        self.dump_as(path, "elf")
    }

    /// The same in a format that QEMU names: `elf`, or `kdump-zlib`, `kdump-lzo`, `kdump-snappy`.
    pub(crate) fn dump_as(&mut self, path: &Path, format: &str) -> Result<()> {
        let protocol = format!("file:{}", path.display());
        let arguments = json!({ "paging": false, "protocol": protocol, "format": format });
        self.qmp("dump-guest-memory", arguments)
    }

    /// Removes an image that is not needed any more.
    pub(crate) fn discard(&self, image: &Path) -> Result<()> {
        if image == self.disk() {
            return self.wipe_disk();
        }
        fs::remove_file(image).with_context(|| format!("remove {}", image.display()))
    }

    /// Runs a QMP command.
    pub(crate) fn qmp(&mut self, command: &str, arguments: serde_json::Value) -> Result<()> {
        self.qmp.call(command, arguments).map(drop)
    }

    /// Asks QEMU something over QMP.
    pub(crate) fn query(&mut self, command: &str) -> Result<serde_json::Value> {
        self.qmp.call(command, json!({}))
    }

    /// Runs a command of QEMU's human monitor.
    pub(crate) fn monitor(&mut self, line: &str) -> Result<String> {
        self.qmp.monitor(line)
    }

    /// Writes into the guest's physical memory, code included.
    pub(crate) fn write_physical(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        gdb::write_physical(&self.folder.path().join("gdb"), address, bytes)
    }

    /// Stops the guest, lets `look` see its memory, and lets the guest go on.
    pub(crate) fn paused<T>(
        &mut self,
        look: impl FnOnce(&mut Self, &Memory) -> Result<T>,
    ) -> Result<T> {
        self.qmp("stop", json!({}))?;
        let seen = Memory::of(self).and_then(|memory| look(self, &memory));
        self.qmp("cont", json!({}))?;
        seen
    }

    /// The directory with the files that are the guest's memory, each called as its backend.
    pub(super) fn memory_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The last output of QEMU and the guest's kernel.
    pub(crate) fn logs(&self) -> String {
        logs(self.folder.path())
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let line = serde_json::to_string(request)?;
        writeln!(self.control.get_mut(), "{line}").context("write to the guest's control port")
    }

    fn receive(&mut self, limit: Duration) -> Result<Response> {
        receive(&mut self.control, limit).with_context(|| logs(self.folder.path()))
    }
}

/// Boots a machine with its console here, for a person.
pub(crate) fn console(machine: Machine, programs: &[Program]) -> Result<()> {
    let kernel = Kernel::fetch(machine.series)?;
    let (folder, images) = (scratch::in_memory()?, scratch::on_disk()?);
    let initramfs = folder.path().join("initramfs");
    initramfs::write(&initramfs, &kernel, programs)?;
    File::create(images.path().join("disk"))?.set_len(machine.mib << 21)?;
    let shell = Machine { cmdline: "lab.shell", ..machine };
    let mut qemu = command(&shell, &kernel, &initramfs, folder.path(), images.path());
    let status = qemu.args(["-serial", "mon:stdio"]).status().context("start QEMU")?;
    ensure!(status.success(), "QEMU ended with {status}");
    Ok(())
}

fn command(
    machine: &Machine,
    kernel: &Kernel,
    initramfs: &Path,
    folder: &Path,
    images: &Path,
) -> Command {
    let socket = |name: &str| format!("unix:{},server=on,wait=off", folder.join(name).display());
    let shell = machine.cmdline.contains("lab.shell");
    let cmdline = format!("console=ttyS0 panic=-1 quiet {}", machine.cmdline);
    // setpriv (util-linux) has QEMU killed when this process is, however that ends.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
        .args(["-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"])
        .args(machine.arguments(folder))
        .arg("-kernel")
        .arg(&kernel.vmlinuz)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", &cmdline])
        .args(["-qmp", &socket("qmp"), "-gdb", &socket("gdb")])
        .args(["-device", "virtio-serial-pci"])
        .args([
            "-chardev",
            &format!("socket,id=control,{}", socket("control").replacen("unix:", "path=", 1)),
        ])
        .args(["-device", &format!("virtserialport,chardev=control,name={CONTROL_PORT}")])
        .args(["-chardev", "null,id=data"])
        .args(["-device", &format!("virtserialport,chardev=data,name={DATA_PORT}")])
        .args([
            "-drive",
            &format!(
                "if=none,id=disk,format=raw,cache=unsafe,file={}",
                images.join("disk").display()
            ),
        ])
        .args(["-device", "virtio-blk-pci,drive=disk"]);
    if !shell {
        qemu.args(["-serial", &format!("file:{}", folder.join("console").display())]);
    }
    qemu
}

fn connect(folder: &Path) -> Result<(Qmp, BufReader<UnixStream>)> {
    let qmp = Qmp::connect(&folder.join("qmp"))?;
    let control = UnixStream::connect(folder.join("control")).context("connect to the guest")?;
    Ok((qmp, BufReader::new(control)))
}

fn receive(control: &mut BufReader<UnixStream>, limit: Duration) -> Result<Response> {
    control.get_ref().set_read_timeout(Some(limit))?;
    let mut line = String::new();
    let count = control
        .read_line(&mut line)
        .with_context(|| format!("the guest did not answer in {limit:?}"))?;
    ensure!(count > 0, "the guest is gone");
    serde_json::from_str(&line).with_context(|| format!("understand the guest: {line}"))
}

/// The output of QEMU and the guest's kernel, for a message.
fn logs(folder: &Path) -> String {
    let mut text = String::new();
    for name in ["qemu.log", "console"] {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        let bytes = &bytes[bytes.len().saturating_sub(4000)..];
        text.push_str(&format!("-- {name}\n{}\n", String::from_utf8_lossy(bytes).trim()));
    }
    text
}

/// QEMU, which ends when this is dropped.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
