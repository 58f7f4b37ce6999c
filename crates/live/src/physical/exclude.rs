//! The uses of page frames of this machine, by `/proc/kpageflags`, which is asked just before they would be read.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memdump_image::{PageUse, PageUses};

use crate::proc::page_flags::use_of;

/// `/proc/kpageflags`.
pub(crate) struct PageFlags(File);

impl PageFlags {
    /// `proc` is where the machine's `/proc` is.
    pub(crate) fn open(proc: &Path) -> io::Result<Self> {
        Ok(Self(File::open(proc.join("kpageflags"))?))
    }
}

impl PageUses for PageFlags {
    fn page_uses(&self, frames: Range<u64>) -> io::Result<Vec<Option<PageUse>>> {
        let mut flags = vec![0; ((frames.end - frames.start) * 8) as usize];
        let read = self.0.read_at(&mut flags, frames.start * 8)?;
        let (flags, _) = flags[..read].as_chunks::<8>();
        Ok(flags.iter().map(|flags| use_of(u64::from_ne_bytes(*flags))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_told_as_far_as_the_file_goes() {
        const BUDDY: u64 = 1 << 10;
        const CACHE: u64 = 1 << 5 | 1 << 2;
        const ANON: u64 = 1 << 5 | 1 << 12;
        const SLAB: u64 = 1 << 7;
        let folder = tempfile::tempdir().unwrap();
        let flags = [SLAB, BUDDY, CACHE, ANON, 0];
        let bytes: Vec<u8> = flags.iter().flat_map(|flags: &u64| flags.to_ne_bytes()).collect();
        std::fs::write(folder.path().join("kpageflags"), bytes).unwrap();
        let uses = PageFlags::open(folder.path()).unwrap().page_uses(1..9).unwrap();
        assert_eq!(uses, [Some(PageUse::Free), Some(PageUse::Cache), Some(PageUse::User), None]);
    }
}
