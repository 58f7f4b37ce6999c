//! The suites: each holds what the command does against programs that others wrote, or against a machine whose memory the
//! hypervisor knows. `test` has the table of them, with what each proves.

pub(crate) mod consumers_open_images;
pub(crate) mod crash_dumps_are_read;
pub(crate) mod debuggers_open_cores;
pub(crate) mod images_survive_conversion;
pub(crate) mod looking_agrees_with_peers;
pub(crate) mod opening;
pub(crate) mod recipes_carry_images;
mod tool;
