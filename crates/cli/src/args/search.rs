//! The arguments of `memdump search`.

use std::path::PathBuf;

use clap::Args;

use super::{EncodingArg, ShowArgs, TARGET_HELP, TargetArgs};

fn after_help() -> String {
    format!(
        "\
Examples:
  memdump search 1234 password                a text in a process, with address, region and what is around
  memdump search -i -e utf8,l ram.lime Token  in any case, as UTF-8 and as UTF-16
  memdump search --hex '7f 45 4c 46' 1234     bytes; ? is any digit: '7f 45 ?? 4?'
  memdump search --regex 'eyJ[\\w-]+\\.[\\w-]+\\.' core.1234
  memdump search --int 0xdeadbeef kernel      a number of 4 bytes; --width 8 for 8
  memdump search --pointer 7f12a0001230 1234  who points to an address; START-END for a range
  memdump search --pointer-to '[heap]' 1234   what points into a region, or into all of a kind: heap
  memdump search -f patterns.txt --count ram.elf
  memdump search --yara rules.yar 1234        rules of YARA, where memdump was built with them

{TARGET_HELP}

Patterns of bytes are found wherever they stand, also where they overlap; matches of an expression do not overlap, and
those that are longer than 64 KiB may come in parts. A match may go on from one region into the next where they
touch. Zeros that a process never touched are not searched.

A file of patterns has one in each line: a text, or hex:BYTES, regex:EXPRESSION, text:TEXT; # begins a comment.

Rules of YARA were made for files: here a rule's condition is evaluated on each run of readable memory within one
region by itself, so that all that it asks for has to lie in the same run; of runs longer than 32 MiB on windows of
32 MiB. filesize is the length of the run, and offsets in conditions count from its first byte. Matches never lie
across a hole or the end of a region; those that are longer than 1 MiB may come short or not at all where a window
ends. A rule that holds without a match has a line at the run's first byte. Rules that need a module about a format
of files (pe, elf and the like) are left out, with a note. Each thread takes 32 MiB; there are 4 at most when
--threads does not say.

--json prints an object a line: address, pattern, region (its name), kind, length, and in hexadecimal bytes (64 of
them at most), before, after; of pointers also value; of rules also rule, with null for pattern where it holds
without a match. The last line is {{\"summary\": …}}: found, bytes read, zeros not
read, holes with start, end, cause.

Exit status: 0 found, 1 not found, 2 wrong usage, 3 some or all of the memory could not be read."
    )
}

/// Search memory for texts, bytes, expressions, numbers and pointers.
///
/// Of a running process, of this machine, or in an image of any format; prints each match's true address, the
/// region that it lies in, and what is around it. The process is not stopped, and nothing of it is touched that it has
/// not touched itself.
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) what: PatternArgs,
    /// Print only how often each pattern is there
    #[arg(short, long, conflicts_with_all = ["context", "max"])]
    pub(crate) count: bool,
    /// Stop after N matches
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,
    /// Bytes shown before and after each match
    #[arg(short = 'C', long, value_name = "N", default_value_t = 24,
          value_parser = clap::value_parser!(u16).range(0..=4096))]
    pub(crate) context: u16,
    /// Threads that read and look; as many as there are CPUs, up to 16, when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// The patterns to search for.
#[derive(Args, Debug)]
pub(crate) struct PatternArgs {
    /// Texts
    #[arg(value_name = "TEXT", index = 2)]
    pub(crate) texts: Vec<String>,
    /// Bytes in hexadecimal; ? is any digit
    #[arg(short = 'x', long, value_name = "BYTES")]
    pub(crate) hex: Vec<String>,
    /// A regular expression of bytes
    #[arg(short = 'E', long, value_name = "EXPRESSION")]
    pub(crate) regex: Vec<String>,
    /// A whole number, decimal or with 0x; of 4 bytes, or 8 where it does not fit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) int: Vec<String>,
    /// A pointer to this address, or into this range, in hexadecimal; at multiples of its size alone
    #[arg(long, value_name = "ADDR|START-END")]
    pub(crate) pointer: Vec<String>,
    /// A pointer into the regions of this name or kind
    #[arg(long, value_name = "REGION")]
    pub(crate) pointer_to: Vec<String>,
    /// Patterns of a file, one in each line
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Rules of YARA, for a build with the feature yara
    #[arg(long, value_name = "RULES_FILE", conflicts_with_all = [
        "texts", "hex", "regex", "int", "pointer", "pointer_to", "file", "encoding", "ignore_case", "width",
        "big_endian", "align",
    ])]
    pub(crate) yara: Vec<PathBuf>,
    /// How the characters of texts lie in memory; several at once: -e utf8,l
    #[arg(short, long, value_name = "HOW,…", value_delimiter = ',', default_value = "utf8")]
    pub(crate) encoding: Vec<EncodingArg>,
    /// Letters of ASCII in either case, in texts and expressions
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    /// Bytes of numbers: 1, 2, 4 or 8; of pointers 4 or 8
    #[arg(long, value_name = "N", value_parser = ["1", "2", "4", "8"])]
    pub(crate) width: Option<String>,
    /// Numbers with the highest byte first
    #[arg(long)]
    pub(crate) big_endian: bool,
    /// Only at addresses that are multiples of N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) align: Option<u64>,
}
