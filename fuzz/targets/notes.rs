//! The notes of cores, and VMCOREINFO. What is demanded stands in `exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| memdump_fuzz::exercise::notes(input));
