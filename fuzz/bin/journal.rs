//! libFuzzer's entry to [`fuzz::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::journal::run(input));
