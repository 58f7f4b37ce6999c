//! `memdump diff`: what changed between two looks at memory.

use crate::args::DiffArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &DiffArgs) -> anyhow::Result<Exit> {
    todo!()
}
