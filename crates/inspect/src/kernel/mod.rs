//! The kernel's own structures in physical memory, as far as VMCOREINFO describes them.

mod page_structs;

pub use page_structs::{PageStructs, PageStructsError};
