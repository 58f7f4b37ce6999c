//! The arguments of `memdump strings`.

use clap::{Args, ValueEnum};
use memdump_inspect::text::Encoding;

use super::{ShowArgs, TARGET_HELP, TargetArgs};

fn after_help() -> String {
    format!(
        "\
Examples:
  memdump strings 1234                        of a process, with addresses and the regions they lie in
  memdump strings 1234 --heap --templates     what fills its heap
  memdump strings core.1234 | grep -i token   of an image; alone in a pipe, as strings(1) prints them
  memdump strings -e s,l -n 8 -t x ram.lime   ASCII and UTF-16, of 8 characters or more
  memdump strings --unique --count core.1234  each once, and how often it occurs
  memdump strings --json kernel | jq .string

{TARGET_HELP}

A string is a run of printable characters and tabs, as for strings(1). It may go on from one region into the next
where they touch, but not across memory that cannot be read. Zeros that a process never touched are not read, nor
are holes of a file.

With --templates, numbers count as alike: words of hexadecimal digits and runs of decimal ones become #. Where there
are too many different ones to keep, those with the most bytes are kept (with --count, the most frequent), and what
is not listed is told: how many strings, and how many bytes one of their groups, or how often one of them, may be there at most.

--json prints an object a line: address, encoding, region (its name), kind, string; \"cut\": true where a long
one was cut. With --unique and --templates: string or template, count, bytes, first (an address). The last line is
{{\"summary\": …}}: found, bytes read, zeros not read, holes with start, end, cause; unlisted (strings, bytes, at_most).

Exit status: 0 found, 1 none found, 2 wrong usage, 3 some or all of the memory could not be read."
    )
}

/// Find strings in memory.
///
/// Of a running process, of this machine, or in an image of any format, with their true addresses and the regions
/// that they lie in. The process is not stopped, and nothing of it is touched that it has not touched itself.
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct StringsArgs {
    /// How characters lie in memory; several at once: -e s,l
    #[arg(short, long, value_name = "HOW,…", value_delimiter = ',', default_value = "s")]
    pub(crate) encoding: Vec<EncodingArg>,
    /// The fewest characters of a string
    #[arg(short = 'n', long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) min_len: u32,
    /// Print the address before each string: octal, decimal or hexadecimal; on a terminal it is, in hexadecimal
    #[arg(short = 't', long, value_name = "o|d|x")]
    pub(crate) radix: Option<RadixArg>,
    /// Print the region that each string lies in, too; on a terminal it is
    #[arg(short = 'r', long)]
    pub(crate) regions: bool,
    /// Print each string once, where it is first
    #[arg(long)]
    pub(crate) unique: bool,
    /// With --unique: how often each occurs, the most frequent first
    #[arg(long, requires = "unique")]
    pub(crate) count: bool,
    /// Group strings that differ in numbers alone: how many, their bytes, the largest group first
    #[arg(long, conflicts_with = "unique")]
    pub(crate) templates: bool,
    /// With --unique and --templates: no more than N
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// Threads that read and look; as many as there are CPUs, up to 16, when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// The letters of `strings(1)`, and UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncodingArg {
    /// ASCII, a byte each
    #[value(name = "s", alias = "ascii")]
    Ascii,
    /// All bytes above 127 too
    #[value(name = "S", alias = "latin1")]
    Latin,
    /// UTF-8
    #[value(name = "utf8", alias = "utf-8")]
    Utf8,
    /// 16 bits, low byte first, as Windows and Java have it
    #[value(name = "l", alias = "utf-16le")]
    Utf16Le,
    /// 16 bits, high byte first
    #[value(name = "b", alias = "utf-16be")]
    Utf16Be,
    /// 32 bits, lowest byte first, as wchar_t of C and wide strings of Python
    #[value(name = "L", alias = "utf-32le")]
    Utf32Le,
    /// 32 bits, highest byte first
    #[value(name = "B", alias = "utf-32be")]
    Utf32Be,
}

impl From<EncodingArg> for Encoding {
    fn from(arg: EncodingArg) -> Self {
        match arg {
            EncodingArg::Ascii => Encoding::Ascii,
            EncodingArg::Latin => Encoding::Latin,
            EncodingArg::Utf8 => Encoding::Utf8,
            EncodingArg::Utf16Le => Encoding::Utf16Le,
            EncodingArg::Utf16Be => Encoding::Utf16Be,
            EncodingArg::Utf32Le => Encoding::Utf32Le,
            EncodingArg::Utf32Be => Encoding::Utf32Be,
        }
    }
}

/// The notation of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RadixArg {
    #[value(name = "o")]
    Octal,
    #[value(name = "d")]
    Decimal,
    #[value(name = "x")]
    Hexadecimal,
}
