//! Parsers of what the kernel prints in `/proc` and `/sys`. They take text or bytes and never touch
//! the operating system.

pub(crate) mod iomem;
pub(crate) mod maps;
pub(crate) mod page_flags;
pub(crate) mod stat;
pub(crate) mod status;
pub(crate) mod vmallocinfo;
