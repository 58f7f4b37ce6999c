//! The arguments of `memdump hexdump`.

use clap::Args;
use memdump_image::Extent;

use super::{ShowArgs, TARGET_HELP, TargetArgs};
use crate::size;

/// The number of bytes shown at an address that has no length.
const DEFAULT_LEN: u64 = 256;

const EXAMPLES: &str = "\
Examples:
  memdump hexdump 1234 0x7ffd5e8c1000         256 bytes at an address of a process
  memdump hexdump 1234 0x7ffd5e8c1000+4k      a page
  memdump hexdump 1234 7ffd5e8c1000-7ffd5e8c3000
                                              a range, as /proc/PID/maps prints it
  memdump hexdump 1234 --heap                 its heap
  memdump hexdump ram.lime 0x100000+1m        physical memory, out of an image
  memdump hexdump kernel 0xffffffff82000000   the kernel's memory
  memdump hexdump --raw notes.txt             any file, as hexdump -C shows it";

const DETAILS: &str = "\
ADDR is hexadecimal with 0x, or decimal. LEN may have a suffix k, m or g; without it 256 bytes are
shown. In START-END both are hexadecimal, END the first beyond. Without ADDR all is shown that a dump
would take; with it whatever is there, files and libraries too.

A line has an address, bytes, and what of them is printable ASCII; a * stands for lines that are like
the one before; the address where a stretch of memory ends stands behind its last line.

With --json each line is an object, one of
  {\"address\":N,\"hex\":\"…\",\"text\":\"…\"}         a line of bytes
  {\"same_as_before\":true}                     lines like the one before, up to the next address
  {\"end\":N}                                   a stretch of memory ends at this address
  {\"region\":{\"start\":N,\"end\":N,\"kind\":\"…\",\"label\":\"…\",\"permissions\":\"…\"}}
                                              a region begins
  {\"hole\":{\"start\":N,\"end\":N,\"cause\":\"…\"}}   memory that could not be read; cause \"nothing\":
                                              there is no region

Exit status: 0 all was shown, 1 failed, 2 wrong usage, 3 some of it could not be read.";

/// Show memory as bytes and text.
///
/// Laid out as `hexdump -C` does, with true addresses. What of a process was never touched is not touched now.
/// On a terminal regions are told one by one, and what is longer than the screen goes through $PAGER, or less.
#[derive(Args, Debug)]
#[command(after_help = [EXAMPLES, TARGET_HELP, DETAILS].join("\n\n"))]
pub(crate) struct HexdumpArgs {
    /// What to show, in this order; all when not given
    #[arg(value_name = "ADDR[+LEN]", index = 2, value_parser = address)]
    pub(crate) ranges: Vec<Extent>,
    /// Bytes a line
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) width: u16,
    /// A wider gap after each N bytes; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=4096))]
    pub(crate) group: u16,
    /// Show also lines that are like the one before
    #[arg(long)]
    pub(crate) no_squeezing: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Parses `ADDR`, `ADDR+LEN` or `START-END`.
fn address(text: &str) -> Result<Extent, String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits),
        None => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?,
    };
    let parsed = if let Some((start, end)) = text.split_once('-') {
        let plain = |text: &str| hexadecimal(text.strip_prefix("0x").unwrap_or(text));
        plain(start).zip(plain(end)).map(|(start, end)| Extent::half_open(start, end))
    } else if let Some((start, len)) = text.split_once('+') {
        number(start).zip(size::parse(len)).map(|(start, len)| Extent::with_len(start, len))
    } else {
        let to_end = |start: u64| start.saturating_add(DEFAULT_LEN);
        number(text).map(|start| Extent::half_open(start, to_end(start)))
    };
    match parsed {
        Some(Ok(extent)) => Ok(extent),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("an address as in 0x7f0000001000 or 4096, with a length if you like as in \
                     0x7f0000001000+4k, or a range as in 7f0000001000-7f0000002000"
            .into()),
    }
}

/// Parses hexadecimal digits. `from_str_radix` alone would accept a sign.
fn hexadecimal(digits: &str) -> Option<u64> {
    let sound = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_something() {
        for (text, start, end) in [
            ("0x1000", 0x1000, 0x1100),
            ("4096", 0x1000, 0x1100),
            ("0x1000+1", 0x1000, 0x1001),
            ("4096+4k", 0x1000, 0x2000),
            ("0x1000+0x10", 0x1000, 0x1010),
            ("1000-2000", 0x1000, 0x2000),
            ("0x1000-0x2000", 0x1000, 0x2000),
            ("0xfffffffffffffff0", u64::MAX - 15, u64::MAX),
        ] {
            assert_eq!(address(text), Ok(Extent::half_open(start, end).unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_that_mean_nothing() {
        for text in [
            "",
            "x",
            "0x",
            "1000h",
            "ff",
            "-1",
            "+1",
            "0x+1000",
            "1+",
            "1+0",
            "2000-1000",
            "1-1",
            "0x-1",
            "1--2",
            "0xffffffffffffffff",
            "0x10000000000000000",
            "99999999999999999999",
            "0xffffffffffffff00+1k",
            "1 ",
            "1+1+1",
            "0x1_0",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}
