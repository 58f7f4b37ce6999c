//! Every row of the table of formats, and detection. What is demanded stands in `exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| memdump_fuzz::exercise::images(input));
