//! Raw images with their map. What is demanded stands in `exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| memdump_fuzz::exercise::maps(input));
