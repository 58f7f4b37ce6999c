//! The error of this crate.

use std::error::Error as StdError;
use std::fmt;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why memory could not be opened, copied or recorded: the operation, the place and the cause.
///
/// The text recommends nothing that only one program has, such as an option of the command line; [`kind`](Self::kind) lets a
/// program add that. An error of another crate that caused it is its [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`], for programs that react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request contradicts itself, or what it names is not there. Nothing was done.
    Request,
    /// The request is about a file, and the target is live memory.
    OnlyForFiles,
    /// The request is about a live process, and the target is something else.
    OnlyForProcesses,
    /// The format cannot hold addresses of this space.
    WrongFormat,
    /// The image holds kernel memory where physical memory was asked for, or the reverse.
    WrongSpace,
    /// The file begins as no image format does.
    UnknownFormat,
    /// The image is damaged or cut short; [`OpenMode::Salvage`](memdump_image::format::OpenMode::Salvage) may recover part of it.
    DamagedImage,
    /// The image does not say at which addresses its memory lies, and no map was given.
    MapMissing,
    /// The pages of the image cannot be told apart by what they were used for.
    UsesUnknown,
    /// The place has not enough room for the image.
    NoRoom,
    /// A stale manifest would describe the new image.
    StaleManifest,
    /// The caller asked to stop.
    Stopped,
    /// Anything else: reading, writing or a process failed.
    Failed,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// The same error, with what caused it.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            // Many errors of the operating system say no more than their cause.
            Some(source) if !self.message.contains(&source.to_string()) => write!(f, ": {source}"),
            _ => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// An error of another crate that says all there is to say.
macro_rules! transparent {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::failed(error.to_string()).because(error)
            }
        })+
    };
}

transparent!(
    memdump_sink::SinkError,
    memdump_live::NoSource,
    memdump_live::process::FindError,
    memdump_live::process::ProcessError,
);

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string()).because(error)
    }
}

/// Adds the operation and the place to an error of another kind.
pub(crate) trait Context<T> {
    fn context(self, message: impl Into<String>) -> Result<T>;
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::failed(message).because(error))
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::failed(message()).because(error))
    }
}
