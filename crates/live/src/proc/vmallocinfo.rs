//! `/proc/vmallocinfo`: the kernel's areas of mapped virtual memory.
//!
//! Format: `vmalloc_info_show` in `mm/vmalloc.c`: `0xSTART-0xEND SIZE CALLER … FLAGS`, END exclusive. An
//! area that was made of pages says `pages=N`; behind them stands a guard page.

use memdump_image::Extent;

/// The parts of areas that hold RAM. Mappings of devices (`ioremap`) and areas without pages are
/// passed over, and so is any line that is not of the form.
pub(crate) fn parse(text: &str, page_size: u64) -> Vec<Extent> {
    let area = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let whole = Extent::half_open(hex(start)?, hex(end)?).ok()?;
        let mut pages = None;
        for word in words {
            if word == "ioremap" {
                return None;
            }
            if let Some(count) = word.strip_prefix("pages=") {
                pages = count.parse::<u64>().ok();
            }
        }
        let (mapped, _) = whole.split_at(pages?.checked_mul(page_size)?);
        mapped
    };
    text.lines().filter_map(area).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pages_count_and_devices_do_not() {
        let text = "\
0xffffc90000000000-0xffffc90000005000   20480 map_irq_stack+0x50/0xa0 vmap\n\
0xffffc90000005000-0xffffc9000000a000   20480 dup_task_struct+0x5b/0x1b0 pages=4 vmalloc N0=4\n\
0xffffc9000000a000-0xffffc9000000c000    8192 hpet_enable+0x36/0x2ff phys=0xfed00000 ioremap\n\
garbage\n";
        let areas = parse(text, 4096);
        assert_eq!(areas, [Extent::with_len(0xffff_c900_0000_5000, 4 * 4096).unwrap()]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(0x[0-9a-f]{0,17}-0x[0-9a-f]{0,17} (pages=[0-9]{0,21})?\n){0,5}") {
            parse(&text, 4096);
        }
    }
}
