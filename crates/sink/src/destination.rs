//! The name of a place that an image goes to.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{DestinationError, SinkError};
use crate::kinds::{FILE, SINKS, STDOUT, SinkKind};
use crate::sink::{OpenOptions, Sink};

/// A place that an image goes to, named once and not yet opened.
///
/// It is shown without secrets, so it may be logged.
#[derive(Clone)]
pub struct Destination {
    kind: &'static SinkKind,
    name: OsString,
}

impl Destination {
    /// Returns the destination of a name that a user gave.
    ///
    /// `-` and `/dev/stdout` are standard output. A name that begins with `SCHEME://` is of the kind that has the scheme. Anything
    /// else is a path.
    ///
    /// # Errors
    /// If the name is empty, or no kind has its scheme.
    pub fn parse(text: &OsStr) -> Result<Self, DestinationError> {
        if text.is_empty() {
            return Err(DestinationError::Empty);
        }
        let kind = match scheme(text) {
            Some(scheme) => SINKS
                .iter()
                .find(|kind| kind.schemes.contains(&&*scheme))
                .ok_or_else(|| DestinationError::UnknownScheme { scheme, known: known(SINKS) })?,
            None => SINKS.iter().find(|kind| (kind.takes)(text)).unwrap_or(&FILE),
        };
        Ok(Self { kind, name: text.to_owned() })
    }

    /// The standard output of this process.
    pub fn stdout() -> Self {
        Self { kind: &STDOUT, name: "-".into() }
    }

    /// A path, whatever it looks like.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { kind: &FILE, name: path.into().into_os_string() }
    }

    /// The kind of sink that it is of.
    pub fn kind(&self) -> &'static SinkKind {
        self.kind
    }

    /// The path, or `None` if it has none, as standard output.
    pub fn path(&self) -> Option<&Path> {
        (self.kind.path)(&self.name)
    }

    /// Returns true if it is the standard output of this process.
    pub fn is_stdout(&self) -> bool {
        self.kind.is_stdout
    }

    /// Returns true if what is written would be shown on a terminal.
    pub fn is_terminal(&self) -> bool {
        (self.kind.is_terminal)(&self.name)
    }

    /// Returns true if the image becomes, or is, a regular file with a name of its own. Then it can be read again, and files can
    /// be written beside it.
    pub fn is_regular_file(&self) -> bool {
        (self.kind.is_regular_file)(&self.name)
    }

    /// Returns the file whose name is this one's with `suffix` after it, or `None` if nothing can be written beside the image.
    pub fn sibling(&self, suffix: &str) -> Option<Destination> {
        let path = self.path().filter(|_| self.is_regular_file())?;
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        Some(Self::file(name))
    }

    /// The last component of the path. What is not UTF-8 is replaced.
    pub fn file_name(&self) -> Option<String> {
        Some(self.path()?.file_name()?.to_string_lossy().into_owned())
    }

    /// The bytes that it has room for, where that can be known.
    pub fn room(&self) -> Option<u64> {
        (self.kind.room)(&self.name)
    }

    /// Begins an image. No existing file is changed before the commit, and no device before the first write.
    ///
    /// # Errors
    /// If the place cannot be written to, or has something that may not be replaced.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Sink>, SinkError> {
        (self.kind.open)(&self.name, options)
    }
}

/// The name for people, without secrets.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&(self.kind.shown)(&self.name))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

/// The scheme that a name begins with (RFC 3986, 3.1), in lower case.
fn scheme(text: &OsStr) -> Option<String> {
    let bytes = text.as_encoded_bytes();
    let end = bytes.windows(3).position(|three| three == b"://")?;
    let scheme = str::from_utf8(&bytes[..end]).ok()?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// The kinds there are and their schemes, for people.
fn known(kinds: &[SinkKind]) -> String {
    let shown = kinds.iter().map(|kind| match kind.schemes {
        [] => kind.name.to_owned(),
        schemes => {
            schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ")
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Destination, DestinationError> {
        Destination::parse(text.as_ref())
    }

    #[test]
    fn names_are_told_apart() {
        for text in ["-", "/dev/stdout"] {
            let stdout = parse(text).unwrap();
            assert!(stdout.is_stdout() && stdout.path().is_none() && !stdout.is_regular_file());
            assert_eq!(stdout.to_string(), "standard output");
            assert_eq!((stdout.file_name(), stdout.sibling(".x").is_none()), (None, true));
        }
        for text in ["a", "./-", "./s3://a/b", "/a://b", "a:b", "a:/b", "://x", "1a://x", "ä://x"]
        {
            let file = parse(text).unwrap();
            assert_eq!(file.path(), Some(Path::new(text)));
            assert!(!file.is_stdout() && !file.is_terminal());
        }
        assert_eq!(Destination::file("-").path(), Some(Path::new("-")));
        assert_eq!(Destination::file("s3://a").path(), Some(Path::new("s3://a")));
        assert!(Destination::stdout().is_stdout());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert_eq!(parse("").unwrap_err().to_string(), "the name is empty");
        let error = parse("S3+x.y-z://user:s3cret@bucket/key?sig=s3cret").unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown scheme s3+x.y-z:// (known are: stdout, file); a path that begins like that is \
             written ./s3+x.y-z://…"
        );
    }

    #[test]
    fn a_regular_file_has_siblings() {
        let directory = tempfile::tempdir().unwrap();
        let file = Destination::file(directory.path().join("image"));
        assert!(file.is_regular_file(), "it becomes one");
        let sibling = file.sibling(".sha256").unwrap();
        assert_eq!(sibling.path(), Some(&*directory.path().join("image.sha256")));
        assert_eq!(file.file_name().as_deref(), Some("image"));
        for other in ["/dev/null", "."] {
            assert!(Destination::file(other).sibling(".sha256").is_none(), "{other}");
        }
        assert!(file.room().is_some());
    }

    #[test]
    fn secrets_are_not_shown() {
        let file = Destination::file("https://user:s3cret@host/a?sig=s3cret");
        assert_eq!(file.to_string(), "https://host/a");
        assert_eq!(format!("{file:?}"), "Destination(https://host/a)");
        let error = file.open(&OpenOptions::new()).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
