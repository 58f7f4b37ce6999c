//! The standard output of a listing. It goes through a pager if it is a terminal and the listing does not fit on the screen.
//!
//! The pager is `$PAGER`, or `less -R`. Colours are in `style`.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use crate::signals;

/// The size of one write to a file or a pipe, in bytes.
const BUFFER_LEN: usize = 1 << 16;

/// The output of a listing.
pub(crate) struct Listing(Place);

enum Place {
    Plain(BufWriter<File>),
    /// A terminal of that many rows and columns. Text is held back while it might all fit on the screen.
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
    /// If standard output is closed.
    pub(crate) fn open() -> io::Result<Self> {
        let stdout = io::stdout();
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        if !stdout.is_terminal() {
            return Ok(Self(Place::Plain(BufWriter::with_capacity(BUFFER_LEN, file))));
        }
        let (rows, columns) = console_size(&file);
        Ok(Self(Place::Held { text: Vec::new(), terminal: file, rows, columns }))
    }

    /// Writes the rest of the text, and waits until the pager is closed.
    ///
    /// # Errors
    /// If writing fails.
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

    /// Returns true if the output is a terminal, so that a person reads it.
    pub(crate) fn is_terminal(&self) -> bool {
        !matches!(self.0, Place::Plain(_))
    }

    /// Waits for the pager after a broken pipe. Returns true if there was one: closing it is not a failure.
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

    /// Writes the text that was held back to a pager, or to the terminal if no pager can be started.
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
                // Escape sequences are counted although they take no room, so a line may seem longer than it is.
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
        // $PAGER is often less without options, which would show the escape sequences of colours as text.
        command.env("LESS", "R");
    }
    let child = command.spawn().ok()?;
    // If this fails, the interrupt key ends both programs.
    let _ = signals::leave_interrupt_to_pager();
    Some(child)
}

/// The rows and columns of the terminal.
fn console_size(terminal: &File) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(terminal).ok();
    let (rows, columns) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
    (usize::from(rows).max(2), usize::from(columns).max(1))
}
