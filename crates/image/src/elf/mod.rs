//! ELF core files: headers, segments and notes, of machines and of processes.
//!
//! Layout: System V ABI, gABI chapters 4 and 5; core files: `fs/proc/kcore.c` and `fs/binfmt_elf.c` in Linux. The memory of
//! the segments is read by the formats `elf` and `core`, and by the reader of `/proc/kcore`.

mod file;
pub(crate) mod layout;
mod note;

pub(crate) use file::NAME;
pub use file::{ElfFile, Segment};
pub use layout::NO_PADDR;
pub use note::{Note, note, notes};
