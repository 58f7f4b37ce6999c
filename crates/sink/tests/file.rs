//! Files, as a program meets them: names, modes, what is refused, and what is left of an image that failed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::thread;

use memdump_sink::{Destination, Leftover, OpenOptions, Sink, SinkError, SinkErrorKind};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, name: &str, overwrite: bool) -> Result<Box<dyn Sink>, SinkError> {
        let destination = Destination::parse(self.path(name).as_os_str()).unwrap();
        destination.open(&OpenOptions::new().overwrite(overwrite))
    }

    fn refused(&self, name: &str) -> (SinkErrorKind, String) {
        let error = self.open(name, false).err().unwrap();
        assert!(error.leftover().is_none());
        let text = error.to_string();
        assert!(!text.contains("--"), "{text}");
        (error.kind(), text)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn a_file_gets_its_name_when_it_is_complete() {
    let directory = Directory::new();
    let mut sink = directory.open("image", false).unwrap();
    assert_eq!(sink.place(), directory.path("image").as_os_str());
    sink.write_all(b"some").unwrap();
    sink.zeros(1 << 20).unwrap();
    assert!(sink.is_positional());
    sink.write_at(1, b"am").unwrap();
    assert!(!directory.path("image").exists());
    assert_eq!(directory.mode("image.partial"), 0o600);
    let receipt = sink.commit().unwrap();
    assert_eq!((receipt.size, receipt.sha256), (4 + (1 << 20), None));
    assert_eq!(directory.mode("image"), 0o400);
    assert!(fs::read(directory.path("image")).unwrap().starts_with(b"same\0"));
}

#[test]
fn an_aborted_file_keeps_its_partial_name() {
    let directory = Directory::new();
    assert_eq!(directory.open("image", false).unwrap().abort(), Leftover::Nothing);
    assert!(!directory.path("image.partial").exists());
    let mut sink = directory.open("image", false).unwrap();
    sink.write_all(b"some").unwrap();
    let partial = directory.path("image.partial");
    assert_eq!(sink.abort(), Leftover::Partial(partial.clone().into_os_string()));
    assert_eq!(fs::read(&partial).unwrap(), b"some");

    let (kind, text) = directory.refused("image");
    assert_eq!(kind, SinkErrorKind::PartialExists);
    assert!(text.contains("image.partial: File exists"), "{text}");
    directory.open("image", true).unwrap().commit().unwrap();
    assert!(!partial.exists());
}

#[test]
fn a_panic_is_an_abort() {
    let directory = Directory::new();
    let mut sink = directory.open("image", false).unwrap();
    let outcome = thread::spawn(move || {
        sink.write_all(b"some").unwrap();
        std::panic::resume_unwind(Box::new("stop"));
    });
    assert!(outcome.join().is_err());
    assert!(!directory.path("image").exists());
    assert_eq!(fs::read(directory.path("image.partial")).unwrap(), b"some");
}

#[test]
fn what_exists_is_refused_or_replaced() {
    let directory = Directory::new();
    fs::write(directory.path("old"), "old").unwrap();
    let (kind, text) = directory.refused("old");
    assert_eq!(kind, SinkErrorKind::Exists);
    assert!(text.ends_with("old: File exists (os error 17)"), "{text}");

    let mut sink = directory.open("old", true).unwrap();
    sink.write_all(b"new").unwrap();
    assert_eq!(fs::read(directory.path("old")).unwrap(), b"old", "until it is complete");
    sink.commit().unwrap();
    assert_eq!(fs::read(directory.path("old")).unwrap(), b"new");
}

#[test]
fn links_and_directories_are_refused() {
    let directory = Directory::new();
    symlink("elsewhere", directory.path("link")).unwrap();
    for overwrite in [false, true] {
        let error = directory.open("link", overwrite).err().unwrap();
        assert_eq!(error.kind(), SinkErrorKind::SymbolicLink);
    }
    assert!(!directory.path("elsewhere").exists());
    fs::create_dir(directory.path("inside")).unwrap();
    assert_eq!(directory.refused("inside").0, SinkErrorKind::Directory);
    let (kind, text) = directory.refused("nowhere/image");
    assert_eq!(kind, SinkErrorKind::Other);
    assert!(text.starts_with("cannot create ") && text.contains(": No such file"), "{text}");
}

#[test]
fn a_name_that_is_taken_meanwhile_stays_as_it_is() {
    let directory = Directory::new();
    let mut sink = directory.open("image", false).unwrap();
    sink.write_all(b"mine").unwrap();
    fs::write(directory.path("image"), "theirs").unwrap();
    let error = sink.commit().unwrap_err();
    let partial = directory.path("image.partial");
    assert_eq!(error.kind(), SinkErrorKind::NotRenamed);
    assert_eq!(error.leftover(), Some(&Leftover::Partial(partial.clone().into_os_string())));
    assert!(error.to_string().contains("the image is complete, in "), "{error}");
    assert_eq!(fs::read(directory.path("image")).unwrap(), b"theirs");
    assert_eq!(fs::read(partial).unwrap(), b"mine");
}

#[test]
fn a_fifo_is_a_stream() {
    let directory = Directory::new();
    let path = directory.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let destination = Destination::file(&path);
    assert!(!destination.is_regular_file() && destination.room().is_none());
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut sink = directory.open("fifo", false).unwrap();
    assert!(!sink.is_positional());
    sink.write_all(b"some").unwrap();
    sink.zeros(3).unwrap();
    assert_eq!(sink.commit().unwrap().size, 7);
    assert_eq!(reader.join().unwrap(), b"some\0\0\0");
}

#[test]
fn a_stream_that_fails_says_why() {
    let mut sink = Destination::file("/dev/full").open(&OpenOptions::new()).unwrap();
    assert!(sink.write_all(b"some").is_err());
    assert_eq!(sink.abort(), Leftover::Sent);
}
