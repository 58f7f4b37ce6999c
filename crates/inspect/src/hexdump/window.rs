//! The lines of a window: memory that is laid out by itself, before it is known which lines stand before it.
//!
//! The first whole line is laid out as if none came before. That it is like the last line of the window before is seen
//! when the windows are put together (see `join`), and then it is cut off again.

use memdump_image::RegionKind;

use super::line::Layout;

/// Bytes of one region, laid out.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The address of the first byte.
    pub(super) addr: u64,
    /// The number of bytes.
    pub(super) len: u64,
    /// Bytes before the first whole line: they end a line that begins elsewhere.
    pub(super) head: Vec<u8>,
    /// All whole lines.
    pub(super) lines: Lines,
    /// Bytes after the last whole line: they begin a line.
    pub(super) tail: Vec<u8>,
}

/// Whole lines, and what is needed to put them behind those before.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    /// The first and the last of them, as bytes; none where there are no lines.
    pub(super) ends: Option<(Vec<u8>, Vec<u8>)>,
    /// The length of the text of the first.
    pub(super) first_len: usize,
    /// True if a star stands behind the first.
    pub(super) first_has_star: bool,
    /// True if all lines are like the first.
    pub(super) is_uniform: bool,
    /// True if a star stands for the last.
    pub(super) ends_in_star: bool,
}

/// The way memory is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    pub(super) layout: &'a Layout,
    /// True if a star stands for lines that are like the one before.
    pub(super) squeezes: bool,
}

impl Style<'_> {
    /// Lays out `bytes`, at `addr` in a region of `kind`. A line begins at `grid`, which is not above `addr`, and each
    /// [`Layout::width`] bytes after it.
    pub(super) fn lay_out(self, kind: RegionKind, grid: u64, addr: u64, bytes: &[u8]) -> Window {
        let width = self.layout.width;
        // Below `width`, which fits.
        let into_line = ((addr - grid) % width as u64) as usize;
        let head_len = ((width - into_line) % width).min(bytes.len());
        let (head, rest) = bytes.split_at(head_len);
        let (lines, tail) = rest.split_at(rest.len() - rest.len() % width);
        Window {
            addr,
            len: bytes.len() as u64,
            head: head.to_vec(),
            lines: self.lines(kind, addr + head_len as u64, lines),
            tail: tail.to_vec(),
        }
    }

    pub(super) fn lines(self, kind: RegionKind, mut addr: u64, bytes: &[u8]) -> Lines {
        let Self { layout, squeezes } = self;
        let width = layout.width;
        let Some((first, rest)) = bytes.split_at_checked(width) else { return Lines::default() };
        let mut lines = Lines { is_uniform: true, ..Lines::default() };
        layout.line(&mut lines.text, kind, addr, first);
        lines.first_len = lines.text.len();
        let mut last = first;
        for line in rest.chunks_exact(width) {
            addr += width as u64;
            if !squeezes || line != last {
                layout.line(&mut lines.text, kind, addr, line);
                lines.is_uniform = false;
                lines.ends_in_star = false;
            } else if !lines.ends_in_star {
                layout.star(&mut lines.text);
                lines.first_has_star |= lines.is_uniform;
                lines.ends_in_star = true;
            }
            last = line;
        }
        lines.ends = Some((first.to_vec(), last.to_vec()));
        lines
    }
}
