//! The uses of page frames in an image, by the kernel's `struct page` of each.
//!
//! With `CONFIG_SPARSEMEM_VMEMMAP`, which every x86-64 kernel has, they are one array in virtual memory, by the
//! number of the frame; each `mem_section` that is there has its address (`include/linux/mmzone.h`). The offsets, sizes and flags stand in
//! VMCOREINFO (`kernel/vmcore_info.c`). What they mean: `include/linux/page-flags.h`, and `stable_page_flags` in `fs/proc/page.c`, which
//! decides the same for a live machine.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use memdump_image::{
    AddressSpace, Arch, Extent, Facts, PageTables, PageTablesError, PageUse, PageUses, Translation,
    VmCoreInfo,
};

/// Sections that are looked at until one is found that is there.
const MAX_SECTIONS: u64 = 1 << 16;
/// Free blocks have at most so many pages, and begin at multiples of it (`MAX_PAGE_ORDER`).
const MAX_FREE_PAGES: u64 = 1 << 10;
/// More than any `struct page` takes, in bytes.
const MAX_STRUCT_LEN: u64 = 256;
/// Bits below the address in `section_mem_map`; the first two say that it is there and has one.
const SECTION_FLAGS: u64 = 0xfff;
const SECTION_IS_THERE: u64 = 3;
/// `PAGE_MAPPING_ANON`, in `page.mapping`.
const ANON: u64 = 1;
/// In `page.compound_head`: what is above is the address of the first page's structure.
const IS_TAIL: u64 = 1;

