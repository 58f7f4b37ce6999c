//! From the words of the command line to what the library is asked for.

use std::fs;

use memdump_live::process::{Filter, MappingClass, Options, Pause, Swap};

use crate::args::{FilterArgs, PauseArg, ProcessArgs, SwapArg};

pub(super) fn options(args: &ProcessArgs, pid: u32) -> Options {
    Options {
        filter: Filter { no_headers: args.split.is_some(), ..filter(&args.filter, pid) },
        swap: args.swap.into(),
        thread: args.thread,
        allow_seccomp: args.allow_seccomp,
        shared_consistent: args.shared_consistent,
    }
}

pub(in crate::commands) fn filter(args: &FilterArgs, pid: u32) -> Filter {
    let classes = [
        (args.heap, MappingClass::Heap),
        (args.stack, MappingClass::Stack),
        (args.anon, MappingClass::Anonymous),
        (args.files, MappingClass::File),
        (args.shared, MappingClass::Shared),
    ];
    Filter {
        permissions: args.perms,
        classes: classes
            .into_iter()
            .filter_map(|(wanted, class)| wanted.then_some(class))
            .collect(),
        ranges: args.range.clone(),
        names: args.name.clone(),
        excluded: args.exclude.clone(),
        private: args.private,
        no_files: args.no_files,
        dont_dump: args.dontdump,
        no_headers: false,
        coredump_filter: args.coredump_filter.and_then(|mask| mask.or_else(|| own_filter(pid))),
    }
}

/// The process's own filter, as `/proc` has it.
fn own_filter(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/coredump_filter")).ok()?;
    u64::from_str_radix(text.trim(), 16).ok()
}

impl From<SwapArg> for Swap {
    fn from(swap: SwapArg) -> Self {
        match swap {
            SwapArg::Read => Swap::Read,
            SwapArg::Skip => Swap::Skip,
        }
    }
}

impl From<PauseArg> for Pause {
    fn from(pause: PauseArg) -> Self {
        match pause {
            PauseArg::Stop => Pause::Stop,
            PauseArg::Snapshot => Pause::Snapshot,
            PauseArg::None => Pause::None,
        }
    }
}
