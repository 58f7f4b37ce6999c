//! The layout of this processor's extended registers (CPUID leaf 13, Intel SDM volume 1, 13.2).

use memdump_image::XsaveComponent;

/// Components of the extended registers beyond x87 and SSE, in the uncompacted layout.
#[cfg(target_arch = "x86_64")]
pub(crate) fn xsave_layout() -> Vec<XsaveComponent> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// The first component that stands behind the fixed 576 bytes.
    const FIRST_EXTENDED: u32 = 2;

    // CPUID.1:ECX.OSXSAVE: the kernel uses XSAVE.
    if __cpuid(1).ecx >> 27 & 1 == 0 {
        return Vec::new();
    }
    // The components that the processor knows; what the kernel enables of them may be fewer.
    let leaf = __cpuid_count(13, 0);
    let known = u64::from(leaf.edx) << 32 | u64::from(leaf.eax);
    let enabled = known & enabled();
    let component = |number: u32| {
        let leaf = __cpuid_count(13, number);
        XsaveComponent { number, size: leaf.eax, offset: leaf.ebx }
    };
    (FIRST_EXTENDED..63).filter(|number| enabled >> number & 1 == 1).map(component).collect()
}

/// XCR0: the components that the kernel enabled.
#[cfg(target_arch = "x86_64")]
fn enabled() -> u64 {
    #[target_feature(enable = "xsave")]
    fn read() -> u64 {
        // SAFETY: the caller has seen OSXSAVE, and register 0 exists wherever that is set.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    // SAFETY: OSXSAVE, which the one caller has checked, means that the processor has XSAVE.
    unsafe { read() }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn xsave_layout() -> Vec<XsaveComponent> {
    Vec::new()
}