/// The reason why the page structures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageStructsError {
    /// The image is of another kind of machine.
    #[error("page structures are known on x86-64 only")]
    Machine,
    /// The kernel does not say where they are or how they are laid out.
    #[error("VMCOREINFO lacks {0}")]
    Lacking(String),
    /// The page tables cannot be used.
    #[error(transparent)]
    PageTables(#[from] PageTablesError),
    /// The image lacks a part of the kernel's memory that is needed.
    #[error("the image lacks the kernel's {0}")]
    Missing(&'static str),
}

/// The page structures of a machine.
pub struct PageStructs {
    physical: Arc<dyn AddressSpace>,
    /// The places of the structures in physical memory, ascending.
    translations: Vec<Translation>,
    /// The virtual address that the structure of frame 0 has or would have.
    array: u64,
    layout: Layout,
}

/// Offsets in bytes and numbers that VMCOREINFO says.
struct Layout {
    len: u64,
    flags: usize,
    mapping: usize,
    mapcount: usize,
    private: usize,
    compound_head: usize,
    /// Bits of `page.flags`.
    lru: u64,
    swapbacked: u64,
    /// The flag of slab pages, in kernels that have one.
    slab: Option<u64>,
    hwpoison: Option<u64>,
    /// Values of `page._mapcount`.
    buddy: u32,
    offline: Option<u32>,
    slab_type: Option<u32>,
}

impl Layout {
    fn new(info: &VmCoreInfo) -> Result<Self, PageStructsError> {
        let len = size(info, "page")?;
        // Every field is read as eight bytes at most.
        let field = |name: &str| {
            let offset = offset(info, &format!("page.{name}"))?;
            let fits = offset.checked_add(8).is_some_and(|end| end <= len);
            let lacking = || PageStructsError::Lacking(format!("a sound OFFSET(page.{name})"));
            fits.then_some(offset as usize).ok_or_else(lacking)
        };
        let bit = |name: &str| {
            let bit = u32::try_from(info.number(name)?).ok()?;
            1_u64.checked_shl(bit)
        };
        let number = |name: &str| info.number(name).map(|value| value as u32);
        let needed = |name: &str| PageStructsError::Lacking(format!("NUMBER({name})"));
        Ok(Self {
            len,
            flags: field("flags")?,
            mapping: field("mapping")?,
            mapcount: field("_mapcount")?,
            private: field("private")?,
            compound_head: field("compound_head")?,
            lru: bit("PG_lru").ok_or_else(|| needed("PG_lru"))?,
            swapbacked: bit("PG_swapbacked").ok_or_else(|| needed("PG_swapbacked"))?,
            slab: bit("PG_slab"),
            hwpoison: bit("PG_hwpoison"),
            buddy: number("PAGE_BUDDY_MAPCOUNT_VALUE")
                .ok_or_else(|| needed("PAGE_BUDDY_MAPCOUNT_VALUE"))?,
            offline: number("PAGE_OFFLINE_MAPCOUNT_VALUE"),
            slab_type: number("PAGE_SLAB_MAPCOUNT_VALUE"),
        })
    }

    /// The use of the page that a structure describes; for a tail, the address of the first page's structure.
    fn read(&self, page: &[u8]) -> Page {
        let word = |at: usize| {
            let bytes = page.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let head = word(self.compound_head);
        if head & IS_TAIL != 0 {
            return Page::Tail(head & !IS_TAIL);
        }
        let (flags, mapcount) = (word(self.flags), word(self.mapcount) as u32);
        let has = |bit: u64| flags & bit != 0;
        let is_slab = self.slab.is_some_and(has)
            || self.slab_type.is_some_and(|slab| mapcount >> 24 == slab >> 24);
        if is_slab || self.hwpoison.is_some_and(has) || self.offline == Some(mapcount) {
            return Page::Used(None);
        }
        if mapcount == self.buddy {
            let pages = 1_u64.checked_shl(word(self.private) as u32).unwrap_or(1);
            return Page::Free(pages.min(MAX_FREE_PAGES));
        }
        if word(self.mapping) & ANON != 0 || has(self.lru) && has(self.swapbacked) {
            Page::Used(Some(PageUse::User))
        } else if has(self.lru) {
            Page::Used(Some(PageUse::Cache))
        } else {
            Page::Used(None)
        }
    }
}

/// The meaning of a structure.
enum Page {
    /// The first of so many free pages.
    Free(u64),
    Used(Option<PageUse>),
    Tail(u64),
}

impl PageStructs {
    /// Finds the page structures of the machine whose memory `physical` is; `facts` are what is known of it.
    ///
    /// # Errors
    /// When the image does not say where they are, or lacks what leads there.
    pub fn find(
        physical: Arc<dyn AddressSpace>,
        info: &VmCoreInfo,
        facts: &Facts,
    ) -> Result<Self, PageStructsError> {
        if facts.is_of_other_arch(Arch::X86_64) {
            return Err(PageStructsError::Machine);
        }
        let layout = Layout::new(info)?;
        let page_size = info.page_size().unwrap_or(4096);
        let tables = PageTables::find(&*physical, info)?;
        let kernel = Kernel { physical: &*physical, tables: &tables };
        let array = kernel.array(info, page_size)?;
        let mut translations = Vec::new();
        for region in physical.map().regions() {
            let first = region.extent.start() / page_size;
            let last = region.extent.last() / page_size;
            let start = array.wrapping_add(first.wrapping_mul(layout.len));
            let window = Extent::with_len(start, (last - first + 1).saturating_mul(layout.len));
            let Ok(window) = window else { continue };
            translations.extend(tables.mapped(window)?);
        }
        translations.sort_by_key(|translation| translation.virt);
        if translations.is_empty() {
            return Err(PageStructsError::Missing("page structures"));
        }
        Ok(Self { physical, translations, array, layout })
    }

    /// Reads structures from the virtual address `virt` on; how many bytes were there.
    fn read(&self, virt: u64, buf: &mut [u8]) -> usize {
        read_by(&self.translations, &*self.physical, virt, buf)
    }

    fn address(&self, frame: u64) -> u64 {
        self.array.wrapping_add(frame.wrapping_mul(self.layout.len))
    }
}

impl PageUses for PageStructs {
    fn page_uses(&self, frames: Range<u64>) -> io::Result<Vec<Option<PageUse>>> {
        // A free block that reaches into `frames` may begin before.
        let first = frames.start & !(MAX_FREE_PAGES - 1);
        let len = self.layout.len as usize;
        let mut pages = vec![0; (frames.end - first) as usize * len];
        let mut uses = Vec::with_capacity((frames.end - frames.start) as usize);
        // The structures may lie in several pieces, with gaps where there is no RAM.
        let mut done = 0;
        let mut known = vec![false; (frames.end - first) as usize];
        while done < pages.len() {
            let read = self.read(self.address(first).wrapping_add(done as u64), &mut pages[done..]);
            let whole = (done + read) / len;
            known[done.div_ceil(len).min(whole)..whole].fill(true);
            // What is missing is at most a page, or as much as is not mapped: the next structure is tried.
            done = if read == 0 { (done / len + 1) * len } else { done + read };
        }
        let mut free_until = 0;
        let mut head = (0, None);
        for (index, frame) in (first..frames.end).enumerate() {
            let page = match known[index] {
                true => self.layout.read(&pages[index * len..][..len]),
                false => Page::Used(None),
            };
            let used = match page {
                _ if frame < free_until => Some(PageUse::Free),
                Page::Free(count) => {
                    free_until = frame + count;
                    Some(PageUse::Free)
                }
                Page::Used(used) => used,
                Page::Tail(addr) => {
                    if head.0 != addr {
                        head = (addr, self.use_of_head(addr));
                    }
                    head.1
                }
            };
            if frames.contains(&frame) {
                uses.push(used);
            }
        }
        Ok(uses)
    }
}

impl PageStructs {
    /// The use of the first page of a compound, which is that of all its pages.
    fn use_of_head(&self, virt: u64) -> Option<PageUse> {
        let mut page = vec![0; self.layout.len as usize];
        let read = self.read(virt, &mut page);
        match self.layout.read(&page) {
            Page::Used(used) if read == page.len() => used,
            _ => None,
        }
    }
}

/// The kernel's virtual memory, for the few words that lead to the array.
struct Kernel<'a> {
    physical: &'a dyn AddressSpace,
    tables: &'a PageTables<'a>,
}

impl Kernel<'_> {
    fn word(&self, virt: u64) -> Result<Option<u64>, PageStructsError> {
        let Ok(extent) = Extent::with_len(virt, 8) else { return Ok(None) };
        let mapped = self.tables.mapped(extent)?;
        let mut word = [0; 8];
        let read = read_by(&mapped, self.physical, virt, &mut word);
        Ok((read == word.len()).then_some(u64::from_le_bytes(word)))
    }

    /// The address of the structure of frame 0: every section that is there has it.
    fn array(&self, info: &VmCoreInfo, page_size: u64) -> Result<u64, PageStructsError> {
        let lacking = |what: &str| PageStructsError::Lacking(what.into());
        let roots = info.symbol("mem_section").ok_or_else(|| lacking("SYMBOL(mem_section)"))?;
        let count: u64 = parsed(info, "LENGTH", "mem_section")?;
        let len = size(info, "mem_section")?;
        let map = offset(info, "mem_section.section_mem_map")?;
        let in_root = page_size / len;
        let mut looked_at = 0;
        for root in 0..count {
            let root = roots.checked_add(root * 8).map(|at| self.word(at)).transpose()?.flatten();
            let Some(root) = root.filter(|&root| root != 0) else {
                looked_at += 1;
                if looked_at > MAX_SECTIONS {
                    break;
                }
                continue;
            };
            for section in 0..in_root {
                looked_at += 1;
                if looked_at > MAX_SECTIONS {
                    return Err(PageStructsError::Missing("mem_section"));
                }
                let at = root.checked_add(section * len).and_then(|at| at.checked_add(map));
                let found = at.map(|at| self.word(at)).transpose()?.flatten().unwrap_or(0);
                if found & SECTION_IS_THERE == SECTION_IS_THERE {
                    return Ok(found & !SECTION_FLAGS);
                }
            }
        }
        Err(PageStructsError::Missing("mem_section"))
    }
}

