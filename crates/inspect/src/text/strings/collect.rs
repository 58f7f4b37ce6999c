//! The strings that are found, and what becomes of them before they are delivered.

use crate::text::encoding::Encoding;

/// A string, or a part of one that was too long to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundString<'a> {
    /// The address of the string's first character.
    pub addr: u64,
    /// The encoding in memory.
    pub encoding: Encoding,
    /// The characters: UTF-8 if that is the encoding, a byte for each otherwise.
    pub text: &'a [u8],
    /// True if the string begins with this text.
    pub is_first: bool,
    /// True if the string ends with this text.
    pub is_last: bool,
    /// True if the string goes on in memory, and the rest is not delivered.
    pub is_cut: bool,
}

/// Takes the strings of each part of memory, on many threads at once. What it makes of them is delivered in the order of
/// addresses.
pub trait Collect: Sync {
    /// The result for one part.
    type Out: Default + Send;

    /// Takes the next string of a part.
    fn string(&self, out: &mut Self::Out, string: &FoundString<'_>);

    /// Ends a part. Many threads call it at once, in no order.
    fn end_part(&self, _: &mut Self::Out) {}
}

impl<C: Collect> Collect for &C {
    type Out = C::Out;

    fn string(&self, out: &mut Self::Out, string: &FoundString<'_>) {
        (**self).string(out, string);
    }

    fn end_part(&self, out: &mut Self::Out) {
        (**self).end_part(out);
    }
}

/// Keeps the strings as they are: the default of [`Options`](super::Options).
#[derive(Clone, Copy, Debug, Default)]
pub struct Lister;

impl Collect for Lister {
    type Out = List;

    fn string(&self, list: &mut List, string: &FoundString<'_>) {
        let &FoundString { addr, encoding, text, is_first, is_last, is_cut } = string;
        list.text.extend_from_slice(text);
        list.entries.push(Entry {
            addr,
            encoding,
            end: list.text.len(),
            is_first,
            is_last,
            is_cut,
        });
    }
}

/// Strings in the order of their addresses.
#[derive(Clone, Debug, Default)]
pub struct List {
    entries: Vec<Entry>,
    /// The text of all of them, one after another.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    addr: u64,
    encoding: Encoding,
    /// The end of its text.
    end: usize,
    is_first: bool,
    is_last: bool,
    is_cut: bool,
}

impl List {
    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = FoundString<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let &Entry { addr, encoding, end, is_first, is_last, is_cut } = entry;
            let text = &self.text[start..end];
            start = end;
            FoundString { addr, encoding, text, is_first, is_last, is_cut }
        })
    }
}
