//! libFuzzer's entry to [`fuzz::config_pdp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::config_pdp::run(input));