/// Reads at `virt` as far as `translations` go without a gap; how many bytes that were.
fn read_by(
    translations: &[Translation],
    physical: &dyn AddressSpace,
    virt: u64,
    buf: &mut [u8],
) -> usize {
    let mut done = 0;
    while done < buf.len() {
        let Some(at) = virt.checked_add(done as u64) else { break };
        let after = translations.partition_point(|next| next.virt.start() <= at);
        let found = after.checked_sub(1).map(|index| translations[index]);
        let Some(found) = found.filter(|found| found.virt.contains(at)) else { break };
        let left = usize::try_from(found.virt.end() - at).unwrap_or(usize::MAX);
        let now = left.min(buf.len() - done);
        let Some(phys) = found.phys.checked_add(at - found.virt.start()) else { break };
        match physical.read_at(phys, &mut buf[done..done + now]) {
            Ok(read @ 1..) => done += read,
            _ => break,
        }
    }
    done
}

fn parsed(info: &VmCoreInfo, what: &str, name: &str) -> Result<u64, PageStructsError> {
    let key = format!("{what}({name})");
    let value = info.get(&key).and_then(|value| value.parse().ok());
    value.ok_or(PageStructsError::Lacking(key))
}

/// `SIZE(name)`, in bytes.
fn size(info: &VmCoreInfo, name: &str) -> Result<u64, PageStructsError> {
    let size = parsed(info, "SIZE", name)?;
    let is_sound = (8..=MAX_STRUCT_LEN).contains(&size);
    is_sound
        .then_some(size)
        .ok_or_else(|| PageStructsError::Lacking(format!("a sound SIZE({name})")))
}

/// `OFFSET(name)`, in bytes.
fn offset(info: &VmCoreInfo, name: &str) -> Result<u64, PageStructsError> {
    parsed(info, "OFFSET", name)
}
