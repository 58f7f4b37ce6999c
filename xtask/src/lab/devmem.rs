//! Opens up `/dev/mem` in a running guest, as in a kernel that was built without STRICT_DEVMEM.

use anyhow::Result;

use super::guest::Guest;
use super::view;

/// `__START_KERNEL_map`, where the kernel is linked to (Documentation/arch/x86/x86_64/mm.rst).
const MAP: u64 = 0xffff_ffff_8000_0000;
/// `mov $1, %eax; ret`.
const ALLOWED: [u8; 6] = [0xb8, 1, 0, 0, 0, 0xc3];

/// Makes `devmem_is_allowed` return 1. The kernel must run where it was linked to (`nokaslr`).
pub(crate) fn relax(guest: &mut Guest) -> Result<()> {
    let symbols = view::symbols(guest, &["devmem_is_allowed"])?;
    guest.write_physical(symbols["devmem_is_allowed"] - MAP, &ALLOWED)
}
