//! The colours of the output. A kind of region has the same colour in every command.
//!
//! They are the terminal's own sixteen colours, so that they fit its theme.

use std::env;
use std::io::{self, IsTerminal};

use memdump_image::RegionKind;

use crate::args::ColorArg;

/// The escape sequences (`ECMA-48`, SGR) of the colours, or empty strings if output is not coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    is_on: bool,
}

impl Palette {
    /// The style of standard output for `color`. `NO_COLOR` is described at <https://no-color.org>.
    pub(crate) fn of(color: ColorArg) -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_on = match color {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto => {
                let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
                io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        };
        Self { is_on }
    }

    /// Returns true if output is coloured.
    pub(crate) fn is_on(self) -> bool {
        self.is_on
    }

    /// The colour of a kind of region.
    pub(crate) fn kind(self, kind: RegionKind) -> &'static str {
        if self.is_on { of_kind(kind) } else { "" }
    }

    /// The style of less important text.
    pub(crate) fn faint(self) -> &'static str {
        self.on(FAINT)
    }

    /// The style of headings.
    pub(crate) fn bold(self) -> &'static str {
        self.on("\x1b[1m")
    }

    /// The colour of added content.
    pub(crate) fn added(self) -> &'static str {
        self.on("\x1b[32m")
    }

    /// The colour of removed content.
    pub(crate) fn gone(self) -> &'static str {
        self.on("\x1b[31m")
    }

    /// The sequence that ends every other style.
    pub(crate) fn reset(self) -> &'static str {
        self.on(RESET)
    }

    fn on(self, sequence: &'static str) -> &'static str {
        if self.is_on { sequence } else { "" }
    }
}

/// The sequence for faint text.
pub(crate) const FAINT: &str = "\x1b[2m";
/// The colour of bytes that are neither text nor zero.
pub(crate) const BINARY: &str = "\x1b[36m";
/// The sequence that ends every other.
pub(crate) const RESET: &str = "\x1b[0m";

/// The colour of a kind of region, if output is coloured.
pub(crate) fn of_kind(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Heap => "\x1b[33m",
        RegionKind::Stack | RegionKind::ThreadStack => "\x1b[35m",
        RegionKind::Anonymous | RegionKind::Vmalloc => "\x1b[32m",
        RegionKind::Library | RegionKind::KernelImage | RegionKind::Modules => "\x1b[36m",
        RegionKind::File | RegionKind::Vmemmap => "\x1b[34m",
        RegionKind::Shared => "\x1b[31m",
        RegionKind::Special | RegionKind::Reserved => "\x1b[90m",
        RegionKind::Ram | RegionKind::DirectMap | RegionKind::Unknown => "",
    }
}
