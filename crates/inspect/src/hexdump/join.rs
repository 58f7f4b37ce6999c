//! Puts windows one behind the other, so that they read as if they had been laid out in one go.

use std::io;

use memdump_image::{Cause, Extent, Hole, RegionKind};

use super::event::{Event, Sink};
use super::window::{Lines, Style, Window};
use crate::scan::Flow;

/// The length of text that is made from zeros at a time, in bytes.
const TEXT_LEN: usize = 1 << 16;

/// Puts windows together, and remembers the end of what was sent.
pub(super) struct Joiner<'a> {
    style: Style<'a>,
    sink: Sink<'a>,
    /// The sink's last answer. Once it is [`Flow::Stop`], no more events are sent.
    flow: Flow,
    /// The address after what was told; none where nothing goes on.
    end: Option<u64>,
    /// The last bytes of it, which make no whole line yet.
    partial: Vec<u8>,
    /// The kind of their region.
    kind: RegionKind,
    /// The whole line before them.
    last: Option<Vec<u8>>,
    /// True if a star stands for it.
    in_star: bool,
    /// A hole that may go on.
    hole: Option<Hole>,
}

impl<'a> Joiner<'a> {
    pub(super) fn new(style: Style<'a>, sink: Sink<'a>) -> Self {
        Self {
            style,
            sink,
            flow: Flow::Continue,
            end: None,
            partial: Vec::new(),
            kind: RegionKind::Unknown,
            last: None,
            in_star: false,
            hole: None,
        }
    }

    /// Something other than lines and holes is told: it stands between lines, and what follows is like nothing before.
    pub(super) fn tell(&mut self, event: Event<'_>) -> io::Result<()> {
        self.end_stretch()?;
        self.end_hole()?;
        self.send(event)
    }

    fn send(&mut self, event: Event<'_>) -> io::Result<()> {
        if !self.flow.is_stop() {
            self.flow = (self.sink)(event)?;
        }
        Ok(())
    }

    /// The sink's last answer.
    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// Reports progress.
    pub(super) fn progress(&mut self, bytes: u64) -> io::Result<()> {
        self.send(Event::Progress(bytes))
    }

    /// Memory in a region of `kind`.
    pub(super) fn window(&mut self, kind: RegionKind, window: &Window) -> io::Result<()> {
        let Window { addr, len, head, lines, tail } = window;
        self.go_on(kind, *addr)?;
        self.fill(head)?;
        self.end = Some(addr + head.len() as u64);
        if lines.ends.is_some() || !tail.is_empty() {
            // The head did not end the line where memory begins anew in the middle of one.
            self.end_line()?;
        }
        self.lines(lines)?;
        self.partial.extend_from_slice(tail);
        self.end = Some(addr + len);
        Ok(())
    }

    /// Memory that is known to be zero, in a region of `kind`; a line begins at `grid`.
    pub(super) fn zeros(&mut self, kind: RegionKind, grid: u64, extent: Extent) -> io::Result<()> {
        let Style { layout, squeezes } = self.style;
        let width = layout.width as u64;
        self.go_on(kind, extent.start())?;
        let zeros = vec![0; layout.width];
        let into_line = (extent.start() - grid) % width;
        let head = if into_line == 0 { 0 } else { (width - into_line).min(extent.len()) };
        let mut addr = extent.start() + head;
        self.fill(&zeros[..head as usize])?;
        self.end = Some(addr);
        if addr < extent.end() {
            self.end_line()?;
        }
        let mut text = Vec::new();
        while extent.end() - addr >= width && !self.flow.is_stop() {
            let is_like_last = squeezes && self.last.as_ref() == Some(&zeros);
            if !is_like_last {
                layout.line(&mut text, kind, addr, &zeros);
                addr += width;
            } else {
                if !self.in_star {
                    layout.star(&mut text);
                }
                let rest = extent.end() - addr;
                addr += rest - rest % width;
            }
            self.in_star = is_like_last;
            self.last.get_or_insert_default().clone_from(&zeros);
            if text.len() >= TEXT_LEN {
                self.text(&text)?;
                text.clear();
            }
        }
        self.text(&text)?;
        if self.flow.is_stop() {
            return Ok(());
        }
        self.partial.extend_from_slice(&zeros[..(extent.end() - addr) as usize]);
        self.end = Some(extent.end());
        Ok(())
    }

    /// Memory that could not be read.
    pub(super) fn hole(&mut self, extent: Extent, cause: Cause) -> io::Result<()> {
        self.end_stretch()?;
        if let Some(hole) = &mut self.hole
            && hole.cause == cause
            && hole.extent.end() == extent.start()
        {
            hole.extent = hole.extent.hull(extent);
            return Ok(());
        }
        self.end_hole()?;
        self.hole = Some(Hole { extent, cause });
        Ok(())
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.end_stretch()?;
        self.end_hole()
    }

    fn go_on(&mut self, kind: RegionKind, addr: u64) -> io::Result<()> {
        if self.end.is_some_and(|end| end != addr) {
            self.end_stretch()?;
        }
        self.end_hole()?;
        self.kind = kind;
        Ok(())
    }

    /// Adds to a line that was begun, which may be whole then.
    fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.partial.extend_from_slice(bytes);
        if self.partial.len() == self.style.layout.width {
            let line = std::mem::take(&mut self.partial);
            let end = self.end.unwrap_or_default() + bytes.len() as u64;
            self.lines(&self.style.lines(self.kind, end - line.len() as u64, &line))?;
        }
        Ok(())
    }

    /// Whole lines.
    fn lines(&mut self, lines: &Lines) -> io::Result<()> {
        let Some((first, last)) = &lines.ends else { return Ok(()) };
        let is_like_last = self.style.squeezes && self.last.as_ref() == Some(first);
        let mut text = &lines.text[..];
        let was_in_star = self.in_star;
        self.in_star = lines.ends_in_star;
        if is_like_last {
            let mut star = Vec::new();
            self.style.layout.star(&mut star);
            let told = lines.first_len + if lines.first_has_star { star.len() } else { 0 };
            text = &text[told..];
            self.in_star |= lines.is_uniform;
            if !was_in_star {
                self.text(&star)?;
            }
        }
        self.last.get_or_insert_default().clone_from(last);
        self.text(text)
    }

    fn text(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.send(Event::Lines(text)) }
    }

    /// Sends a line that was begun, which is short, and forgets the lines before it.
    fn end_line(&mut self) -> io::Result<()> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.partial);
        let addr = self.end.unwrap_or_default() - line.len() as u64;
        let mut text = Vec::new();
        self.style.layout.line(&mut text, self.kind, addr, &line);
        self.last = None;
        self.in_star = false;
        self.text(&text)
    }

    /// The address where it ends stands behind the last line.
    fn end_stretch(&mut self) -> io::Result<()> {
        self.end_line()?;
        self.last = None;
        self.in_star = false;
        let Some(end) = self.end.take() else { return Ok(()) };
        let mut text = Vec::new();
        self.style.layout.end(&mut text, end);
        self.text(&text)
    }

    fn end_hole(&mut self) -> io::Result<()> {
        match self.hole.take() {
            Some(hole) => self.send(Event::Hole(hole)),
            None => Ok(()),
        }
    }
}
