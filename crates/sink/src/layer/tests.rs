//! Layers, alone and around one another.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use memdump_image::Output;
use memdump_image::codec::CODECS;

use super::{Compress, Count, Hash};
use crate::error::SinkError;
use crate::receipt::{Hashed, Leftover, Receipt};
use crate::sink::Sink;
use crate::{Destination, OpenOptions, sha256};

/// The fate of a [`Kept`].
#[derive(Default)]
struct Record {
    bytes: Vec<u8>,
    gaps: u64,
    end: Option<&'static str>,
}

/// A sink in memory. It takes at most `limit` bytes.
struct Kept {
    record: Arc<Mutex<Record>>,
    is_positional: bool,
    limit: usize,
}

/// A positional sink in memory.
fn kept() -> (Box<dyn Sink>, Arc<Mutex<Record>>) {
    kept_with(true, usize::MAX)
}

fn kept_with(is_positional: bool, limit: usize) -> (Box<dyn Sink>, Arc<Mutex<Record>>) {
    let record = Arc::<Mutex<Record>>::default();
    (Box::new(Kept { record: Arc::clone(&record), is_positional, limit }), record)
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = &mut self.record.lock().unwrap().bytes;
        // Not always all of it.
        let now = bytes.len().min(700_000).min(self.limit - kept.len());
        kept.write(&bytes[..now])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Kept {
    fn zeros(&mut self, len: u64) -> io::Result<()> {
        let mut record = self.record.lock().unwrap();
        record.gaps += len;
        let end = record.bytes.len() + len as usize;
        record.bytes.resize(end, 0);
        Ok(())
    }

    fn is_positional(&self) -> bool {
        self.is_positional
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.record.lock().unwrap().bytes.write_at(offset, bytes)
    }
}

impl Sink for Kept {
    fn commit(self: Box<Self>) -> Result<Receipt, SinkError> {
        let mut record = self.record.lock().unwrap();
        record.end = Some("committed");
        Ok(Receipt::of_size(record.bytes.len() as u64))
    }

    fn abort(self: Box<Self>) -> Leftover {
        self.record.lock().unwrap().end = Some("aborted");
        Leftover::Sent
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.record.lock().unwrap().end.get_or_insert("dropped");
    }
}

fn sample() -> Vec<u8> {
    (0..3_000_000_u32).map(|index| (index / 7) as u8).collect()
}

fn digest(bytes: &[u8]) -> Option<String> {
    Some(sha256(bytes, |_| Ok(())).unwrap())
}

/// The layers of each kind around a sink.
fn each(sink: impl Fn() -> Box<dyn Sink>) -> [Box<dyn Sink>; 3] {
    [
        Box::new(Hash::new(sink()).unwrap()),
        Box::new(Count::new(sink())),
        Box::new(Compress::new(sink(), &CODECS[0])),
    ]
}

#[test]
fn the_hash_is_that_of_the_bytes() {
    let (kept, record) = kept();
    let mut sink = Box::new(Hash::new(kept).unwrap());
    sink.write_all(&sample()).unwrap();
    sink.zeros(100_000).unwrap();
    sink.write_all(b"end").unwrap();
    let receipt = sink.commit().unwrap();
    let all = [sample(), vec![0; 100_000], b"end".to_vec()].concat();
    assert!(record.lock().unwrap().bytes == all);
    assert_eq!(receipt.size, all.len() as u64);
    assert_eq!(receipt.sent, Some(Hashed { size: all.len() as u64, sha256: digest(&all) }));
    assert_eq!((receipt.sha256, receipt.written), (None, None));
}

#[test]
fn what_was_written_over_has_no_hash() {
    let (kept, record) = kept();
    let mut sink = Box::new(Hash::new(kept).unwrap());
    sink.write_all(b"abd").unwrap();
    sink.write_at(2, b"c").unwrap();
    let receipt = sink.commit().unwrap();
    assert_eq!(receipt.sent, Some(Hashed { size: 3, sha256: None }));
    assert_eq!(record.lock().unwrap().bytes, b"abc");
}

#[test]
fn gaps_are_not_counted() {
    let (kept, record) = kept();
    let mut sink = Box::new(Count::new(kept));
    sink.write_all(&sample()).unwrap();
    sink.zeros(1000).unwrap();
    sink.write_at(0, b"x").unwrap();
    assert_eq!(sink.written(), 3_000_000);
    let receipt = sink.commit().unwrap();
    assert_eq!((receipt.size, receipt.written), (3_001_000, Some(3_000_000)));
    let record = record.lock().unwrap();
    assert_eq!((record.gaps, record.bytes[0]), (1000, b'x'));
}

#[test]
fn what_was_compressed_is_unpacked_again() {
    for codec in CODECS {
        let (kept, record) = kept();
        // From the outside in: what is hashed is what was counted before it was compressed.
        let counted = Box::new(Count::new(Box::new(Hash::new(kept).unwrap())));
        let mut sink = Box::new(Compress::new(counted, codec));
        sink.write_all(&sample()).unwrap();
        sink.zeros(12_345).unwrap();
        let receipt = sink.commit().unwrap();
        let packed = std::mem::take(&mut record.lock().unwrap().bytes);
        let size = packed.len() as u64;
        let sent = Some(Hashed { size, sha256: digest(&packed) });
        assert_eq!((receipt.size, receipt.written, receipt.sent), (size, Some(size), sent));
        let (found, file) = memdump_image::codec::unpacked(Arc::new(packed)).unwrap();
        assert_eq!(found.unwrap().name, codec.name);
        let mut bytes = vec![1; 3_012_345];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert!(bytes == [sample(), vec![0; 12_345]].concat(), "{}", codec.name);
    }
}

#[test]
fn the_layer_nearest_to_the_sink_is_the_one_of_the_receipt() {
    let (kept, _) = kept();
    let hashed = Box::new(Hash::new(Box::new(Count::new(kept))).unwrap());
    let packed = Box::new(Compress::new(hashed, &CODECS[0]));
    let mut sink = Box::new(Hash::new(Box::new(Count::new(packed))).unwrap());
    sink.write_all(&sample()).unwrap();
    let receipt = sink.commit().unwrap();
    assert!(receipt.size < 3_000_000);
    assert_eq!(receipt.written, Some(receipt.size));
    assert_eq!(receipt.sent.unwrap().size, receipt.size);
}

#[test]
fn what_a_sink_can_do_is_not_lost() {
    for is_positional in [true, false] {
        let [hash, count, compress] = each(|| kept_with(is_positional, usize::MAX).0);
        assert_eq!((hash.is_positional(), count.is_positional()), (is_positional, is_positional));
        assert!(!compress.is_positional());
        let boxed: Box<dyn Sink> = Box::new(hash);
        assert_eq!(boxed.is_positional(), is_positional, "a box of a box");
    }
    let [.., mut compress] = each(|| kept().0);
    compress.write_all(b"ab").unwrap();
    assert_eq!(compress.write_at(0, b"x").unwrap_err().kind(), io::ErrorKind::Unsupported);
}

#[test]
fn an_end_reaches_the_sink() {
    let records = Mutex::new(Vec::new());
    let sinks = || {
        each(|| {
            let (kept, record) = kept();
            records.lock().unwrap().push(record);
            kept
        })
    };
    sinks().into_iter().for_each(|sink| assert_eq!(sink.abort(), Leftover::Sent));
    drop(sinks());
    sinks().into_iter().for_each(|sink| drop(sink.commit().unwrap()));
    let ends: Vec<_> = records.lock().unwrap().iter().map(|r| r.lock().unwrap().end).collect();
    let wanted = ["aborted", "dropped", "committed"].map(|end| [Some(end); 3]);
    assert_eq!(ends, wanted.concat());
}

#[test]
fn a_trailer_that_cannot_be_written_is_an_error() {
    let (kept, record) = kept_with(true, 10);
    let mut sink = Box::new(Compress::new(kept, &CODECS[0]));
    sink.write_all(&sample()).unwrap();
    let error = sink.commit().unwrap_err();
    assert_eq!(error.cause().kind(), io::ErrorKind::WriteZero);
    assert_eq!(error.leftover(), Some(&Leftover::Sent));
    assert_eq!(record.lock().unwrap().end, Some("aborted"));
}

#[test]
fn a_dropped_file_is_never_success() {
    let directory = tempfile::tempdir().unwrap();
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let file = Destination::file(directory.path().join("image"));
    let open = || file.open(&OpenOptions::new().overwrite(true)).unwrap();
    let [hash, count, compress] = each(open);
    assert_eq!(names(), ["image.partial"]);
    drop((hash, count, compress));
    assert!(names().is_empty(), "an empty file is removed");

    let mut sink = Box::new(Hash::new(open()).unwrap());
    sink.write_all(b"some").unwrap();
    drop(sink);
    assert_eq!(names(), ["image.partial"]);
    assert_eq!(std::fs::read(directory.path().join("image.partial")).unwrap(), b"some");

    let mut sink = Box::new(Count::new(open()));
    sink.write_all(b"all").unwrap();
    assert_eq!(sink.commit().unwrap().size, 3);
    assert_eq!(names(), ["image"]);
}
