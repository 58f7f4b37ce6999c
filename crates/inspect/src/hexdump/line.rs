//! The layout of one line: that of `hexdump -C`, the same with marks for a terminal, or a JSON object.
//!
//! Repeated lines are left out in `window`.

use memdump_image::RegionKind;

use super::marks::{ByteClass, Change, Marks, Pen};

/// The layout of lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Layout {
    /// The number of bytes in a line, from 1 to [`Layout::MAX_WIDTH`].
    pub width: usize,
    /// The number of bytes after which the gap is two spaces wide; 0 for never.
    pub group: usize,
    /// The fewest digits of an address, at most 16. Higher addresses have as many as they need.
    pub address_digits: usize,
    /// The form of a line.
    pub form: Form,
}

/// The form of a line.
#[derive(Clone, Debug)]
pub enum Form {
    /// That of `hexdump -C`: address, bytes, printable ASCII.
    Canonical,
    /// The same, with marks around its parts.
    Marked(Box<Marks>),
    /// A JSON object for each line: `{"address":4096,"hex":"7f45","text":".E"}`; for repeated lines
    /// `{"same_as_before":true}`; and `{"end":8192}` at the end of a stretch.
    Json,
}

impl Layout {
    /// The longest line, in bytes of memory.
    pub const MAX_WIDTH: usize = 4096;

    /// The layout of `hexdump -C`, with addresses of at least `address_digits` digits; `hexdump -C` has 8.
    pub fn canonical(address_digits: usize) -> Self {
        Self { width: 16, group: 8, address_digits, form: Form::Canonical }
    }

    /// Sets the bytes of a line.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Sets the number of bytes after which a wider gap stands.
    #[must_use]
    pub fn group(mut self, group: usize) -> Self {
        self.group = group;
        self
    }

    /// Sets the form of a line.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// The number of characters between the address and the text of a complete line.
    fn hex_len(&self) -> usize {
        3 * self.width + (self.width - 1).checked_div(self.group).unwrap_or(0)
    }

    /// Returns true if a wider gap stands before the byte at `index`.
    fn has_gap(&self, index: usize) -> bool {
        index > 0 && self.group > 0 && index.is_multiple_of(self.group)
    }

    /// Appends the line of `bytes`, which are 1 to `width`, with its end.
    pub(super) fn line(&self, out: &mut Vec<u8>, kind: RegionKind, addr: u64, bytes: &[u8]) {
        match &self.form {
            Form::Canonical => match bytes.first_chunk::<16>() {
                Some(whole) if self.width == 16 && self.group == 8 => {
                    canonical_16(out, addr, self.address_digits, whole);
                }
                _ => self.canonical_any(out, addr, bytes),
            },
            Form::Marked(marks) => self.marked(out, marks, kind, addr, bytes),
            Form::Json => json(out, addr, bytes),
        }
    }

    /// Appends what stands for lines that are like the one before.
    pub(super) fn star(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.form {
            Form::Json => b"{\"same_as_before\":true}\n",
            _ => b"*\n",
        });
    }

    /// Appends the line after the last of a stretch: the address where it ends.
    pub(super) fn end(&self, out: &mut Vec<u8>, addr: u64) {
        match &self.form {
            Form::Json => out.extend_from_slice(format!("{{\"end\":{addr}}}\n").as_bytes()),
            Form::Canonical | Form::Marked(_) => {
                address(out, addr, self.address_digits);
                out.push(b'\n');
            }
        }
    }

    fn canonical_any(&self, out: &mut Vec<u8>, addr: u64, bytes: &[u8]) {
        address(out, addr, self.address_digits);
        out.extend_from_slice(b"  ");
        let from = out.len();
        for (index, &byte) in bytes.iter().enumerate() {
            if self.has_gap(index) {
                out.push(b' ');
            }
            let [high, low] = HEX[usize::from(byte)];
            out.extend_from_slice(&[high, low, b' ']);
        }
        out.resize(from + self.hex_len(), b' ');
        out.extend_from_slice(b" |");
        out.extend(bytes.iter().map(|&byte| printable(byte)));
        out.extend_from_slice(b"|\n");
    }

    /// A mark stands where the class of byte changes, so that lines stay short.
    fn marked(&self, out: &mut Vec<u8>, marks: &Marks, kind: RegionKind, addr: u64, bytes: &[u8]) {
        marks.address(out, kind, |out| address(out, addr, self.address_digits));
        out.extend_from_slice(b"  ");
        let room = 2 * (bytes.len() + 1) * Change::MAX + self.hex_len() + bytes.len() + 4;
        let mut line = Pen::new(out, room);
        let mut present = ByteClass::Unmarked;
        let (mut to_gap, mut shown) = (self.group, 0);
        for &byte in bytes {
            if to_gap == 0 && self.group > 0 {
                line.put(b" ");
                shown += 1;
                to_gap = self.group;
            }
            to_gap = to_gap.wrapping_sub(1);
            let next = ByteClass::of(byte);
            line.change(marks.change(present, next));
            let [high, low] = HEX[usize::from(byte)];
            line.put(&[high, low, b' ']);
            shown += 3;
            present = next;
        }
        line.change(marks.change(present, ByteClass::Unmarked));
        line.spaces(self.hex_len() - shown);
        line.put(b" |");
        let mut present = ByteClass::Unmarked;
        for &byte in bytes {
            let next = ByteClass::of(byte);
            line.change(marks.change(present, next));
            line.put(&[printable(byte)]);
            present = next;
        }
        line.change(marks.change(present, ByteClass::Unmarked));
        line.put(b"|\n");
        line.end();
    }
}

/// Two digits for each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The byte where it is printable ASCII, and a dot.
fn printable(byte: u8) -> u8 {
    if matches!(byte, 0x20..0x7f) { byte } else { b'.' }
}

fn address(out: &mut Vec<u8>, addr: u64, digits: usize) {
    let text = addr.to_be_bytes().map(|byte| HEX[usize::from(byte)]);
    let text = text.as_flattened();
    let needed = 16 - (addr.leading_zeros() / 4) as usize;
    out.extend_from_slice(&text[16 - needed.max(digits).min(16)..]);
}

/// Most lines are such: a line at once, without a look at what the layout is.
fn canonical_16(out: &mut Vec<u8>, addr: u64, digits: usize, bytes: &[u8; 16]) {
    const LEN: usize = 2 + 3 * 16 + 1 + 2 + 16 + 2;
    address(out, addr, digits);
    let mut line = [b' '; LEN];
    for index in 0..16 {
        let at = 2 + 3 * index + index / 8;
        [line[at], line[at + 1]] = HEX[usize::from(bytes[index])];
    }
    line[52] = b'|';
    line[53..69].copy_from_slice(&bytes.map(printable));
    line[69] = b'|';
    line[70] = b'\n';
    out.extend_from_slice(&line);
}

fn json(out: &mut Vec<u8>, addr: u64, bytes: &[u8]) {
    out.extend_from_slice(format!("{{\"address\":{addr},\"hex\":\"").as_bytes());
    bytes.iter().for_each(|&byte| out.extend_from_slice(&HEX[usize::from(byte)]));
    out.extend_from_slice(b"\",\"text\":\"");
    for &byte in bytes {
        match printable(byte) {
            quoted @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', quoted]),
            plain => out.push(plain),
        }
    }
    out.extend_from_slice(b"\"}\n");
}
