//! Marks around the parts of a line, such as escape sequences for colours. The parts are in `line`.

use memdump_image::RegionKind;

/// Marks around the parts of a line, such as escape sequences for colours.
#[derive(Clone, Debug)]
pub struct Marks {
    address: fn(RegionKind) -> &'static str,
    reset: &'static str,
    /// From each class of byte to each.
    changes: [[Change; ByteClass::COUNT]; ByteClass::COUNT],
}

impl Marks {
    /// Makes marks. `address` gives the mark before an address, by the kind of its region. `zero`, `printable` and `other`
    /// stand before bytes that are zero, printable ASCII, and others. `reset` stands after each mark that is not empty.
    ///
    /// # Panics
    /// When one of the last three is longer, with `reset`, than 16 bytes.
    pub const fn new(
        address: fn(RegionKind) -> &'static str,
        zero: &'static str,
        printable: &'static str,
        other: &'static str,
        reset: &'static str,
    ) -> Self {
        // By number, as classes are.
        let marks = ["", zero, printable, other];
        let mut changes = [[Change::NONE; ByteClass::COUNT]; ByteClass::COUNT];
        let mut from = 0;
        while from < ByteClass::COUNT {
            let mut to = 0;
            while to < ByteClass::COUNT {
                changes[from][to] = Change::new(marks[from], marks[to], reset);
                to += 1;
            }
            from += 1;
        }
        Self { address, reset, changes }
    }

    /// Writes an address and the marks around it.
    pub(super) fn address(
        &self,
        out: &mut Vec<u8>,
        kind: RegionKind,
        address: impl FnOnce(&mut Vec<u8>),
    ) {
        let mark = (self.address)(kind);
        out.extend_from_slice(mark.as_bytes());
        address(out);
        if !mark.is_empty() {
            out.extend_from_slice(self.reset.as_bytes());
        }
    }

    pub(super) fn change(&self, from: ByteClass, to: ByteClass) -> &Change {
        &self.changes[from as usize][to as usize]
    }
}

/// The class of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteClass {
    /// None: before the first byte and after the last.
    Unmarked,
    Zero,
    Printable,
    Other,
}

impl ByteClass {
    const COUNT: usize = 4;

    pub(super) fn of(byte: u8) -> Self {
        static CLASSES: [ByteClass; 256] = {
            let mut classes = [ByteClass::Other; 256];
            classes[0] = ByteClass::Zero;
            let mut byte = 0x20;
            while byte < 0x7f {
                classes[byte] = ByteClass::Printable;
                byte += 1;
            }
            classes
        };
        CLASSES[usize::from(byte)]
    }
}

/// The text between bytes of two classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    text: [u8; Self::MAX],
    len: usize,
}

impl Change {
    /// The most bytes. All are written, which takes no longer than to see how many, and the next part stands over those
    /// that are too many.
    pub(super) const MAX: usize = 16;
    const NONE: Self = Self { text: [0; Self::MAX], len: 0 };

    const fn new(from: &str, to: &str, reset: &str) -> Self {
        let mut change = Self::NONE;
        if is_equal(from.as_bytes(), to.as_bytes()) {
            return change;
        }
        let parts = [if from.is_empty() { "" } else { reset }, to];
        let mut part = 0;
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            let mut at = 0;
            while at < bytes.len() {
                change.text[change.len] = bytes[at];
                change.len += 1;
                at += 1;
            }
            part += 1;
        }
        change
    }
}

/// Slices cannot be compared at compile time yet.
const fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Writes at the end of a text, in short pieces.
pub(super) struct Pen<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Pen<'a> {
    /// No more than `room` bytes will be written; those of a change count as [`Change::MAX`].
    pub(super) fn new(out: &'a mut Vec<u8>, room: usize) -> Self {
        let at = out.len();
        out.resize(at + room, 0);
        Self { out, at }
    }

    pub(super) fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.out[self.at..self.at + N].copy_from_slice(bytes);
        self.at += N;
    }

    pub(super) fn change(&mut self, change: &Change) {
        self.out[self.at..self.at + Change::MAX].copy_from_slice(&change.text);
        self.at += change.len;
    }

    pub(super) fn spaces(&mut self, count: usize) {
        self.out[self.at..self.at + count].fill(b' ');
        self.at += count;
    }

    pub(super) fn end(self) {
        self.out.truncate(self.at);
    }
}
