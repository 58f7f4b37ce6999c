//! The arguments of `memdump diff`.

use std::ffi::OsString;

use clap::Args;

use super::{ShowArgs, TARGET_HELP, TargetOptions};

const EXAMPLES: &str = "\
Examples:
  memdump process 1234 --pause none; sleep 60; memdump diff core.1234 1234
                                              what a process has changed since it was dumped
  memdump diff core.1.zst core.2.zst          two cores of it
  memdump diff 1234 1235                      two processes of one program
  memdump diff --heap --bytes core.1234 1234  the bytes of its heap that changed
  memdump diff before.lime after.kdump        a machine, by physical address";

const DETAILS: &str = "\
A and B are each a TARGET, and of a sort: both of processes, both of kernels, or both of machines or plain files.

Pages are compared; zeros, and what was never touched, are nothing. A page is the same, changed, added
(A had nothing there), gone (B has nothing there) or unread. Regions are the same where they stand at the
same address and are of the same kind; of another process, where they are of the same file and place in
it, the heap, the stack. A dump of a process has not all that is mapped: compare like with like.

With --json each line is an object, all sizes in bytes, one of
  {\"change\":{\"a\":N,\"b\":N,\"old\":\"HEX\",\"new\":\"HEX\"}}
                        with --bytes: lines of 16 bytes that differ, their addresses in A and in B
  {\"region\":{\"kind\":\"…\",\"label\":\"…\",\"state\":\"…\",\"a\":{…},\"b\":{…},\"mapped\":N,\"unmapped\":N,PAGES}}
                        a region that differs; state is new, gone, grown, shrunk, moved or changed; a and b
                        are {\"start\":N,\"end\":N,\"permissions\":\"…\"} or null; mapped and unmapped are of
                        its addresses
  {\"kind\":{\"kind\":\"…\",PAGES}}
                        all regions of a kind
  {\"summary\":{\"a\":\"…\",\"b\":\"…\",\"differ\":true,\"growth\":N,\"unread_a\":{…},\"unread_b\":{…},PAGES}}
                        all of it; what could not be read, by cause
PAGES is \"same\":N,\"changed\":N,\"added\":N,\"gone\":N,\"unread\":N,\"changed_bytes\":N: bytes of pages, and bytes
that differ in changed ones.

Exit status, as of diff(1): 0 they are the same, 1 they differ, 2 trouble or wrong usage; and 3 some of it
could not be read.";

/// Show what changed between two looks at memory, A before B.
///
/// Says where memory grew, by kind of region, and lists the regions that differ; with --bytes the bytes too.
#[derive(Args, Debug)]
#[command(after_help = [EXAMPLES, TARGET_HELP, DETAILS].join("\n\n"))]
pub(crate) struct DiffArgs {
    /// What was: a PID, `kernel`, `physical`, or the path of an image or any other file
    #[arg(value_name = "A")]
    pub(crate) a: OsString,
    /// What is
    #[arg(value_name = "B")]
    pub(crate) b: OsString,
    /// Show the bytes that changed in what both have, before the rest
    #[arg(long)]
    pub(crate) bytes: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) of: TargetOptions,
}
