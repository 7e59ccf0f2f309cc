//! libFuzzer's entry to [`fuzz::row_stores`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::row_stores::run(input));
