//! Standard output of a listing: as it is, or through a pager where it is a terminal and the listing is longer than that.
//!
//! The pager is `$PAGER`, or `less -R`. Not about colours.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use crate::signals;

/// What is written to a file or a pipe at a time, in bytes.
const BUFFER_LEN: usize = 1 << 16;

/// Where a listing goes.
pub(crate) struct Listing(Place);

enum Place {
    Plain(BufWriter<File>),
    /// A terminal, of so many rows and columns: so far it might all fit.
    Held {
        text: Vec<u8>,
        terminal: File,
        rows: usize,
        columns: usize,
    },
    Pager(Child),
}

impl Listing {
    /// Opens standard output.
    ///
    /// # Errors
    /// When it is closed.
    pub(crate) fn open() -> io::Result<Self> {
        let stdout = io::stdout();
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        if !stdout.is_terminal() {
            return Ok(Self(Place::Plain(BufWriter::with_capacity(BUFFER_LEN, file))));
        }
        let (rows, columns) = console_size(&file);
        Ok(Self(Place::Held { text: Vec::new(), terminal: file, rows, columns }))
    }

    /// Writes what is left, and waits until the pager is closed.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.0 {
            Place::Plain(mut file) => file.flush(),
            Place::Held { text, mut terminal, .. } => terminal.write_all(&text),
            Place::Pager(mut child) => {
                drop(child.stdin.take());
                child.wait().map(drop)
            }
        }
    }

    /// Whether people look at it.
    pub(crate) fn is_terminal(&self) -> bool {
        !matches!(self.0, Place::Plain(_))
    }

    /// After a broken pipe: whether it was a pager that was closed, which is no failure. Waits for it.
    pub(crate) fn was_pager(self) -> bool {
        match self.0 {
            Place::Pager(mut child) => {
                drop(child.stdin.take());
                let _ = child.wait();
                true
            }
            _ => false,
        }
    }

    /// Hands on to a pager what was held back; to the terminal where none can be started.
    fn unfold(&mut self) -> io::Result<()> {
        let Place::Held { text, terminal, .. } = &mut self.0 else { return Ok(()) };
        let text = std::mem::take(text);
        self.0 = match start_pager() {
            Some(child) => Place::Pager(child),
            None => Place::Plain(BufWriter::new(terminal.try_clone()?)),
        };
        self.write_all(&text)
    }
}

impl Write for Listing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Place::Plain(file) => file.write(bytes),
            Place::Pager(child) => match &mut child.stdin {
                Some(stdin) => stdin.write(bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
            Place::Held { text, rows, columns, .. } => {
                text.extend_from_slice(bytes);
                let lines = text.split(|&byte| byte == b'\n');
                // Escape sequences take no room: a line may be taken for longer than it is.
                let needed: usize = lines.map(|line| line.len() / *columns + 1).sum();
                if needed > *rows {
                    self.unfold()?;
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Place::Plain(file) => file.flush(),
            Place::Pager(Child { stdin: Some(stdin), .. }) => stdin.flush(),
            Place::Held { .. } | Place::Pager(_) => Ok(()),
        }
    }
}

fn start_pager() -> Option<Child> {
    let chosen = env::var_os("PAGER").filter(|pager| !pager.is_empty());
    let mut command = Command::new("sh");
    command.arg("-c").arg(chosen.unwrap_or_else(|| "less -R".into())).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // $PAGER is often less without an option, and would show colours as what they are made of.
        command.env("LESS", "R");
    }
    let child = command.spawn().ok()?;
    // Where that fails the key ends both.
    let _ = signals::leave_interrupt_to_pager();
    Some(child)
}

/// Rows and columns of the terminal.
fn console_size(terminal: &File) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(terminal).ok();
    let (rows, columns) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
    (usize::from(rows).max(2), usize::from(columns).max(1))
}
